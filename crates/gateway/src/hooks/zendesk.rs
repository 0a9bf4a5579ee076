//! `POST /hooks/zendesk`: a ticket was opened or has changed. The job looks at the ticket itself, so the order of deliveries
//! does not matter.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ledger::JobKind;

use super::{header, signed_body};
use crate::problem::{self, Problem};
use crate::state::AppState;

/// Takes an event of the desk.
#[utoipa::path(post, path = "/hooks/zendesk", operation_id = "zendesk_event",
    security(("zendesk_signature" = [], "zendesk_timestamp" = [])),
    request_body(description = "An event about a ticket, as Zendesk's webhooks send it.", content(("application/json"))),
    responses((status = 200, description = "It is recorded, or it is not about a ticket.")))]
pub(crate) async fn post(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let secret = state.hooks.zendesk_secret.as_deref().ok_or_else(problem::not_found)?;
    let timestamp = header(&headers, "x-zendesk-webhook-signature-timestamp");
    let signature = header(&headers, "x-zendesk-webhook-signature");
    let body = signed_body(signature, body).await?;
    desk::verify_webhook(secret, timestamp, signature, &body, ledger::now_ms())
        .map_err(|error| problem::bad_signature(&format!("{error}.")))?;
    // What is not about a ticket needs no retry.
    let Some(event) = desk::parse_webhook(&body) else { return Ok(StatusCode::OK) };
    // Without an ID of its own, the signature names the delivery: it covers the time and the body.
    let id = event.id.unwrap_or_else(|| ledger::hash_token(signature));
    let id = ledger::hash_token(&format!("zendesk\n{id}"));
    let ticket = event.ticket.as_str();
    if state.ledger.accept_hook(&id, JobKind::SeeTicket, ticket, Some(ticket), "").await? {
        state.wake.notify_one();
    }
    Ok(StatusCode::OK)
}
