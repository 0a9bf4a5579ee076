//! Everything in a partner's bucket, also what the partner put there with its own tools.

use api::{BucketObject, ObjectPage};
use axum::extract::State;
use axum::http::StatusCode;
use bucket::layout::{self, FileKey};
use serde::Deserialize;

use super::extract::{Id, Params, Staff, partner};
use crate::http::json::Json;
use crate::problem::{self, Problem};
use crate::state::AppState;

/// S3's limit for a key.
const KEY_BYTES_MAX: usize = 1_024;

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
pub(crate) async fn list(
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
            Found::Upload(upload) if upload.partner_id == id => upload,
            Found::Upload(_) | Found::Nothing if !own => continue,
            Found::Upload(_) | Found::Nothing => {
                let known = state.ledger.partner_object(&id, &object.key).await?;
                objects.push(own_object(&object, known.as_ref()));
                continue;
            }
        };
        objects.push(BucketObject {
            upload_id: Some(upload.id),
            sha256: upload.sha256,
            ..as_listed(&object)
        });
    }
    Ok(Json(ObjectPage { objects, next_cursor: page.next }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectKey {
    /// The key of an object.
    key: String,
}

/// Shows an object that the partner stored itself.
#[utoipa::path(get, path = "/api/v1/partners/{id}/object", operation_id = "show_object",
    params(("id" = String, Path, description = "The short name of a partner."), ObjectKey),
    responses(
        (status = 200, description = "The object.", body = BucketObject),
        (status = 404, description = "No partner has this name, or its own bucket has no such object."),
        (status = 422, description = "The object came through the gateway."),
    ))]
pub(crate) async fn show(
    _: Staff,
    State(state): State<AppState>,
    Id(id): Id,
    Params(asked): Params<ObjectKey>,
) -> Result<Json<BucketObject>, Problem> {
    let object = find(&state, &id, asked.key).await?;
    let known = state.ledger.partner_object(&id, &object.key).await?;
    Ok(Json(own_object(&object, known.as_ref())))
}

/// Asks for an object to be read that the partner stored itself.
///
/// Its SHA-256 is recorded, and then it is no longer unverified.
#[utoipa::path(post, path = "/api/v1/partners/{id}/object", operation_id = "read_object",
    params(("id" = String, Path, description = "The short name of a partner."), ObjectKey),
    responses(
        (status = 200, description = "It has been read.", body = BucketObject),
        (status = 202, description = "It will be read. `GET` shows how that ended.", body = BucketObject),
        (status = 404, description = "No partner has this name, or its own bucket has no such object."),
        (status = 422, description = "The object came through the gateway."),
    ))]
pub(crate) async fn read(
    staff: Staff,
    State(state): State<AppState>,
    Id(id): Id,
    Params(asked): Params<ObjectKey>,
) -> Result<(StatusCode, Json<BucketObject>), Problem> {
    let object = find(&state, &id, asked.key).await?;
    let (_, bucket) = state.buckets.of_partner(&id);
    let seen = ledger::SeenObject {
        key: object.key.clone(),
        ticket: layout::leading_ticket(bucket.prefix(), &object.key).map(str::to_owned),
        size_bytes: object.size,
        etag: object.etag.clone().unwrap_or_default(),
    };
    let known = state.ledger.want_object(&id, &seen, &staff.actor()).await?;
    let status = if known.sha256.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(own_object(&object, Some(&known)))))
}

/// An object that a partner stored itself in its own bucket.
async fn find(state: &AppState, partner_id: &str, key: String) -> Result<bucket::Object, Problem> {
    partner(state, partner_id).await?;
    let (name, bucket) = state.buckets.of_partner(partner_id);
    let is_possible = (1..=KEY_BYTES_MAX).contains(&key.len())
        && key.starts_with(bucket.prefix())
        && !key.starts_with(&layout::hidden_prefix(bucket.prefix()))
        && state.buckets.has_own(partner_id);
    let found = if is_possible { bucket.head(&key).await? } else { None };
    let Some(found) = found else {
        let detail = format!(
            "The bucket of `{partner_id}` has no such object. `GET /api/v1/partners/{partner_id}/objects` lists them."
        );
        return Err(problem::not_found().with_detail(detail));
    };
    let object =
        bucket::Object { key, size: found.size, last_modified: found.last_modified, etag: found.etag };
    match upload_of(state, name, bucket.prefix(), &object).await? {
        Found::Nothing => Ok(object),
        Found::Hidden | Found::Upload(_) => {
            let why = "This object came through the gateway: the receipt has its SHA-256.";
            Err(problem::bad_field("key", why))
        }
    }
}

/// An object that the partner stored itself, with what is known of its bytes.
fn own_object(object: &bucket::Object, known: Option<&ledger::PartnerObject>) -> BucketObject {
    let known = known.filter(|known| Some(&known.etag) == object.etag.as_ref());
    let sha256 = known.and_then(|known| known.sha256.clone());
    BucketObject {
        unverified: sha256.is_none(),
        sha256,
        verified_at: known.and_then(|known| known.verified_at).map(ledger::rfc3339),
        problem: known.and_then(|known| known.problem.clone()),
        ..as_listed(object)
    }
}

fn as_listed(object: &bucket::Object) -> BucketObject {
    BucketObject {
        key: object.key.clone(),
        size: u64::try_from(object.size).unwrap_or_default(),
        last_modified: Some(ledger::rfc3339(object.last_modified)),
        ..BucketObject::default()
    }
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
