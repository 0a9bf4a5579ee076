//! Open escalations, and what support does with each.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use ledger::{Escalation, EscalationFilter, EscalationState, rfc3339};
use page::support::{EscalationRow, EscalationsPage};

use super::session::Session;
use crate::problem::Problem;
use crate::staff::escalations::change_state;
use crate::staff::extract::Id;
use crate::state::AppState;

pub(crate) async fn list(session: Session, State(state): State<AppState>) -> Result<Response, Problem> {
    let mut open = Vec::new();
    for wanted in [EscalationState::Submitted, EscalationState::Acknowledged] {
        let filter = EscalationFilter { state: Some(wanted), ..EscalationFilter::default() };
        open.extend(state.ledger.escalations(&filter).await?);
    }
    let rows: Vec<_> = open.iter().map(row).collect();
    let html =
        page::html(&EscalationsPage { staff: &session.staff.name, csrf: &session.csrf, escalations: &rows });
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

fn row(escalation: &Escalation) -> EscalationRow<'_> {
    EscalationRow {
        id: &escalation.id,
        reference: &escalation.reference,
        ticket: &escalation.ticket,
        partner: &escalation.partner_id,
        urgency: escalation.urgency.name(),
        emergency: escalation.emergency,
        state: escalation.state.name(),
        created_at: rfc3339(escalation.created_at),
        reason: &escalation.reason,
        actions: &escalation.actions,
    }
}

pub(crate) async fn change(
    session: Session,
    State(state): State<AppState>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let fields = session.fields(&headers, body).await?;
    change_state(&state, &session.actor(), id.of("escalation")?, fields).await?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, "/support/escalations")]).into_response())
}
