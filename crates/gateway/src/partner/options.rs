//! `OPTIONS`: limits and ways to send, before a byte is sent.

use api::LinkLimits;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::cors;
use super::protocol::{rufh, tus};
use super::request::{PartnerRequest, split};
use super::response::{limit, set};
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

fn limits(request: &PartnerRequest) -> Json<LinkLimits> {
    let PartnerRequest { state, link, .. } = request;
    let uploads = &state.uploads;
    Json(LinkLimits {
        max_size: request.max_bytes(),
        ticket_attachment_size: state.limits.ticket_attachment_bytes,
        ticket: link.ticket.clone(),
        max_open: uploads.max_open(link).unsigned_abs(),
        max_unfinished_bytes: uploads.max_unfinished_bytes(link),
        max_requests_per_minute: state.requests_per_minute(link),
        expires_at: link.expires_at.map(ledger::rfc3339),
        rights: link.rights.iter().map(|right| right.name().to_owned()).collect(),
        methods: ["PUT", "POST multipart/form-data", "tus 1.0.0", rufh::PROTOCOL].map(str::to_owned).into(),
        resume_window_seconds: state.limits.resume_window.as_secs(),
        digests: upload::Algorithm::ALL.map(|algorithm| algorithm.name().to_owned()).into(),
        extra: api::Extra::default(),
    })
}

fn describe(request: &PartnerRequest, headers: &mut HeaderMap) {
    set(headers, "allow", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
    set(headers, "accept-patch", "application/offset+octet-stream, application/partial-upload");
    set(headers, "upload-limit", &limit(request, None));
    set(headers, "want-repr-digest", "sha-256=10, sha-512=3, md5=1, sha=1");
    set(headers, "cache-control", "no-store");
    tus::abilities(headers, request.max_bytes());
}
