//! The control of faults over HTTP, on a listener of its own.
//! Invariant: a refused request changes nothing, and its answer says what to fix.

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Faults, Rule};
use crate::desk::Desk;

/// Bytes of a request; a rule has about a hundred.
const REQUEST_MAX_BYTES: usize = 1 << 20;

/// `GET`, `POST` and `DELETE /faults`; `POST /faults/age` makes a ticket of the desk older.
pub(crate) fn router(faults: Faults, desk: Arc<Desk>) -> Router {
    let older = post(age).with_state(desk);
    Router::new()
        .route("/faults", get(show).post(add).delete(clear))
        .route("/faults/age", older)
        .layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES))
        .with_state(faults)
}

async fn show(State(faults): State<Faults>) -> Response {
    Json(faults.report()).into_response()
}

async fn add(State(faults): State<Faults>, body: Bytes) -> Response {
    let rules = match parse(&body) {
        Ok(rules) => rules,
        Err(error) => return refuse(&error),
    };
    match faults.add_all(rules) {
        Ok(()) => (StatusCode::CREATED, Json(faults.report())).into_response(),
        Err((position, error)) => refuse(&format!("rule {}: {error}", position + 1)),
    }
}

async fn clear(State(faults): State<Faults>) -> StatusCode {
    faults.clear();
    StatusCode::NO_CONTENT
}

/// How much older to make a ticket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Age {
    ticket: u64,
    days: u32,
}

async fn age(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    let wanted: Age = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(&format!("send {{\"ticket\": NUMBER, \"days\": NUMBER}}: {error}")),
    };
    let by = Duration::from_secs(u64::from(wanted.days) * 24 * 60 * 60);
    match tokio::task::spawn_blocking(move || desk.age(wanted.ticket, by)).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => refuse(&format!("{error:#}")),
        Err(error) => refuse(&error.to_string()),
    }
}

/// One rule or an array of them.
fn parse(body: &[u8]) -> Result<Vec<Rule>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("this is not JSON: {error}"))?;
    let rules = match value {
        Value::Array(rules) => rules,
        rule => vec![rule],
    };
    let read = |(position, rule)| {
        serde_json::from_value(rule).map_err(|error| format!("rule {}: {error}", position + 1))
    };
    rules.into_iter().enumerate().map(read).collect()
}

/// RFC 9457.
fn refuse(detail: &str) -> Response {
    let problem = json!({"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail});
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::BAD_REQUEST, headers, problem.to_string()).into_response()
}

impl Faults {
    /// Rules with their counters, and calls by service and operation.
    fn report(&self) -> Value {
        let state = self.state();
        let rules: Vec<_> = state
            .rules
            .iter()
            .map(|active| {
                let mut rule = json!(active.rule);
                rule["seen"] = json!(active.seen.load(Ordering::Relaxed));
                rule["hit"] = json!(active.hit.load(Ordering::Relaxed));
                rule
            })
            .collect();
        json!({"rules": rules, "calls": state.calls})
    }
}
