//! An upload as a resource of its link: receipt, offset, cancel, removal. Looked up through the link, so that another
//! partner's upload does not exist.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{Filter, Right, State, Upload};

use super::{Asking, append, route};
use crate::headers::Wanted;
use crate::json::Json;
use crate::problem::{self, Problem};
use crate::{headers, name, receipt};

/// Uploads on one page of a listing.
const PAGE: i64 = 200;

pub(crate) async fn show(asking: &Asking, id: &str) -> Result<Response, Problem> {
    let upload = asking.app.uploads.status(&asking.link.id, id).await?;
    let upload = append::where_to_go_on(asking, upload).await?;
    if asking.wanted == Wanted::Html {
        return Ok(asking.receipt(StatusCode::OK, &upload));
    }
    let mut response = Json(receipt::json(&upload)).into_response();
    append::state_headers(asking, append::Dialect::Plain, &upload, &mut response);
    Ok(response)
}

/// The page of an upload that is not complete.
pub(super) fn unfinished(asking: &Asking, upload: &Upload) -> String {
    let bytes = |number: i64| u64::try_from(number).unwrap_or_default();
    let until = ledger::rfc3339(asking.app.uploads.expires_at(upload));
    let (curl, windows) = (asking.resumes(upload), asking.resumes_on_windows(upload));
    let ways = page::Ways { until: &until, curl: &curl, windows: &windows };
    page::unfinished(&page::UnfinishedPage {
        name: &upload.name,
        offset: bytes(upload.offset),
        length: upload.length.map(bytes),
        ways: (upload.state == State::Open && upload.resumable).then_some(ways),
        here: &route::here(asking.uri.path()),
    })
}

pub(crate) async fn head(asking: &Asking, id: &str) -> Result<Response, Problem> {
    append::head(asking, asking.app.uploads.status(&asking.link.id, id).await?).await
}

pub(crate) async fn head_named(asking: &Asking, segment: &str) -> Result<Response, Problem> {
    let length = headers::upload::length(&asking.headers)?;
    append::head(asking, append::named(asking, &name::from_segment(segment)?, length).await?).await
}

pub(crate) async fn delete(asking: &Asking, id: &str) -> Result<Response, Problem> {
    // Of a file that was sent again: the one that was there before.
    let upload = asking.app.uploads.status(&asking.link.id, id).await?;
    let (id, actor) = (&upload.id, asking.actor());
    // One that is complete by now is removed.
    if upload.state == State::Complete || !asking.app.uploads.cancel(id, &actor, "").await? {
        if !asking.link.allows(Right::Remove) {
            return Err(problem::not_allowed("remove a file that has arrived"));
        }
        asking.app.uploads.remove(id, &actor).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn list(asking: &Asking) -> Result<Response, Problem> {
    if !asking.link.allows(Right::List) {
        return Err(problem::not_allowed("list what was sent"));
    }
    let filter = Filter {
        link_id: Some(asking.link.id.clone()),
        state: Some(State::Complete),
        before: asking.query("cursor").map(|cursor| page_cursor(&cursor)).transpose()?,
        limit: PAGE,
        ..Filter::default()
    };
    let uploads = asking.app.ledger.uploads(&filter).await?;
    Ok(([("cache-control", "no-store")], Json(page_of(&uploads, PAGE))).into_response())
}

/// The cursor of a listing, if it can be one of ours: the id of an upload.
pub(crate) fn page_cursor(text: &str) -> Result<String, Problem> {
    let why = "`cursor` is not one of this listing. Take it from `next_cursor` of the page before, or leave it out.";
    if ledger::is_id(text) { Ok(text.to_owned()) } else { Err(problem::bad_request(why)) }
}

/// Receipts with the cursor of the next page, if there may be one.
pub(crate) fn page_of(uploads: &[Upload], limit: i64) -> serde_json::Value {
    let full = i64::try_from(uploads.len()).is_ok_and(|count| count >= limit);
    let next = uploads.last().filter(|_| full).map(|upload| upload.id.clone());
    serde_json::json!({ "uploads": uploads.iter().map(receipt::json).collect::<Vec<_>>(), "next_cursor": next })
}
