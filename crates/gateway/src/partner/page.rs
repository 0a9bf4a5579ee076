//! The upload page, and the small uploaders for a shell.
//! Invariant: a script contains what the request's address contained: no token with `/u/-/`.

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};

use ledger::Right;

use super::request::PartnerRequest;
use crate::problem::Problem;

pub(crate) async fn page(request: PartnerRequest) -> Result<impl IntoResponse, Problem> {
    let asks = match &request.link.ticket {
        Some(ticket) => request.state.ledger.asks(ticket).await?,
        None => Vec::new(),
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
    let html = page::html(&page::LinkPage {
        partner: &request.partner.name,
        ticket: request.link.ticket.as_deref(),
        link: &request.address,
        here: &request.here(),
        max_bytes: request.max_bytes(),
        ticket_attachment_bytes: request.state.limits.ticket_attachment_bytes,
        expires_at: expires_at.as_deref(),
        opens_tickets: request.link.allows(Right::OpenTicket) && request.link.ticket.is_none(),
        escalates: request.link.allows(Right::Escalate),
        asks: &asks,
    });
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)))
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
