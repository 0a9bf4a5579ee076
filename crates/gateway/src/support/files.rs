//! The newest files, one file, and its bytes.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Response};
use ledger::{Filter, Upload};
use page::support::{FilePage, FileRow, FilesPage};
use serde::Deserialize;

use super::session::Session;
use crate::problem::Problem;
use crate::staff::content;
use crate::staff::extract::{Id, Params, found, partner, ticket_number};
use crate::state::AppState;
use crate::to_api;

/// Files on a page.
const FILES: i64 = 50;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    partner: String,
    #[serde(default)]
    name: String,
    cursor: Option<String>,
}

pub(crate) async fn list(
    session: Session,
    State(state): State<AppState>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let ticket = given(&wanted.ticket).map(|text| ticket_number(&text)).transpose()?;
    let partner_id = match given(&wanted.partner) {
        Some(id) => Some(partner(&state, &id).await?.id),
        None => None,
    };
    let before = wanted.cursor.as_deref().map(to_api::page_cursor).transpose()?;
    let actor = session.actor();
    match (&ticket, &partner_id) {
        (Some(ticket), _) => state.ledger.record(&actor, "ticket.list", ticket, "complete").await?,
        (None, Some(partner)) => state.ledger.record(&actor, "partner.list", partner, "complete").await?,
        (None, None) => state.ledger.record(&actor, "upload.list", "", "complete").await?,
    }
    let filter = Filter {
        ticket: ticket.clone(),
        partner_id: partner_id.clone(),
        name_part: given(&wanted.name),
        state: Some(ledger::State::Complete),
        before,
        limit: FILES,
        ..Filter::default()
    };
    let uploads = state.ledger.uploads(&filter).await?;
    let about = partner_id.or_else(|| ticket.as_ref().and_then(|_| only_partner(&uploads)));
    let notes = match &about {
        Some(id) => notes(&state, id).await?,
        None => Vec::new(),
    };
    let missing = match &ticket {
        Some(ticket) => state.ledger.missing(ticket).await?.join("; "),
        None => String::new(),
    };
    let files: Vec<_> = uploads.iter().map(row).collect();
    let is_full = i64::try_from(uploads.len()).is_ok_and(|count| count == FILES);
    let next = uploads.last().filter(|_| is_full).map(|last| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("ticket", &wanted.ticket)
            .append_pair("partner", &wanted.partner)
            .append_pair("name", &wanted.name)
            .append_pair("cursor", &last.id)
            .finish();
        format!("/support?{query}")
    });
    let html = page::html(&FilesPage {
        staff: &session.staff.name,
        csrf: &session.csrf,
        ticket: &wanted.ticket,
        partner: &wanted.partner,
        name: &wanted.name,
        about: about.as_deref().unwrap_or_default(),
        notes: &notes,
        missing: &missing,
        files: &files,
        next: next.as_deref(),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

/// The partner that all files belong to.
fn only_partner(uploads: &[Upload]) -> Option<String> {
    let first = uploads.first()?;
    uploads.iter().all(|upload| upload.partner_id == first.partner_id).then(|| first.partner_id.clone())
}

/// What to know about a partner: the operator's notes, the organisation's, and why those are missing.
async fn notes(state: &AppState, partner_id: &str) -> Result<Vec<String>, Problem> {
    let notes = state.tickets.notes(&state.ledger.partner(partner_id).await?).await?;
    let of_desk = notes.organization.map(|organization| [organization.notes, organization.details]);
    let all = notes.operator.into_iter().chain(of_desk.into_iter().flatten()).chain(notes.problem);
    Ok(all.filter(|text| !text.trim().is_empty()).collect())
}

fn row(upload: &Upload) -> FileRow<'_> {
    FileRow {
        id: &upload.id,
        name: &upload.name,
        size: u64::try_from(upload.length.unwrap_or_default()).unwrap_or_default(),
        ticket: &upload.ticket,
        partner: &upload.partner_id,
        received_at: upload.completed_at.map(ledger::rfc3339).unwrap_or_default(),
        delivery: upload.delivery.map_or(upload.state.name(), ledger::Delivery::name),
    }
}

pub(crate) async fn show(
    session: Session,
    State(state): State<AppState>,
    id: Id,
) -> Result<Response, Problem> {
    let id = id.of("upload")?;
    let upload = found("upload", id, state.ledger.upload(id).await)?;
    let receipt = to_api::receipt(&upload);
    let is_complete = upload.state == ledger::State::Complete;
    let size = match &receipt.progress {
        Some(progress) => format!("{} bytes so far, {}", progress.offset, progress.state),
        None => format!("{} bytes", receipt.size.unwrap_or_default()),
    };
    let facts = [
        ("ID", Some(upload.id.clone())),
        ("Partner", Some(upload.partner_id.clone())),
        ("Ticket", Some(upload.ticket.clone())),
        ("Size", Some(size)),
        ("SHA-256", receipt.sha256),
        ("Received", receipt.received_at),
        ("Note on the ticket", receipt.delivery),
        ("Why not", upload.delivery_detail.clone()),
        ("Differs from its side file", receipt.mismatch),
        ("Kept until", receipt.expires_at),
    ];
    let facts: Vec<_> = facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let html = page::html(&FilePage {
        staff: &session.staff.name,
        csrf: &session.csrf,
        id,
        name: &upload.name,
        ticket: &upload.ticket,
        is_complete,
        facts: &facts,
    });
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

pub(crate) async fn read(
    session: Session,
    State(state): State<AppState>,
    id: Id,
    request: HeaderMap,
) -> Result<Response, Problem> {
    content::send(&state, &session.actor(), id.of("upload")?, false, &request).await
}
