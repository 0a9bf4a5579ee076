//! `POST /hooks/slack/workflow/{partner}`: the fields of an escalation as JSON, with the partner's own secret.

use api::described::{Accepted, EscalationFields};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tickets::IncomingEscalation;

use super::{header, slack};
use crate::escalation_fields::{self, Numbered};
use crate::fields::Fields;
use crate::headers;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;

/// Takes the fields of an escalation from a partner's workflow.
#[utoipa::path(post, path = "/hooks/slack/workflow/{partner}", operation_id = "workflow_escalation",
    security(("workflow_secret" = [])),
    params(
        ("partner" = String, Path, description = "The short name of a partner."),
        ("Idempotency-Key" = Option<String>, Header, description = "A request with the same key has no effect."),
    ),
    request_body(content((EscalationFields = "application/json"), (EscalationFields = "application/x-www-form-urlencoded"))),
    responses(
        (status = 202, description = "It is recorded. The answer comes in the partner's channel.", body = Accepted),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn post(
    State(state): State<AppState>,
    Path(partner): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let token = headers::token(&headers).unwrap_or_default();
    // A partner without a secret takes as long as a wrong secret.
    let expected = state.hooks.workflow_hashes.get(&partner).cloned().unwrap_or_else(|| "-".repeat(64));
    let is_enabled = match state.ledger.partner(&partner).await {
        Err(ledger::Error::NotFound) => false,
        known => known?.disabled_at.is_none(),
    };
    if !is_enabled || !bool::from(expected.as_bytes().ct_eq(ledger::hash_token(&token).as_bytes())) {
        let why = "The secret is missing or wrong: send it as `Authorization: Bearer SECRET`.";
        return Err(problem::bad_signature(why));
    }
    let fields = Fields::read(&headers, body).await?;
    let read =
        escalation_fields::read(fields, &state.tickets.policy().partner(&partner), Numbered::Required)?;
    let incoming = IncomingEscalation {
        actor: format!("workflow:{partner}"),
        channel: state.tickets.policy().partner(&partner).slack_channel,
        thread: None,
        partner,
        request: read.request,
        reason: read.reason,
        actions: read.actions,
        urgency: Some(read.urgency.name().to_owned()),
        emergency: Some(read.emergency.to_string()),
    };
    let key = header(&headers, "idempotency-key");
    let key = if key.is_empty() { ledger::new_id() } else { key.to_owned() };
    slack::accept(&state, &format!("workflow\n{}\n{key}", incoming.partner), &incoming).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": true }))).into_response())
}
