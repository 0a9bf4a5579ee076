//! Upload links: made, shown and revoked by support.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Id, JsonBody, Params, Staff, found, partner};
use crate::access::links::{LinkMaker, LinkRequest, describe};
use crate::http::json::Json;
use crate::problem::Problem;
use crate::state::AppState;

/// Largest body: the description of a link.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLink {
    partner: String,
    /// A number, or a text.
    ticket: Option<Value>,
    #[serde(default)]
    rights: Vec<String>,
    expires_in_s: Option<u64>,
    max_bytes: Option<i64>,
    max_open: Option<i64>,
    max_unfinished_bytes: Option<i64>,
    max_requests_per_minute: Option<i64>,
}

pub(crate) async fn create(
    staff: Staff,
    State(state): State<AppState>,
    JsonBody(new): JsonBody<NewLink>,
) -> Result<Response, Problem> {
    let ticket = match &new.ticket {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let request = LinkRequest {
        partner: &new.partner,
        ticket: ticket.as_deref(),
        rights: &new.rights,
        expires_in: new.expires_in_s.map(Duration::from_secs),
        max_bytes: new.max_bytes,
        max_open: new.max_open,
        max_unfinished_bytes: new.max_unfinished_bytes,
        max_requests_per_minute: new.max_requests_per_minute,
    };
    let maker =
        LinkMaker { ledger: &state.ledger, desk: &state.desk, default_expiry: state.limits.link_expiry };
    let made = maker.make(&request, &staff.actor()).await?;
    let mut body = describe(&made.link);
    body["url"] = format!("{}/u/{}", state.public_url, made.token.reveal()).into();
    if let Some(warning) = made.warning {
        body["warning"] = warning.into();
    }
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkFilter {
    partner: Option<String>,
}

pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Params(filter): Params<LinkFilter>,
) -> Result<Json<Value>, Problem> {
    let of = match &filter.partner {
        Some(id) => Some(partner(&state, id).await?.id),
        None => None,
    };
    let links: Vec<_> = state.ledger.links(of.as_deref()).await?.iter().map(describe).collect();
    Ok(Json(json!({ "links": links })))
}

pub(crate) async fn show(_: Staff, State(state): State<AppState>, id: Id) -> Result<Json<Value>, Problem> {
    let id = id.of("link")?;
    Ok(Json(describe(&found("link", id, state.ledger.link(id).await)?)))
}

pub(crate) async fn revoke(
    staff: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<StatusCode, Problem> {
    let id = id.of("link")?;
    found("link", id, state.ledger.revoke_link(id, &staff.actor()).await)?;
    state.uploads.cancel_revoked().await?;
    Ok(StatusCode::NO_CONTENT)
}
