//! Legal holds: set and lifted by support.

use api::{Hold, HoldRequest};
use axum::extract::State;
use axum::http::StatusCode;
use tickets::is_unprintable;

use super::extract::{Id, JsonBody, Staff, ticket_in_path};
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

/// Sets a hold on a ticket, or changes its reason.
///
/// Until it is lifted, no file of the ticket is deleted for its age, and none can be removed.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/hold", operation_id = "set_hold", request_body = HoldRequest,
    params(("ticket" = String, Path, description = "The number of a ticket.")),
    responses(
        (status = 200, description = "The hold.", body = Hold),
        (status = 422, description = "Fields are missing or wrong."),
    ))]
pub(crate) async fn set(
    staff: Staff,
    State(state): State<AppState>,
    Id(ticket): Id,
    JsonBody(request): JsonBody<HoldRequest>,
) -> Result<Json<Hold>, Problem> {
    let ticket = ticket_in_path(&ticket)?;
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > api::LINE_CHARS_MAX || reason.chars().any(is_unprintable)
    {
        let detail = format!("Write why, in one line of at most {} characters.", api::LINE_CHARS_MAX);
        return Err(problem::bad_field("reason", &detail));
    }
    let hold = state.ledger.set_hold(&ticket, reason, &staff.actor()).await?;
    Ok(Json(to_api::hold(&hold)))
}

/// Shows the hold on a ticket.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/hold", operation_id = "show_hold",
    params(("ticket" = String, Path, description = "The number of a ticket.")),
    responses(
        (status = 200, description = "The hold.", body = Hold),
        (status = 404, description = "The ticket has no hold."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    Id(ticket): Id,
) -> Result<Json<Hold>, Problem> {
    let ticket = ticket_in_path(&ticket)?;
    let hold = state.ledger.hold(&ticket).await?.ok_or_else(|| no_hold(&ticket))?;
    Ok(Json(to_api::hold(&hold)))
}

/// Lifts the hold on a ticket. Files whose time is over are deleted soon after.
#[utoipa::path(delete, path = "/api/v1/tickets/{ticket}/hold", operation_id = "lift_hold",
    params(("ticket" = String, Path, description = "The number of a ticket.")),
    responses(
        (status = 204, description = "It is lifted."),
        (status = 404, description = "The ticket has no hold."),
    ))]
pub(crate) async fn lift(
    staff: Staff,
    State(state): State<AppState>,
    Id(ticket): Id,
) -> Result<StatusCode, Problem> {
    let ticket = ticket_in_path(&ticket)?;
    match state.ledger.lift_hold(&ticket, &staff.actor()).await {
        Err(ledger::Error::NotFound) => Err(no_hold(&ticket)),
        lifted => lifted.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

fn no_hold(ticket: &str) -> Problem {
    problem::not_found().with_detail(format!("Ticket {ticket} has no hold."))
}
