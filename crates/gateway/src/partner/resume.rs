//! `PATCH` and `PUT` that append to an existing upload, by its id or by its file's name.

use axum::body::Body;
use axum::response::Response;
use ledger::{State, Upload};
use upload::{Append, End};

use super::append::{self, ended, with_expiry};
use super::protocol::Protocol;
use super::request::{PartnerRequest, UploadRequest};
use super::response::unsigned;
use super::{how_to_send, unfinished};
use crate::http::head::Length;
use crate::problem::Problem;

pub(crate) async fn append(UploadRequest(request): UploadRequest, body: Body) -> Result<Response, Problem> {
    how_to_send::check_file(&request, Length::Required)?;
    let upload = request.state.uploads.status(&request.link.id, request.upload_id()).await?;
    let protocol = Protocol::of(&request.headers)?;
    let dated = |problem| with_expiry(&request, protocol, &upload, problem);
    let append = protocol.append(&request.method, &request.headers, request.max_bytes()).map_err(dated)?;
    if upload.state != State::Open {
        return ended(&request, protocol, &upload, &append);
    }
    check_lengths(&request, &upload, &append).await.map_err(dated)?;
    append::run(&request, protocol, &upload, append, body).await
}

/// `PUT {name}` with an offset.
pub(super) async fn by_name(request: &PartnerRequest, name: &str, body: Body) -> Result<Response, Problem> {
    let protocol = Protocol::of(&request.headers)?;
    let append = protocol.append(&request.method, &request.headers, request.max_bytes())?;
    let upload = unfinished::by_name(request, name, append.length).await?;
    if upload.state != State::Open {
        return ended(request, protocol, &upload, &append);
    }
    check_lengths(request, &upload, &append).await?;
    append::run(request, protocol, &upload, append, body).await
}

/// Refuses lengths that cannot be true before a byte is read. The upload stays as it is, unless its protocol ends it when its
/// length is exceeded.
async fn check_lengths(request: &PartnerRequest, upload: &Upload, append: &Append) -> Result<(), Problem> {
    let Err(error) = compare(upload, append) else { return Ok(()) };
    let end = append.offset.saturating_add(append.body_bytes.unwrap_or_default());
    let exceeds = upload.length.is_some_and(|length| end > unsigned(length));
    if append.invalidates && exceeds && unsigned(upload.offset) == append.offset {
        request.state.uploads.cancel(&upload.id, &request.actor(), error.reason()).await?;
    }
    Err(error.into())
}

/// Compares an append with its upload. Refusing a wrong offset is up to the engine.
fn compare(upload: &Upload, append: &Append) -> upload::Result<()> {
    if unsigned(upload.offset) != append.offset {
        return Ok(());
    }
    let known = upload.length.map(unsigned);
    if let (Some(declared), Some(actual)) = (known, append.length)
        && declared != actual
    {
        return Err(upload::Error::LengthMismatch { declared, actual });
    }
    let Some(declared) = append.length.or(known) else { return Ok(()) };
    if declared > append.max_bytes {
        return Err(upload::Error::TooLarge { max: append.max_bytes });
    }
    let actual = append.offset.saturating_add(append.body_bytes.unwrap_or_default());
    let ends_elsewhere = append.end == End::Body && append.body_bytes.is_some() && actual != declared;
    if actual > declared || ends_elsewhere {
        return Err(upload::Error::LengthMismatch { declared, actual });
    }
    Ok(())
}
