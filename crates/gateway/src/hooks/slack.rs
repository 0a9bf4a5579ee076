//! `POST /hooks/slack`: messages that a form posts in a partner's channel, our button and modal, and the slash command.
//! Invariant: the channel decides the partner, never the workspace of a user.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use desk::slack::{self, ChannelMessage, EscalationFields, Incoming, Slack, Submission};
use ledger::JobKind;
use serde_json::{Value, json};
use tickets::IncomingEscalation;

use super::{header, signed_body};
use crate::escalation_fields::{self, Numbered};
use crate::fields::Fields;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;

/// Slack forgets who wanted a modal after 3 s.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Takes an event, a button, a form or a slash command of Slack.
#[utoipa::path(post, path = "/hooks/slack", operation_id = "slack_event",
    security(("slack_signature" = [], "slack_timestamp" = [])),
    request_body(
        description = "An event, or an interaction, as Slack sends it.",
        content(("application/json"), ("application/x-www-form-urlencoded")),
    ),
    responses(
        (status = 200, description = "It is recorded. A body answers a challenge, or tells the user what is wrong.", content(("application/json"))),
    ))]
pub(crate) async fn post(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let slack = state.hooks.slack.as_ref().ok_or_else(problem::not_found)?;
    let (timestamp, signature) =
        (header(&headers, "x-slack-request-timestamp"), header(&headers, "x-slack-signature"));
    let body = signed_body(signature, body).await?;
    slack
        .verify(timestamp, signature, &body, ledger::now_ms() / 1000)
        .map_err(|error| problem::bad_signature(&format!("{error}.")))?;
    match slack::parse(headers.get("content-type").and_then(|value| value.to_str().ok()), &body) {
        Some(Incoming::Challenge(challenge)) => Ok(Json(json!({ "challenge": challenge })).into_response()),
        Some(Incoming::Message(message)) => read_message(&state, message).await,
        Some(Incoming::OpenForm { trigger_id, channel, request, .. }) => {
            Ok(open_form(&state, slack, trigger_id, &channel, &request))
        }
        Some(Incoming::Submitted(submission)) => submitted(&state, submission).await,
        Some(Incoming::Ignored) | None => Ok(StatusCode::OK.into_response()),
    }
}

async fn read_message(state: &AppState, message: ChannelMessage) -> Result<Response, Problem> {
    let partner = state.tickets.policy().partner_of_channel(&message.channel);
    if let (Some(partner), Some(fields)) = (partner, slack::workflow_message(&message.text)) {
        let thread = message.thread_ts.unwrap_or(message.ts);
        let incoming = incoming(partner, &message.channel, Some(thread), &fields);
        accept(state, &format!("event\n{}", message.event_id), &incoming).await?;
    }
    Ok(StatusCode::OK.into_response())
}

/// Opens the modal after the answer, which Slack wants at once.
fn open_form(state: &AppState, slack: &Slack, trigger_id: String, channel: &str, request: &str) -> Response {
    if state.tickets.policy().partner_of_channel(channel).is_none() {
        let text = "This channel belongs to no partner, so no ticket can be escalated here. Ask your support contact.";
        return Json(json!({ "response_type": "ephemeral", "text": text })).into_response();
    }
    let (slack, view) = (slack.clone(), slack::modal(channel, request));
    tokio::spawn(async move {
        match tokio::time::timeout(OPEN_TIMEOUT, slack.open_view(&trigger_id, &view)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %error, "Slack does not open the escalation form"),
            Err(_) => tracing::warn!("Slack does not open the escalation form in time"),
        }
    });
    StatusCode::OK.into_response()
}

async fn submitted(state: &AppState, submission: Submission) -> Result<Response, Problem> {
    let policy = state.tickets.policy();
    let Some(partner) = policy.partner_of_channel(&submission.channel) else {
        let why = "This channel belongs to no partner. Ask your support contact.".to_owned();
        return Ok(Json(slack::field_errors(vec![("request".into(), why)])).into_response());
    };
    let read =
        escalation_fields::read(as_fields(&submission.fields), &policy.partner(partner), Numbered::Required);
    if let Err(problem) = read {
        let errors = problem.field_errors().into_iter().map(|error| (error.field, error.detail)).collect();
        return Ok(Json(slack::field_errors(errors)).into_response());
    }
    let incoming = incoming(partner, &submission.channel, None, &submission.fields);
    accept(state, &format!("view\n{}", submission.view_id), &incoming).await?;
    Ok(StatusCode::OK.into_response())
}

fn incoming(
    partner: &str,
    channel: &str,
    thread: Option<String>,
    fields: &EscalationFields,
) -> IncomingEscalation {
    IncomingEscalation {
        partner: partner.to_owned(),
        actor: format!("slack:{channel}"),
        channel: Some(channel.to_owned()),
        thread,
        request: fields.request.clone(),
        reason: fields.reason.clone(),
        actions: fields.actions.clone(),
        urgency: fields.urgency.clone(),
        emergency: fields.emergency.clone(),
    }
}

fn as_fields(fields: &EscalationFields) -> Fields {
    let mut pairs = vec![
        ("request", fields.request.clone()),
        ("reason", fields.reason.clone()),
        ("actions", fields.actions.clone()),
    ];
    pairs.extend(fields.urgency.clone().map(|urgency| ("urgency", urgency)));
    pairs.extend(fields.emergency.clone().map(|emergency| ("emergency", emergency)));
    Fields::of_form(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)))
}

pub(super) async fn accept(state: &AppState, id: &str, incoming: &IncomingEscalation) -> Result<(), Problem> {
    let id = ledger::hash_token(&format!("slack\n{id}"));
    let payload = serde_json::to_value(incoming).as_ref().map(Value::to_string).unwrap_or_default();
    if state.ledger.accept_hook(&id, JobKind::ReadMessage, &id, None, &payload).await? {
        state.wake.notify_one();
    }
    Ok(())
}
