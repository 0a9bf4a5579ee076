//! `OPTIONS`: limits and ways to send, before a byte is sent.

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::{limit, set};
use super::cors;
use super::protocol::{rufh, tus};
use super::request::{PartnerRequest, split};
use crate::http::json::Json;
use crate::problem::Problem;
use crate::state::AppState;

pub(crate) async fn options(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let mut response = if split(parts.uri.path()).0 == "-" && cors::is_preflight(&parts.headers) {
        // The token comes in a header that a browser does not send yet: nothing is said about any link.
        StatusCode::NO_CONTENT.into_response()
    } else {
        let request = PartnerRequest::from_request_parts(&mut parts, &state).await?;
        let mut response = limits(&request).into_response();
        describe(&request, response.headers_mut());
        response
    };
    cors::allow(response.headers_mut());
    Ok(response)
}

fn limits(request: &PartnerRequest) -> Json<serde_json::Value> {
    let uploads = &request.state.uploads;
    let rights: Vec<_> = request.link.rights.iter().map(|right| right.name()).collect();
    Json(serde_json::json!({
        "max_size": request.max_bytes(),
        "ticket_attachment_size": request.state.limits.ticket_attachment_bytes,
        "ticket": request.link.ticket,
        "max_open": uploads.max_open(&request.link),
        "max_unfinished_bytes": uploads.max_unfinished_bytes(&request.link),
        "max_requests_per_minute": request.state.requests_per_minute(&request.link),
        "expires_at": request.link.expires_at.map(ledger::rfc3339),
        "rights": rights,
        "methods": ["PUT", "POST multipart/form-data", "tus 1.0.0", rufh::PROTOCOL],
        "resume_window_seconds": request.state.limits.resume_window.as_secs(),
        "digests": upload::Algorithm::ALL.map(upload::Algorithm::name),
    }))
}

fn describe(request: &PartnerRequest, headers: &mut HeaderMap) {
    set(headers, "allow", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
    set(headers, "accept-patch", "application/offset+octet-stream, application/partial-upload");
    set(headers, "upload-limit", &limit(request, None));
    set(headers, "want-repr-digest", "sha-256=10, sha-512=3, md5=1, sha=1");
    set(headers, "cache-control", "no-store");
    tus::abilities(headers, request.max_bytes());
}
