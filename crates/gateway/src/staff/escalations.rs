//! Escalations, as support lists, makes and changes them.

use access::TicketError;
use api::described::{EscalationChange, EscalationStateName, PartnerEscalationFields};
use api::{Escalation, EscalationFiles, EscalationList};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::{EscalationFilter, EscalationState};
use serde::Deserialize;
use tickets::FindError;

use super::extract::{Id, Params, Staff, found, partner, ticket_number};
use crate::escalation_fields::{self, Numbered};
use crate::fields::Fields;
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscalationsFilter {
    /// The number of a ticket.
    ticket: Option<String>,
    /// The short name of a partner.
    partner: Option<String>,
    #[param(value_type = Option<EscalationStateName>, inline)]
    state: Option<String>,
}

/// Lists escalations, without the files of their tickets.
#[utoipa::path(get, path = "/api/v1/escalations", operation_id = "list_escalations", params(EscalationsFilter), responses(
    (status = 200, description = "The escalations.", body = EscalationList),
))]
pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Params(filter): Params<EscalationsFilter>,
) -> Result<Json<EscalationList>, Problem> {
    let wanted = filter.state.as_deref().map(parse_state).transpose()?;
    let ticket = filter.ticket.as_deref().map(ticket_number).transpose()?;
    let filter =
        EscalationFilter { partner_id: filter.partner.as_deref(), ticket: ticket.as_deref(), state: wanted };
    let found = state.ledger.escalations(&filter).await?;
    Ok(Json(EscalationList { escalations: found.iter().map(to_api::escalation).collect() }))
}

fn parse_state(text: &str) -> Result<EscalationState, Problem> {
    EscalationState::parse(text).ok_or_else(|| {
        let names = EscalationState::ALL.map(EscalationState::name).join(", ");
        problem::bad_request(&format!("`state` must be one of {names}."))
    })
}

/// Shows an escalation, with the files of its ticket.
#[utoipa::path(get, path = "/api/v1/escalations/{id}", operation_id = "show_escalation",
    params(("id" = String, Path, description = "The id of an escalation.")),
    responses(
        (status = 200, description = "The escalation.", body = Escalation),
        (status = 404, description = "No escalation has this id."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<Json<Escalation>, Problem> {
    let id = id.of("escalation")?;
    let escalation = found("escalation", id, state.ledger.escalation(id).await)?;
    let files = state.tickets.files(&escalation.partner_id, &escalation.ticket).await?;
    let receipts = |uploads: &[ledger::Upload]| uploads.iter().map(to_api::receipt).collect();
    let files = EscalationFiles {
        asked_for: files.asked_for,
        missing: files.missing.clone(),
        arrived: receipts(&files.arrived),
        unfinished: receipts(&files.unfinished),
    };
    let done = async |step: &str| {
        let step = state.ledger.step(id, step).await?;
        Ok::<_, Problem>(step.filter(|step| step.done_at.is_some()).and_then(|step| step.result))
    };
    let note = done(&ledger::step_when_raised("note", escalation.raised)).await?;
    let tag = done("tag").await?;
    Ok(Json(Escalation { files: Some(files), note, tag, ..to_api::escalation(&escalation) }))
}

/// Escalates a ticket of the partner that `partner` names.
#[utoipa::path(post, path = "/api/v1/escalations", operation_id = "escalate_for_partner",
    request_body(content(
        (PartnerEscalationFields = "application/json"),
        (PartnerEscalationFields = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "This request joined an escalation that was open.", body = api::EscalationStatus),
        (status = 202, description = "The ticket is escalated.", body = api::EscalationStatus),
        (status = 404, description = "The partner has no such ticket."),
        (status = 422, description = "Fields are missing or wrong."),
        (status = 429, description = "Too many ticket numbers, or too many open escalations. `Retry-After` says when to try again."),
    ))]
pub(crate) async fn create(
    staff: Staff,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = Fields::read(&headers, body).await?;
    let id = fields.line("partner", "Write the partner's short name.");
    let policy = state.tickets.policy().partner(&id);
    let wanted = escalation_fields::read(fields, &policy, Numbered::Required)?;
    let partner = partner(&state, &id).await.map_err(|problem| match problem.status {
        StatusCode::NOT_FOUND => problem::bad_field("partner", problem.detail()),
        _ => problem,
    })?;
    let escalated = state.tickets.escalate(&partner, None, &staff.actor(), None, &wanted).await;
    let escalated = escalated.map_err(|error| match error {
        FindError::Ticket(TicketError::Unknown) => problem::unknown_ticket().with_detail(format!(
            "Partner `{}` has no ticket with this number or case number. Check both.",
            partner.id
        )),
        error => error.into(),
    })?;
    state.wake.notify_one();
    let status = if escalated.joined { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = to_api::escalation_status(&escalated.escalation, escalated.joined);
    Ok((status, Json(answer)).into_response())
}

/// Changes the state of an escalation.
#[utoipa::path(patch, path = "/api/v1/escalations/{id}", operation_id = "change_escalation",
    params(("id" = String, Path, description = "The id of an escalation.")),
    request_body(content((EscalationChange = "application/json"), (EscalationChange = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The escalation, without the files of its ticket.", body = Escalation),
        (status = 404, description = "No escalation has this id."),
        (status = 409, description = "It cannot get this state any more."),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn change(
    staff: Staff,
    State(state): State<AppState>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Escalation>, Problem> {
    let fields = Fields::read(&headers, body).await?;
    let changed = change_state(&state, &staff.actor(), id.of("escalation")?, fields).await?;
    Ok(Json(to_api::escalation(&changed)))
}

/// Gives an escalation the state that the fields say.
pub(crate) async fn change_state(
    state: &AppState,
    actor: &str,
    id: &str,
    mut fields: Fields,
) -> Result<ledger::Escalation, Problem> {
    let names = EscalationState::ALL.map(EscalationState::name).join(", ");
    let name = fields.line("state", &format!("Use one of {names}."));
    let wanted = EscalationState::parse(&name);
    if wanted.is_none() && !name.is_empty() {
        fields.wrong("state", &format!("Use one of {names}."));
    }
    let reason = fields.optional_line("reason");
    if wanted == Some(EscalationState::Declined) && reason.is_none() {
        fields.wrong("reason", "Write why it is declined: the sender reads it.");
    }
    fields.finish()?;
    let wanted = wanted.unwrap_or(EscalationState::Submitted);
    let changed = state.ledger.set_escalation_state(id, wanted, reason.as_deref(), actor).await;
    let changed = match changed {
        Err(ledger::Error::Conflict(why)) => {
            return Err(problem::conflict(&format!(
                "This escalation cannot change: {why}. Read its state first."
            )));
        }
        changed => found("escalation", id, changed)?,
    };
    state.wake.notify_one();
    Ok(changed)
}
