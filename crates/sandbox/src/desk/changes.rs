//! `GET /api/v2/incremental/tickets/cursor`: the tickets that changed, with deleted ones, in the order of their last change.
//! Invariant: a change after a page is in a later page, even within the same second. Zendesk leaves out the last minute for
//! that; this desk counts changes instead, and shows each at once.

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use axum::response::Json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::instance::{Desk, Params};
use super::model::{Seconds, Ticket};
use super::paging::number;
use super::render::Base;

/// Zendesk's largest page, and its default.
const MOST: usize = 1000;
/// Zendesk refuses a later start than this.
const SECONDS_AGO_MIN: Seconds = 60;

pub(super) async fn list(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let size = number(&params, "per_page", MOST)?.clamp(1, MOST);
    let cursor = params.get("cursor").map(|cursor| open(cursor)).transpose()?;
    let start = if cursor.is_none() { start_time(&params, desk.now())? } else { 0 };
    let state = desk.read();
    let wanted = |ticket: &&Ticket| ticket.updated_at >= start && Some(ticket.change) > cursor;
    let mut found: Vec<&Ticket> = state.tickets.values().filter(wanted).collect();
    found.sort_by_key(|ticket| ticket.change);
    let is_end = found.len() <= size;
    found.truncate(size);
    let after = found.last().map(|ticket| ticket.change).or(cursor).map(seal);
    let url = format!("{}/api/v2/incremental/tickets/cursor.json", base.0);
    Ok(Json(json!({
        "tickets": found.into_iter().map(|ticket| base.ticket(ticket)).collect::<Vec<_>>(),
        "after_url": after.as_ref().map(|cursor| format!("{url}?cursor={cursor}")),
        "after_cursor": after,
        "before_url": null,
        "before_cursor": null,
        "end_of_stream": is_end,
    })))
}

fn start_time(params: &Params, now: Seconds) -> Result<Seconds, Refusal> {
    let start = params.get("start_time").and_then(|text| text.parse::<Seconds>().ok());
    let start = start.ok_or_else(|| {
        Refusal::bad_request("InvalidValue", "start_time must be seconds since the epoch, or give a cursor")
    })?;
    if start > now - SECONDS_AGO_MIN {
        let description = "Too recent start_time. Use a start_time older than 60 seconds";
        return Err(Refusal::bad_request("StartTimeTooRecent", description));
    }
    Ok(start)
}

fn seal(change: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("change:{change}"))
}

fn open(cursor: &str) -> Result<u64, Refusal> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let change = text.and_then(|text| text.strip_prefix("change:")?.parse().ok());
    change.ok_or_else(|| Refusal::bad_request("InvalidCursor", "The cursor is not valid"))
}
