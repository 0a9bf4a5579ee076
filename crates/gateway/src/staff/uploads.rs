//! Uploads as support sees them: every partner's, filtered.

use api::described::UploadStateName;
use axum::extract::State;
use axum::http::StatusCode;
use ledger::Filter;
use serde::Deserialize;

use super::extract::{Id, Params, Staff, found, partner, ticket_number, time};
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;
use crate::to_api;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadFilter {
    /// The number of a ticket.
    ticket: Option<String>,
    /// The short name of a partner.
    partner: Option<String>,
    /// Only what arrived after this time, RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only what arrived until this time, RFC 3339.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Without it, complete uploads. The last three are of complete uploads.
    #[param(value_type = Option<UploadStateName>, inline)]
    state: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists uploads, the newest first.
///
/// Without `state` only complete uploads are listed, so nobody takes half a file for a whole one.
#[utoipa::path(get, path = "/api/v1/uploads", operation_id = "list_uploads", params(UploadFilter), responses(
    (status = 200, description = "A page of uploads.", body = api::UploadPage),
    (status = 404, description = "No partner has this name."),
))]
pub(crate) async fn list(
    staff: Staff,
    State(state): State<AppState>,
    Params(wanted): Params<UploadFilter>,
) -> Result<Json<api::UploadPage>, Problem> {
    let name = wanted.state.as_deref().unwrap_or(ledger::State::Complete.name());
    let (upload_state, delivery) = match (ledger::State::parse(name), ledger::Delivery::parse(name)) {
        (Some(state), _) => (state, None),
        (None, Some(delivery)) => (ledger::State::Complete, Some(delivery)),
        (None, None) => {
            let known = "`state` must be open, completing, complete, cancelled or removed; or, for complete uploads, pending, done or \
                         undeliverable.";
            return Err(problem::bad_request(known));
        }
    };
    let ticket = wanted.ticket.as_deref().map(ticket_number).transpose()?;
    let (since, until) = (time("since", wanted.since.as_deref())?, time("until", wanted.until.as_deref())?);
    let before = wanted.cursor.as_deref().map(to_api::page_cursor).transpose()?;
    // An unknown partner is an error: an empty list would look as if nothing had arrived.
    let partner_id = match &wanted.partner {
        Some(id) => Some(partner(&state, id).await?.id),
        None => None,
    };
    if before.is_none() {
        let actor = staff.actor();
        match (&ticket, &partner_id) {
            (Some(ticket), _) => state.ledger.record(&actor, "ticket.list", ticket, name).await?,
            (None, Some(partner)) => state.ledger.record(&actor, "partner.list", partner, name).await?,
            (None, None) => state.ledger.record(&actor, "upload.list", "", name).await?,
        }
    }
    let filter = Filter {
        ticket,
        partner_id,
        state: Some(upload_state),
        delivery,
        since,
        until,
        before,
        limit: to_api::PAGE_UPLOADS,
        ..Filter::default()
    };
    Ok(Json(to_api::page(&state.ledger.uploads(&filter).await?)))
}

/// Shows an upload, complete or not.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", operation_id = "show_upload",
    params(("id" = String, Path, description = "The id of an upload.")),
    responses(
        (status = 200, description = "The receipt, or the progress so far.", body = api::Receipt),
        (status = 404, description = "No upload has this id."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<Json<api::Receipt>, Problem> {
    let id = id.of("upload")?;
    let upload = found("upload", id, state.ledger.upload(id).await)?;
    let bucket = state.buckets.named(&upload.bucket);
    Ok(Json(api::Receipt {
        delivery_detail: upload.delivery_detail.clone(),
        object: bucket.map(|bucket| format!("s3://{}/{}", bucket.name(), upload.object_key)),
        ..to_api::receipt(&upload)
    }))
}

/// Removes an upload, or cancels one that is not complete.
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", operation_id = "remove_upload",
    params(("id" = String, Path, description = "The id of an upload.")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "No upload has this id, or it was removed before."),
    ))]
pub(crate) async fn remove(
    staff: Staff,
    State(state): State<AppState>,
    id: Id,
) -> Result<StatusCode, Problem> {
    // One that is complete is removed.
    let id = id.of("upload")?;
    found("upload", id, state.ledger.upload(id).await)?;
    if !state.uploads.cancel(id, &staff.actor(), "").await? {
        match state.uploads.remove(id, &staff.actor()).await {
            Err(upload::Error::OnHold { ticket }) => {
                let why = format!(
                    "Ticket {ticket} has a hold, so its files stay. `wb hold show {ticket}` says why."
                );
                return Err(Problem::from(upload::Error::OnHold { ticket }).with_detail(why));
            }
            removed => removed?,
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
