//! `tickets`: a partner opens a ticket, or makes a link for one of its own.
//! Invariant: a ticket is opened only through a link without a ticket of its own, for an arranged contact, and never about
//! software that is not for resale.

use api::described::{TicketFields, TicketForm};
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{Right, Token};

use super::form::{self, FileAnswer};
use super::nfr;
use super::open_ticket::{self, OpenedFor};
use super::request::PartnerRequest;
use crate::accept::ResponseFormat;
use crate::fields::Fields;
use crate::headers;
use crate::http::html;
use crate::http::json::Json;
use crate::problem::{self, Problem};

/// `GET`: the form.
pub(crate) async fn page(request: PartnerRequest) -> Result<Response, Problem> {
    may_open(&request)?;
    let html = page::html(&page::OpenTicketPage {
        language: request.language,
        partner: &request.partner.name,
        link: &request.address,
        here: &request.here(),
        nfr_only: request.state.tickets.policy().partner(&request.partner.id).nfr_only.as_deref(),
    });
    Ok(html::response(request.language, html))
}

/// Opens a ticket.
///
/// Needs a link with the right `open-ticket` that is not bound to a ticket. A form may bring files for the ticket.
#[utoipa::path(post, path = "/u/{link}/tickets", operation_id = "open_ticket",
    params(
        ("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`."),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the same answer for 24 hours."),
        ("nfr" = Option<bool>, Query, description = "Like the field: a form can be refused before its files are sent."),
    ),
    request_body(content(
        (TicketFields = "application/json"),
        (TicketFields = "application/x-www-form-urlencoded"),
        (TicketForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "The ticket, and a link that sends files to it.", body = api::OpenedTicket, headers(
            ("Location" = String, description = "The link that sends files to the ticket."),
        )),
        (status = 403, description = "The link may not open tickets, or the contact is not arranged: `ask` says whom to ask."),
        (status = 502, description = "The help desk refused the ticket: `detail` says whom to ask."),
        (status = 422, description = "Fields are wrong, the software is not for resale, or the key was used for something else."),
    ))]
pub(crate) async fn post(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    may_open(&request)?;
    nfr::check_query(&request)?;
    if headers::is_type(&request.headers, "multipart/form-data")? {
        let (request, opened, files) = form::open_ticket(request, body).await?;
        return Ok(answer(&request, &opened, &files));
    }
    let fields = Fields::read(&request.headers, body).await?;
    let opened = open_ticket::open(&request, fields).await?;
    Ok(answer(&request, &opened, &[]))
}

fn may_open(request: &PartnerRequest) -> Result<(), Problem> {
    if !request.link.allows(Right::OpenTicket) {
        return Err(problem::not_allowed("open tickets"));
    }
    match &request.link.ticket {
        Some(ticket) => Err(problem::not_allowed("open tickets").with_detail(format!(
            "This link is for ticket {ticket} only. To open another ticket, use your partner link, or ask support for one."
        ))),
        None => Ok(()),
    }
}

/// Makes an upload link for one of the partner's own tickets.
#[utoipa::path(post, path = "/u/{link}/tickets/{ticket}/link", operation_id = "make_ticket_link",
    params(
        ("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`."),
        ("ticket" = String, Path, description = "The number of a ticket."),
    ),
    responses(
        (status = 201, description = "The link.", body = api::TicketLink),
        (status = 403, description = "The link may not open tickets."),
        (status = 409, description = "The ticket is closed."),
    ))]
pub(crate) async fn make_link(
    request: PartnerRequest,
    Path((_, ticket)): Path<(String, String)>,
) -> Result<Response, Problem> {
    if !request.link.allows(Right::OpenTicket) {
        return Err(problem::not_allowed("make links for tickets"));
    }
    let check = request.state.tickets.check();
    let ticket = check.resolve(&request.link, &request.partner, Some(&ticket)).await?;
    // The same link all day: a loop makes no others.
    let day = ledger::now_ms() / (24 * 60 * 60 * 1000);
    let token = Token::derived(&request.token, &format!("ticket {ticket} day {day}"));
    let (link, token) = open_ticket::link(&request, &ticket, None, token).await?;
    let made = api::TicketLink {
        url: format!("{}/u/{}", request.state.public_url, token.reveal()),
        expires_at: link.expires_at.map(ledger::rfc3339),
    };
    let answer = match request.format {
        ResponseFormat::Html => {
            let html = page::html(&page::TicketPage {
                language: request.language,
                ticket: &ticket,
                subject: None,
                link: &made.url,
                outcomes: &[],
            });
            html::response(request.language, html)
        }
        _ => Json(made).into_response(),
    };
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], answer).into_response())
}

/// The answer for an opened ticket.
fn answer(request: &PartnerRequest, opened: &OpenedFor, files: &[FileAnswer]) -> Response {
    let url = opened.address.trim_end_matches('/');
    let headers = [("cache-control", "no-store"), ("location", url)];
    if request.format == ResponseFormat::Html {
        let locations = form::locations(files, &opened.address);
        let page = page::TicketPage {
            language: request.language,
            ticket: &opened.ticket,
            subject: Some(&opened.subject),
            link: url,
            outcomes: &form::sent(files, &locations),
        };
        let response = html::response(request.language, page::html(&page));
        return (StatusCode::CREATED, headers, response).into_response();
    }
    let answer = api::OpenedTicket {
        ticket: opened.ticket.clone(),
        subject: opened.subject.clone(),
        link: api::TicketLink {
            url: url.to_owned(),
            expires_at: opened.link.expires_at.map(ledger::rfc3339),
        },
        uploads: form::files(files),
        extra: api::Extra::default(),
    };
    (StatusCode::CREATED, headers, Json(answer)).into_response()
}
