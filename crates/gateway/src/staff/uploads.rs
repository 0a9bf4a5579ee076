//! Uploads as support sees them: every partner's, filtered.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use ledger::Filter;
use serde::Deserialize;
use serde_json::Value;

use super::{Params, Refusal, Staff, known, partner};
use crate::app::App;
use crate::json::Json;
use crate::partner::{page_cursor, page_of};
use crate::problem::{self, Problem};
use crate::receipt;

/// Uploads on one page.
const PAGE: i64 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    ticket: Option<String>,
    partner: Option<String>,
    since: Option<String>,
    until: Option<String>,
    state: Option<String>,
    cursor: Option<String>,
}

/// Without `state` only what has arrived: no listing shows half a file unless it is asked for.
pub(crate) async fn list(
    _: Staff,
    State(app): State<App>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let name = wanted.state.as_deref().unwrap_or(ledger::State::Complete.name());
    let (state, delivery) = match (ledger::State::parse(name), ledger::Delivery::parse(name)) {
        (Some(state), _) => (state, None),
        (None, Some(delivery)) => (ledger::State::Complete, Some(delivery)),
        (None, None) => {
            let known = "`state` is one of open, completing, complete, cancelled and removed, or of pending, done and \
                         undeliverable among what is complete.";
            return Err(problem::bad_request(known).into());
        }
    };
    let ticket = match wanted.ticket {
        Some(text) => Some(
            desk::ticket_number(&text)
                .ok_or_else(|| problem::bad_request("`ticket` is the number of a ticket, digits only."))?,
        ),
        None => None,
    };
    let (since, until) = (time("since", wanted.since.as_deref())?, time("until", wanted.until.as_deref())?);
    let before = wanted.cursor.as_deref().map(page_cursor).transpose()?;
    // A name that is wrong is told: nothing of it would look as if nothing had come.
    let partner_id = match &wanted.partner {
        Some(id) => Some(partner(&app, id).await?.id),
        None => None,
    };
    let filter = Filter {
        ticket,
        partner_id,
        state: Some(state),
        delivery,
        since,
        until,
        before,
        link_id: None,
        name: None,
        limit: PAGE,
    };
    Ok(Json(page_of(&app.ledger.uploads(&filter).await?, PAGE)))
}

fn time(key: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    ledger::parse_rfc3339(text).map(Some).ok_or_else(|| {
        problem::bad_request(&format!("`{key}` is a time such as 2026-11-22T00:00:00Z (RFC 3339)."))
    })
}

pub(crate) async fn show(
    _: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let upload = app.ledger.upload(known(&id)?).await?;
    let mut receipt = receipt::json(&upload);
    if let Some(detail) = &upload.delivery_detail {
        receipt["delivery_detail"] = detail.as_str().into();
    }
    if let Some(bucket) = app.buckets.named(&upload.bucket) {
        receipt["object"] = format!("s3://{}/{}", bucket.name(), upload.object_key).into();
    }
    Ok(Json(receipt))
}

pub(crate) async fn remove(
    staff: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    // One that is complete by now is removed.
    app.ledger.upload(known(&id)?).await?;
    if !app.uploads.cancel(&id, &staff.actor(), "").await? {
        app.uploads.remove(&id, &staff.actor()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
