//! Partners, the notes about their organisation in the desk, and everything in their bucket.

use api::{BucketObject, ObjectPage, PartnerDetails, PartnerList};
use axum::extract::State;
use bucket::layout::{self, FileKey};
use serde::Deserialize;

use super::extract::{Id, Params, Staff, partner};
use crate::http::json::Json;
use crate::problem::{self, Problem};
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

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectCursor {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists a partner's objects.
///
/// Objects that the partner stored itself are marked unverified. In the shared bucket only this partner's uploads are shown.
/// Unfinished pieces and our own receipts are hidden.
#[utoipa::path(get, path = "/api/v1/partners/{id}/objects", operation_id = "list_objects",
    params(("id" = String, Path, description = "The short name of a partner."), ObjectCursor),
    responses(
        (status = 200, description = "A page of objects.", body = ObjectPage),
        (status = 404, description = "No partner has this name."),
    ))]
pub(crate) async fn objects(
    _: Staff,
    State(state): State<AppState>,
    Id(id): Id,
    Params(asked): Params<ObjectCursor>,
) -> Result<Json<ObjectPage>, Problem> {
    partner(&state, &id).await?;
    let (name, bucket) = state.buckets.of_partner(&id);
    let own = state.buckets.has_own(&id);
    let hidden = layout::hidden_prefix(bucket.prefix());
    let cursor = asked.cursor.as_deref();
    let listed = match cursor {
        Some("") => Err(bucket::Error::Refused("empty".into())),
        cursor => bucket.list(bucket.prefix(), cursor).await,
    };
    let page = match listed {
        // The cursor is the store's own: only the store can tell a wrong one.
        Err(bucket::Error::Refused(_)) if cursor.is_some() => {
            let why =
                "`cursor` is not from this list. Use `next_cursor` of the page before, or leave it out.";
            return Err(problem::bad_request(why));
        }
        page => page?,
    };
    let mut objects = Vec::with_capacity(page.objects.len());
    for object in page.objects.into_iter().filter(|object| !object.key.starts_with(&hidden)) {
        let upload = match upload_of(&state, name, bucket.prefix(), &object).await? {
            Found::Hidden => continue,
            Found::Upload(upload) if upload.partner_id == id => Some(upload),
            Found::Upload(_) | Found::Nothing if !own => continue,
            Found::Upload(_) | Found::Nothing => None,
        };
        objects.push(BucketObject {
            size: u64::try_from(object.size).unwrap_or_default(),
            last_modified: Some(ledger::rfc3339(object.last_modified)),
            unverified: upload.is_none(),
            upload_id: upload.map(|upload| upload.id),
            key: object.key,
            ..BucketObject::default()
        });
    }
    Ok(Json(ObjectPage { objects, next_cursor: page.next }))
}

enum Found {
    Upload(Box<ledger::Upload>),
    /// Our receipt, or the object of an upload that is not complete.
    Hidden,
    Nothing,
}

/// The complete upload with this key. An object of another size or in another bucket is not
/// the upload's.
async fn upload_of(
    state: &AppState,
    name: &str,
    prefix: &str,
    object: &bucket::Object,
) -> Result<Found, Problem> {
    let key = object.key.as_str();
    let Some(file) = FileKey::parse(prefix, key) else { return Ok(Found::Nothing) };
    match state.ledger.upload(file.upload_id).await {
        Ok(upload) if upload.bucket != name => Ok(Found::Nothing),
        Ok(upload) if upload.object_key == key && upload.state != ledger::State::Complete => {
            Ok(Found::Hidden)
        }
        Ok(upload) if upload.object_key == key && upload.length == Some(object.size) => {
            Ok(Found::Upload(Box::new(upload)))
        }
        Ok(upload) if layout::receipt_subject(key) == Some(upload.object_key.as_str()) => Ok(Found::Hidden),
        Ok(_) | Err(ledger::Error::NotFound) => Ok(Found::Nothing),
        Err(error) => Err(error.into()),
    }
}
