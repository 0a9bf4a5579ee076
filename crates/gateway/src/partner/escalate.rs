//! Escalations of partners: the form, its JSON, and the state of one.
//! Invariant: a link with a ticket of its own escalates and shows only that; another partner's escalation does not exist.

use api::described::EscalationFields;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{Escalation, Right};

use super::request::PartnerRequest;
use super::{form, idempotency};
use crate::accept::ResponseFormat;
use crate::escalation_fields::{self, Numbered};
use crate::fields::Fields;
use crate::headers;
use crate::http::html;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::to_api;

/// `GET`: the form.
pub(crate) async fn page(request: PartnerRequest) -> Result<Response, Problem> {
    may_escalate(&request)?;
    let support = &request.state.tickets.policy().support;
    let html = page::html(&page::EscalatePage {
        language: request.language,
        partner: &request.partner.name,
        ticket: request.link.ticket.as_deref(),
        here: &request.here(),
        hours: support.hours.as_ref().map(tickets::Hours::text),
    });
    Ok(html::response(request.language, html))
}

/// Escalates a ticket.
///
/// Needs a link with the right `escalate`.
#[utoipa::path(post, path = "/u/{link}/escalate", operation_id = "escalate",
    params(
        ("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`."),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the same answer for 24 hours."),
    ),
    request_body(content(
        (EscalationFields = "application/json"),
        (EscalationFields = "application/x-www-form-urlencoded"),
        (EscalationFields = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "This request joined an escalation that was open.", body = api::EscalationStatus, headers(
            ("Location" = String, description = "Where to read its state."),
        )),
        (status = 202, description = "The ticket is escalated.", body = api::EscalationStatus, headers(
            ("Location" = String, description = "Where to read its state."),
        )),
        (status = 403, description = "The link may not escalate tickets."),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn post(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    may_escalate(&request)?;
    let (request, fields) = if headers::is_type(&request.headers, "multipart/form-data")? {
        form::fields(request, body).await?
    } else {
        let fields = Fields::read(&request.headers, body).await?;
        (request, fields)
    };
    let bound = request.link.ticket.as_deref();
    let numbered = bound.map_or(Numbered::Required, Numbered::Default);
    let wanted = escalation_fields::read(
        fields,
        &request.state.tickets.policy().partner(&request.partner.id),
        numbered,
    )?;
    let origin = idempotency::key(&request)?.map(|key| idempotency::hash(&request, "escalate", &key));
    let escalated = request
        .state
        .tickets
        .escalate(&request.partner, Some(&request.link), &request.actor(), origin.as_deref(), &wanted)
        .await?;
    request.state.wake.notify_one();
    let status = if escalated.joined { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(&request, status, &escalated.escalation, escalated.joined))
}

/// Tells the state of an escalation.
#[utoipa::path(get, path = "/u/{link}/escalations/{id}", operation_id = "escalation_status",
    params(
        ("link" = String, Path, description = "The token of a link, or `-` if it is in `Authorization`."),
        ("id" = String, Path, description = "The id of an escalation."),
    ),
    responses(
        (status = 200, description = "Its state.", body = api::EscalationStatus),
        (status = 403, description = "The link may not escalate tickets."),
    ))]
pub(crate) async fn show(
    request: PartnerRequest,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    may_escalate(&request)?;
    let none = || problem::no_such_id("escalation", &id);
    if !ledger::is_id(&id) {
        return Err(none());
    }
    let found = match request.state.ledger.escalation(&id).await {
        Err(ledger::Error::NotFound) => return Err(none()),
        found => found?,
    };
    let is_ours = found.partner_id == request.partner.id
        && request.link.ticket.as_ref().is_none_or(|ticket| *ticket == found.ticket);
    if !is_ours {
        return Err(none());
    }
    Ok(answer(&request, StatusCode::OK, &found, false))
}

fn may_escalate(request: &PartnerRequest) -> Result<(), Problem> {
    if request.link.allows(Right::Escalate) { Ok(()) } else { Err(problem::not_allowed("escalate tickets")) }
}

fn answer(request: &PartnerRequest, status: StatusCode, escalation: &Escalation, joined: bool) -> Response {
    let location = format!("{}escalations/{}", request.address, escalation.id);
    let headers = [("location", location.as_str()), ("cache-control", "no-store")];
    if request.format == ResponseFormat::Html {
        let html = page::html(&page::EscalationPage {
            language: request.language,
            reference: &escalation.reference,
            ticket: &escalation.ticket,
            state: escalation.state.name(),
            reason: escalation.state_reason.as_deref(),
            joined,
            hints: &escalation.hints,
            location: &format!("{}escalations/{}", request.here(), escalation.id),
            here: &request.here(),
        });
        return (status, headers, html::response(request.language, html)).into_response();
    }
    (status, headers, Json(to_api::escalation_status(escalation, joined))).into_response()
}
