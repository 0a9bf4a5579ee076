//! Partners, the notes their organisation has in the desk, and everything in their bucket.

use axum::extract::{Path, State};
use bucket::layout::{self, FileKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Params, Refusal, Staff, partner};
use crate::app::App;
use crate::json::Json;
use crate::problem;

pub(crate) async fn list(_: Staff, State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let partners: Vec<_> =
        app.ledger.partners().await?.iter().map(|partner| describe(&app, partner)).collect();
    Ok(Json(json!({ "partners": partners })))
}

fn describe(app: &App, partner: &ledger::Partner) -> Value {
    json!({
        "id": partner.id,
        "name": partner.name,
        "organization_id": partner.organization_id,
        "bucket": app.buckets.has_own(&partner.id),
        "disabled_at": partner.disabled_at.map(ledger::rfc3339),
    })
}

/// The organisation's notes come from the desk as they are now; without the desk the rest is answered all the same.
pub(crate) async fn show(
    _: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let partner = partner(&app, &id).await?;
    let mut body = describe(&app, &partner);
    let organization = match partner.organization_id.and_then(|id| u64::try_from(id).ok()) {
        None => Err("the partner has no organization_id".to_owned()),
        Some(id) => app.desk.organization(id).await.map_err(|error| error.to_string()),
    };
    match organization {
        Ok(organization) => {
            body["notes"] = organization.notes.into();
            body["details"] = organization.details.into();
            body["fields"] = json!(organization.fields);
        }
        Err(problem) => {
            body["notes"] = Value::Null;
            body["details"] = Value::Null;
            body["notes_problem"] = problem.into();
        }
    }
    Ok(Json(body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    cursor: Option<String>,
}

/// A page of the partner's objects, also those it put there by itself: they are marked unverified. In the shared bucket
/// only what belongs to this partner is shown. Unfinished pieces and our own receipts are not files.
pub(crate) async fn objects(
    _: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
    Params(from): Params<From>,
) -> Result<Json<Value>, Refusal> {
    partner(&app, &id).await?;
    let (name, bucket) = app.buckets.of_partner(&id);
    let own = app.buckets.has_own(&id);
    let hidden = layout::hidden_prefix(bucket.prefix());
    let cursor = from.cursor.as_deref();
    let listed = match cursor {
        Some("") => Err(bucket::Error::Refused("empty".into())),
        cursor => bucket.list(bucket.prefix(), cursor).await,
    };
    let page = match listed {
        // The cursor is the store's own: it alone knows one that is none.
        Err(bucket::Error::Refused(_)) if cursor.is_some() => {
            let why = "`cursor` is not one of this listing. Take it from `next_cursor` of the page before, or leave it out.";
            return Err(problem::bad_request(why).into());
        }
        page => page?,
    };
    let mut objects = Vec::with_capacity(page.objects.len());
    for object in page.objects.into_iter().filter(|object| !object.key.starts_with(&hidden)) {
        let upload = match upload_of(&app, name, bucket.prefix(), &object).await? {
            Found::Hidden => continue,
            Found::Upload(upload) if upload.partner_id == id => Some(upload),
            Found::Upload(_) | Found::Nothing if !own => continue,
            Found::Upload(_) | Found::Nothing => None,
        };
        objects.push(json!({
            "key": object.key,
            "size": object.size,
            "last_modified": ledger::rfc3339(object.last_modified),
            "upload_id": upload.as_ref().map(|upload| upload.id.clone()),
            "unverified": upload.is_none(),
        }));
    }
    Ok(Json(json!({ "objects": objects, "next_cursor": page.next })))
}

enum Found {
    Upload(Box<ledger::Upload>),
    /// A receipt of ours, or the object of an upload that is not, or no longer, complete.
    Hidden,
    Nothing,
}

/// The complete upload whose final key this is: `{prefix}{ticket}/{upload id}/{name}`. An object of another size, or in
/// another bucket than the upload's, is somebody else's.
async fn upload_of(app: &App, name: &str, prefix: &str, object: &bucket::Object) -> Result<Found, Refusal> {
    let key = object.key.as_str();
    let Some(file) = FileKey::parse(prefix, key) else { return Ok(Found::Nothing) };
    match app.ledger.upload(file.upload_id).await {
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
