//! The audit, for support.

use axum::extract::State;
use ledger::AuditFilter;
use serde::Deserialize;

use super::extract::{Params, Staff, partner, ticket_number, time};
use crate::http::json::Json;
use crate::problem::Problem;
use crate::state::AppState;
use crate::to_api;

/// Entries on one page.
const PAGE_ENTRIES: i64 = 500;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditParams {
    /// The number of a ticket.
    ticket: Option<String>,
    /// The short name of a partner.
    partner: Option<String>,
    /// Only what happened at this time or later, RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists what was done, the oldest first.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", params(AuditParams), responses(
    (status = 200, description = "A page of entries.", body = api::AuditPage),
    (status = 404, description = "No partner has this name."),
))]
pub(crate) async fn list(
    _: Staff,
    State(state): State<AppState>,
    Params(wanted): Params<AuditParams>,
) -> Result<Json<api::AuditPage>, Problem> {
    let filter = AuditFilter {
        ticket: wanted.ticket.as_deref().map(ticket_number).transpose()?,
        since: time("since", wanted.since.as_deref())?,
        after: wanted.cursor.as_deref().map(to_api::page_cursor).transpose()?.unwrap_or_default(),
        partner_id: match &wanted.partner {
            Some(id) => Some(partner(&state, id).await?.id),
            None => None,
        },
        limit: PAGE_ENTRIES,
        ..AuditFilter::default()
    };
    let entries = state.ledger.audit(&filter).await?;
    let is_full = i64::try_from(entries.len()).is_ok_and(|count| count >= PAGE_ENTRIES);
    let next_cursor = entries.last().filter(|_| is_full).map(|entry| entry.id.clone());
    Ok(Json(api::AuditPage { entries: entries.iter().map(to_api::audit_entry).collect(), next_cursor }))
}
