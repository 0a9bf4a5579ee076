//! Zendesk's two ways of paging: by number (`page`, `per_page`) and by cursor (`page[size]`, `page[after]`).
//! Invariant: a cursor names an item, not a position, so it stays right while items are added before it.

use std::ops::Range;

use axum::response::Json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::answer::Refusal;
use super::instance::Params;
use super::render::Base;

/// Zendesk's largest page, and its default.
const MOST: usize = 100;

/// Which items to answer with, and the fields that lead to the next page.
#[derive(Debug)]
struct Page {
    range: Range<usize>,
    fields: Map<String, Value>,
}

/// A page of the items as the query asks: `{"<name>": items, …}`. `path` is the address without query and `.json`.
pub(super) fn answer<T>(
    name: &str,
    items: &[&T],
    id: impl Fn(&T) -> u64,
    show: impl Fn(&T) -> Value,
    (params, base, path): (&Params, &Base, &str),
) -> Result<Json<Value>, Refusal> {
    let ids: Vec<u64> = items.iter().map(|item| id(item)).collect();
    let Page { range, mut fields } = cut(&ids, params, &format!("{}/api/v2/{path}.json", base.0))?;
    fields.insert(name.to_owned(), items[range].iter().map(|item| show(item)).collect());
    Ok(Json(fields.into()))
}

/// Cuts a page out of the items with these `ids`, as the query asks. `url` is the address without query.
fn cut(ids: &[u64], params: &Params, url: &str) -> Result<Page, Refusal> {
    if params.keys().any(|key| key.starts_with("page[")) {
        by_cursor(ids, params, url)
    } else {
        by_number(ids.len(), params, url)
    }
}

fn by_number(total: usize, params: &Params, url: &str) -> Result<Page, Refusal> {
    let size = number(params, "per_page", MOST)?.clamp(1, MOST);
    let page = number(params, "page", 1)?.max(1);
    let start = (page - 1).saturating_mul(size).min(total);
    let end = start.saturating_add(size).min(total);
    let link = |page: usize| link(url, params, &[("page", page.to_string())], &["page"]);
    let fields = [
        ("next_page", json!((end < total).then(|| link(page + 1)))),
        ("previous_page", json!((page > 1).then(|| link(page - 1)))),
        ("count", json!(total)),
    ];
    Ok(Page { range: start..end, fields: owned(fields) })
}

fn by_cursor(ids: &[u64], params: &Params, url: &str) -> Result<Page, Refusal> {
    let size = number(params, "page[size]", MOST)?.clamp(1, MOST);
    let after =
        match params.get("page[after]").filter(|cursor| !cursor.is_empty()) {
            None => None,
            Some(cursor) => Some(ids.iter().position(|id| Some(*id) == open(cursor)).ok_or_else(|| {
                Refusal::bad_request("InvalidPaginationParameter", "page[after] is not valid")
            })?),
        };
    let start = after.map_or(0, |after| after + 1);
    let range = start..(start + size).min(ids.len());
    let first = ids.get(range.start).filter(|_| !range.is_empty()).map(|id| seal(*id));
    let last = ids[range.clone()].last().map(|id| seal(*id));
    let more = range.end < ids.len();
    let next = last.clone().filter(|_| more);
    let next = next.map(|cursor| link(url, params, &[("page[after]", cursor)], &["page[after]"]));
    let fields = [
        ("meta", json!({"has_more": more, "after_cursor": last, "before_cursor": first})),
        ("links", json!({"next": next, "prev": null})),
    ];
    Ok(Page { range, fields: owned(fields) })
}

fn owned<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn number(params: &Params, key: &str, default: usize) -> Result<usize, Refusal> {
    let invalid =
        |_| Refusal::bad_request("InvalidPaginationParameter", &format!("{key} must be an integer"));
    params.get(key).map_or(Ok(default), |text| text.parse().map_err(invalid))
}

/// The same query with some fields replaced.
fn link(url: &str, params: &Params, with: &[(&str, String)], without: &[&str]) -> String {
    let mut kept: Vec<_> = params.iter().filter(|(key, _)| !without.contains(&key.as_str())).collect();
    kept.sort();
    format!("{url}?{}", Serializer::new(String::new()).extend_pairs(kept).extend_pairs(with).finish())
}

fn seal(id: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("id:{id}"))
}

fn open(cursor: &str) -> Option<u64> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?.strip_prefix("id:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pages_by_number() {
        let ids: Vec<u64> = (1..=25).collect();
        for (page, range, next, previous) in [
            ("1", 0..10, true, false),
            ("2", 10..20, true, true),
            ("3", 20..25, false, true),
            ("4", 25..25, false, true),
        ] {
            let cut = cut(&ids, &params(&[("page", page), ("per_page", "10")]), "http://d/x").unwrap();
            assert_eq!(cut.range, range, "page {page}");
            assert_eq!(cut.fields["next_page"].is_string(), next, "page {page}");
            assert_eq!(cut.fields["previous_page"].is_string(), previous, "page {page}");
            assert_eq!(cut.fields["count"], 25);
        }
        assert!(cut(&ids, &params(&[("page", "x")]), "http://d/x").is_err());
    }

    #[test]
    fn cursor_survives_new_items_in_front() {
        let first = cut(&[5, 4, 3, 2, 1], &params(&[("page[size]", "2")]), "http://d/x").unwrap();
        assert_eq!((first.range.clone(), &first.fields["meta"]["has_more"]), (0..2, &json!(true)));
        let cursor = first.fields["meta"]["after_cursor"].as_str().unwrap();
        let query = params(&[("page[size]", "2"), ("page[after]", cursor)]);
        let second = cut(&[7, 6, 5, 4, 3, 2, 1], &query, "http://d/x").unwrap();
        assert_eq!(second.range, 4..6, "3 and 2, whatever came in front");
        assert!(
            second.fields["links"]["next"]
                .as_str()
                .unwrap()
                .starts_with("http://d/x?page%5Bsize%5D=2&page%5Bafter")
        );
        assert!(cut(&[1], &params(&[("page[after]", "zzz")]), "http://d/x").is_err());
    }

    #[test]
    fn empty_list_has_one_empty_page() {
        let page = cut(&[], &params(&[("page[size]", "2")]), "http://d/x").unwrap();
        assert_eq!((page.range, &page.fields["meta"]["has_more"]), (0..0, &json!(false)));
    }
}
