//! Partners, and the notes about their organisation in the desk.

use api::{PartnerDetails, PartnerList};
use axum::extract::State;

use super::extract::{Id, Staff, partner};
use crate::http::json::Json;
use crate::problem::Problem;
use crate::state::AppState;
use crate::to_api;

/// Lists partners.
#[utoipa::path(get, path = "/api/v1/partners", operation_id = "list_partners", responses(
    (status = 200, description = "Every partner.", body = PartnerList),
))]
pub(crate) async fn list(_: Staff, State(state): State<AppState>) -> Result<Json<PartnerList>, Problem> {
    let partners = state.ledger.partners().await?;
    Ok(Json(PartnerList { partners: partners.iter().map(|partner| answer(&state, partner)).collect() }))
}

fn answer(state: &AppState, partner: &ledger::Partner) -> api::Partner {
    to_api::partner(partner, state.buckets.has_own(&partner.id))
}

/// Shows a partner.
///
/// With what support should know: the notes about the organisation in the desk, and the operator's own.
#[utoipa::path(get, path = "/api/v1/partners/{id}", operation_id = "show_partner",
    params(("id" = String, Path, description = "The short name of a partner.")),
    responses(
        (status = 200, description = "The partner.", body = PartnerDetails),
        (status = 404, description = "No partner has this name."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    Id(id): Id,
) -> Result<Json<PartnerDetails>, Problem> {
    let partner = partner(&state, &id).await?;
    let notes = state.tickets.notes(&partner).await?;
    let mut details = PartnerDetails {
        partner: answer(&state, &partner),
        notes_problem: notes.problem,
        operator_notes: notes.operator,
        ..PartnerDetails::default()
    };
    if let Some(organization) = notes.organization {
        details.notes_at = Some(ledger::rfc3339(organization.fetched_at));
        details.notes = Some(organization.notes);
        details.details = Some(organization.details);
        details.fields = serde_json::from_str(&organization.fields).ok();
    }
    Ok(Json(details))
}
