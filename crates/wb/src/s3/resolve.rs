//! What an argument stands for: a key as `ls` shows it, a ticket's files, or an upload by its id.
//! An id says nothing about its ticket, so ids are looked for in one pass over the listing; `TICKET/ID` needs none.

use std::collections::HashSet;

use super::{Entry, Store, entry::is_upload_id, location::split};
use crate::failure::{not_found, usage};

/// An argument, read.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Key(&'a str),
    Ticket(&'a str),
    Upload(&'a str),
    UploadOf(&'a str, &'a str),
}

fn read(what: &str) -> Wanted<'_> {
    if !what.is_empty() && what.len() <= 20 && what.bytes().all(|byte| byte.is_ascii_digit()) {
        return Wanted::Ticket(what);
    }
    match what.split_once('/') {
        None if is_upload_id(what) => Wanted::Upload(what),
        Some((ticket, id)) if !ticket.is_empty() && is_upload_id(id) => Wanted::UploadOf(ticket, id),
        _ => Wanted::Key(what),
    }
}

/// The objects that the arguments stand for, each once, and for each argument that stands for none the reason why.
///
/// # Errors
/// When the bucket cannot be asked.
pub(crate) async fn resolve(
    store: &Store,
    arguments: &[String],
) -> anyhow::Result<(Vec<Entry>, Vec<anyhow::Error>)> {
    let (mut found, mut missing, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for what in arguments {
        let (under, unknown) = match read(what) {
            Wanted::Upload(id) => {
                ids.push(id);
                continue;
            }
            Wanted::Key(key) => {
                match by_key(store, key).await? {
                    Some(entry) => found.push(entry),
                    None => missing.push(not_found(format!("`{key}`: there is no such object"))),
                }
                continue;
            }
            Wanted::Ticket(ticket) => (format!("{}{ticket}/", store.prefix()), "has no files"),
            Wanted::UploadOf(ticket, id) => (format!("{}{ticket}/{id}/", store.prefix()), "is not there"),
        };
        let before = found.len();
        let mut listing = store.listing(under.clone());
        while let Some(page) = listing.page().await? {
            found.extend(page);
        }
        if found.len() == before {
            let place = format!("s3://{}/{under}", store.name());
            missing.push(not_found(format!("`{what}` {unknown}: nothing lies under `{place}`")));
        }
    }
    scan(store, &ids, &mut found, &mut missing).await?;
    let mut seen = HashSet::new();
    found.retain(|entry| seen.insert(entry.key.clone()));
    Ok((found, missing))
}

/// A key with or without the prefix in front, or an address of this bucket.
async fn by_key(store: &Store, what: &str) -> anyhow::Result<Option<Entry>> {
    let key = match split(what) {
        Some((bucket, _)) if bucket != store.name() => {
            return Err(usage(format!("`{what}` is in another bucket than `s3://{}`", store.name())));
        }
        Some((_, key)) => key,
        None => what,
    };
    if key.is_empty() {
        return Err(usage(format!("`{what}` is not a key")));
    }
    if key.starts_with(store.prefix())
        && let Some(entry) = store.head(key).await?
    {
        return Ok(Some(entry));
    }
    if store.prefix().is_empty() {
        return Ok(None);
    }
    store.head(&format!("{}{key}", store.prefix())).await
}

async fn scan(
    store: &Store,
    ids: &[&str],
    found: &mut Vec<Entry>,
    missing: &mut Vec<anyhow::Error>,
) -> anyhow::Result<()> {
    let mut wanted: HashSet<&str> = ids.iter().copied().collect();
    let mut listing = store.listing(store.prefix().to_owned());
    while !wanted.is_empty()
        && let Some(page) = listing.page().await?
    {
        // All files of an upload are on one page.
        let of_ids = |entry: &Entry| entry.place().is_some_and(|place| wanted.contains(place.id));
        let hits: Vec<_> = page.into_iter().filter(of_ids).collect();
        for place in hits.iter().filter_map(Entry::place) {
            wanted.remove(place.id);
        }
        found.extend(hits);
    }
    let place = format!("s3://{}/{}", store.name(), store.prefix());
    let unknown = |id: &&&str| wanted.contains(**id);
    missing
        .extend(ids.iter().filter(unknown).map(|id| not_found(format!("no upload `{id}` under `{place}`"))));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";
        for (what, expected) in [
            ("1001", Wanted::Ticket("1001")),
            (ID, Wanted::Upload(ID)),
            ("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB", Wanted::UploadOf("1001", ID)),
            ("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB/a", Wanted::Key("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB/a")),
            ("/01KAP7N3V8Q2ZD4T6W9XYMC5RB", Wanted::Key("/01KAP7N3V8Q2ZD4T6W9XYMC5RB")),
            ("a.log", Wanted::Key("a.log")),
            ("../1", Wanted::Key("../1")),
            ("s3://b/1001", Wanted::Key("s3://b/1001")),
            ("", Wanted::Key("")),
            ("123456789012345678901", Wanted::Key("123456789012345678901")),
        ] {
            assert_eq!(read(what), expected, "{what}");
        }
    }
}
