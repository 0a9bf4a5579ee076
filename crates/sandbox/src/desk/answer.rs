//! Refusals in Zendesk's words. Every error the desk answers is made here, and nowhere else.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
    retry_after: Option<i64>,
}

impl Refusal {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, retry_after: None }
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, json!({"error": "Couldn't authenticate you"}))
    }

    /// OAuth's own error shape (RFC 6749, section 5.2).
    pub(super) fn oauth(status: StatusCode, error: &str, description: &str) -> Self {
        Self::new(status, json!({"error": error, "error_description": description}))
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, json!({"error": "RecordNotFound", "description": "Not found"}))
    }

    pub(super) fn no_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, json!({"error": "InvalidEndpoint", "description": "Not found"}))
    }

    pub(super) fn bad_request(error: &str, description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, json!({"error": error, "description": description}))
    }

    /// A validation error of one field.
    pub(super) fn invalid(field: &str, error: &str, description: &str) -> Self {
        let mut item = json!({"description": description});
        if !error.is_empty() {
            item["error"] = json!(error);
        }
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"error": "RecordInvalid", "description": "Record validation errors", "details": {field: [item]}}),
        )
    }

    pub(super) fn closed() -> Self {
        Self::invalid("status", "", "Status: closed prevents ticket update")
    }

    pub(super) fn conflict() -> Self {
        let description = "Safe Update prevented the update due to outdated ticket data. \
                           Please fetch the latest ticket data and try again.";
        Self::new(StatusCode::CONFLICT, json!({"error": "UpdateConflict", "description": description}))
    }

    pub(super) fn too_large() -> Self {
        let body = json!({"error": "AttachmentTooBig", "description": "The attachment is too big"});
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, body)
    }

    pub(super) fn unprocessable(error: &str, description: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, json!({"error": error, "description": description}))
    }

    pub(super) fn too_many(retry_after: i64) -> Self {
        let body =
            json!({"error": "APIRateLimitExceeded", "description": "Number of allowed requests exceeded"});
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, body) }
    }
}

/// Only our own disk fails this way.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "embedded desk cannot keep its state");
        let body = json!({"error": "InternalError", "description": "The desk cannot keep its state"});
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, body)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
