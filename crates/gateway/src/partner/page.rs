//! The upload page, and the small uploaders for a shell.
//! Invariant: a script contains what the request's address contained: no token with `/u/-/`.

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::request::PartnerRequest;
use super::ticket;
use crate::http::html;
use crate::problem::Problem;

pub(crate) async fn page(request: PartnerRequest) -> Result<impl IntoResponse, Problem> {
    let asks = match &request.link.ticket {
        // Not of a ticket that was moved to somebody else.
        Some(ticket) if ticket::resolve(&request, None).await.is_ok() => {
            request.state.ledger.asks(ticket).await?
        }
        _ => Vec::new(),
    };
    let asks: Vec<_> = asks
        .iter()
        .map(|ask| page::WantedFile {
            id: &ask.id,
            wanted: &ask.wanted,
            has_arrived: ask.upload_id.is_some(),
        })
        .collect();
    let expires_at = request.link.expires_at.map(ledger::rfc3339);
    let rights: Vec<_> = request.link.rights.iter().map(|right| right.name()).collect();
    let mut path = request.uri.path().trim_end_matches('/').to_owned();
    path.push('/');
    let policy = request.state.tickets.policy();
    let html = page::html(&page::LinkPage {
        language: request.language,
        partner: &request.partner.name,
        ticket: request.link.ticket.as_deref(),
        link: &request.address,
        here: &request.here(),
        link_id: &request.link.id,
        path: &path,
        rights: &rights,
        max_bytes: request.max_bytes(),
        ticket_attachment_bytes: request.state.limits.ticket_attachment_bytes,
        resume_window_s: request.state.limits.resume_window.as_secs(),
        has_own_bucket: request.state.buckets.has_own(&request.partner.id),
        has_retention: policy.retention.is_some(),
        expires_at: expires_at.as_deref(),
        nfr_only: policy.partner(&request.partner.id).nfr_only.as_deref(),
        hours: policy.support.hours.as_ref().map(tickets::Hours::text),
        asks: &asks,
    });
    Ok(html::response(request.language, html))
}

pub(crate) async fn send_sh(request: PartnerRequest) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/x-shellscript; charset=utf-8"),
        (CONTENT_DISPOSITION, "inline; filename=send.sh"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, page::send_sh(&request.address))
}

pub(crate) async fn send_ps1(request: PartnerRequest) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CONTENT_DISPOSITION, "inline; filename=send.ps1"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, page::send_ps1(&request.address))
}
