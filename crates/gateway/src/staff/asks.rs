//! Files that support asks for on a ticket.

use std::time::Duration;

use api::{AskList, AskRequest};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tickets::is_unprintable;

use super::extract::{Id, JsonBody, Staff, ticket_in_path};
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

/// How long a request waits for the desk.
const DESK_TIMEOUT: Duration = Duration::from_secs(10);

/// Lists what support asked for on a ticket, and what of it has arrived.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/asks", operation_id = "list_asks",
    params(("ticket" = String, Path, description = "The number of a ticket.")),
    responses((status = 200, description = "Every file, oldest first.", body = AskList)))]
pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Id(ticket): Id,
) -> Result<Json<AskList>, Problem> {
    answer(&state, &ticket_in_path(&ticket)?).await
}

/// Asks for files on a ticket.
///
/// A public comment on the ticket says so, and the upload page lists them. What the ticket waits for already is not asked for
/// again.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/asks", operation_id = "ask", request_body = AskRequest,
    params(("ticket" = String, Path, description = "The number of a ticket.")),
    responses(
        (status = 200, description = "Every file, oldest first.", body = AskList),
        (status = 404, description = "No partner has this ticket."),
        (status = 409, description = "The ticket is closed."),
        (status = 422, description = "Fields are missing or wrong, or the ticket would wait for too many files."),
    ))]
pub(crate) async fn ask(
    staff: Staff,
    State(state): State<AppState>,
    Id(ticket): Id,
    JsonBody(request): JsonBody<AskRequest>,
) -> Result<Json<AskList>, Problem> {
    let ticket = ticket_in_path(&ticket)?;
    let wanted: Vec<_> =
        request.wanted.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let is_line = |text: &String| {
        !text.is_empty() && text.chars().count() <= api::LINE_CHARS_MAX && !text.chars().any(is_unprintable)
    };
    if wanted.is_empty() || wanted.len() > ledger::ASKS_MAX || !wanted.iter().all(is_line) {
        let detail = format!(
            "Write 1 to {} files, each in one line of at most {} characters.",
            ledger::ASKS_MAX,
            api::LINE_CHARS_MAX
        );
        return Err(problem::bad_field("wanted", &detail));
    }
    check(&state, &ticket).await?;
    match state.ledger.ask(&ticket, &wanted, &staff.actor()).await {
        Err(ledger::Error::Conflict(why)) => {
            Err(problem::bad_field("wanted", &format!("Too many files: {why}. Withdraw some of them first.")))
        }
        asked => {
            asked?;
            state.wake.notify_one();
            answer(&state, &ticket).await
        }
    }
}

/// Only on an open ticket of a partner: a public comment will ask for the files.
async fn check(state: &AppState, ticket: &str) -> Result<(), Problem> {
    let no_answer = || problem::unavailable("The desk does not respond.", problem::RETRY_SOON);
    let seen = match tokio::time::timeout(DESK_TIMEOUT, state.desk.ticket(ticket)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(desk::Error::NotFound)) => {
            let detail = format!("The desk has no ticket {ticket}. Check the number.");
            return Err(problem::unknown_ticket().with_detail(detail));
        }
        _ => return Err(no_answer()),
    };
    if seen.status == desk::Status::Closed {
        return Err(problem::ticket_closed(ticket));
    }
    if state.ledger.is_partners_ticket(ticket, seen.organization()).await? {
        return Ok(());
    }
    let detail = format!("Ticket {ticket} belongs to no partner, so nobody could send files for it.");
    Err(problem::unknown_ticket().with_detail(detail))
}

/// No longer asks for a file.
#[utoipa::path(delete, path = "/api/v1/tickets/{ticket}/asks/{ask}", operation_id = "withdraw_ask",
    params(
        ("ticket" = String, Path, description = "The number of a ticket."),
        ("ask" = String, Path, description = "The id of what was asked for."),
    ),
    responses(
        (status = 204, description = "The ticket no longer waits for it."),
        (status = 404, description = "The ticket does not wait for a file with this id."),
    ))]
pub(crate) async fn withdraw(
    staff: Staff,
    State(state): State<AppState>,
    Path((ticket, ask)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let ticket = ticket_in_path(&ticket)?;
    match state.ledger.withdraw_ask(&ticket, &ask, &staff.actor()).await {
        Err(ledger::Error::NotFound) => {
            let detail =
                format!("Ticket {ticket} does not wait for a file with the ID `{}`.", ask.escape_debug());
            Err(problem::not_found().with_detail(detail))
        }
        withdrawn => withdrawn.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

async fn answer(state: &AppState, ticket: &str) -> Result<Json<AskList>, Problem> {
    let asks = state.ledger.asks(ticket).await?;
    Ok(Json(AskList { asks: asks.iter().map(to_api::ask).collect() }))
}
