//! The bytes of an upload for support: by a presigned URL if staff can reach the bucket, otherwise through the gateway.
//! Always as an attachment: nothing that a partner sent is ever shown as a page.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::State as UploadState;
use serde::Deserialize;

use super::download::{self, Download};
use super::extract::{Id, Params, Staff, found};
use crate::accept::ResponseFormat;
use crate::headers::{self, Range};
use crate::problem::{self, Problem};
use crate::state::AppState;

const PRESIGNED_FOR: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Via {
    /// The bytes come through the gateway, even if staff can reach the bucket.
    #[param(pattern = "^gateway$")]
    via: Option<String>,
}

/// Reads the bytes of an upload.
///
/// By a redirect to the bucket if staff can reach it, otherwise through the gateway. Always as an attachment.
#[utoipa::path(get, path = "/api/v1/uploads/{id}/content", operation_id = "read_content",
    params(
        ("id" = String, Path, description = "The id of an upload."),
        Via,
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-99`."),
    ),
    responses(
        (status = 200, description = "The file.", content(("application/octet-stream")), headers(
            ("Content-Disposition" = String, description = "`attachment`, with the name of the file."),
            ("Repr-Digest" = String, description = "The SHA-256 of the whole file."),
        )),
        (status = 206, description = "A range of the file.", content(("application/octet-stream")), headers(
            ("Content-Range" = String, description = "Which bytes these are, and how many there are."),
        )),
        (status = 302, description = "The bytes are in the bucket.", headers(
            ("Location" = String, description = "Works for 5 minutes, without a token."),
        )),
        (status = 404, description = "No upload has this id, or it is not complete."),
        (status = 410, description = "It was cancelled or removed."),
        (status = 416, description = "The range is outside of the file."),
    ))]
pub(crate) async fn content(
    staff: Result<Staff, Problem>,
    State(state): State<AppState>,
    id: Id,
    Params(via): Params<Via>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let staff = match staff {
        // Somebody who followed the link in a ticket's note.
        Err(_)
            if !request.contains_key(AUTHORIZATION)
                && ResponseFormat::wanted(&request) == ResponseFormat::Html =>
        {
            let page = format!("/support/uploads/{}", id.of("upload")?);
            return Ok((StatusCode::SEE_OTHER, [(LOCATION, page)]).into_response());
        }
        staff => staff?,
    };
    if via.via.as_deref().is_some_and(|via| via != "gateway") {
        return Err(problem::bad_request("`via` must be `gateway`, or left out."));
    }
    send(&state, &staff.actor(), id.of("upload")?, via.via.is_some(), &request).await
}

/// Sends the bytes of an upload. `via_gateway` sends them through the gateway, even if staff can reach the bucket.
pub(crate) async fn send(
    state: &AppState,
    actor: &str,
    id: &str,
    via_gateway: bool,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let upload = found("upload", id, state.ledger.upload(id).await)?;
    let size = match upload.state {
        UploadState::Complete => u64::try_from(upload.length.unwrap_or_default()).unwrap_or_default(),
        UploadState::Removed | UploadState::Cancelled => return Err(upload::Error::Gone.into()),
        UploadState::Open | UploadState::Completing => {
            return Err(problem::not_found().with_detail(
                "This upload is not complete yet, so it has no content. Try again later.".into(),
            ));
        }
    };
    let bucket = state
        .buckets
        .named(&upload.bucket)
        .ok_or_else(|| upload::Error::Internal(format!("bucket `{}` is not configured", upload.bucket)))?;
    state.ledger.record(actor, "upload.read", id, "").await?;
    let disposition = headers::attachment(&upload.name);
    if bucket.has_public_endpoint() && !via_gateway {
        let url = bucket.presign(&upload.object_key, &disposition, PRESIGNED_FOR).await?;
        return Ok(
            (StatusCode::FOUND, [("location", url), ("cache-control", "no-store".into())]).into_response()
        );
    }
    let span = match headers::range(request, size) {
        Range::Whole => None,
        Range::Span(first, last) => Some((first, last)),
        Range::Unsatisfiable => return Err(outside_of_the_file(size)),
    };
    let length = span.map_or(size, |(first, last)| last - first + 1);
    let room = state.uploads.budget().connection_credit(download::charged_bytes(length)).await;
    let window =
        room.ok_or_else(|| problem::unavailable("Too many downloads are running.", problem::RETRY_SOON))?;
    let read = bucket.read(&upload.object_key, span).await?;
    if u64::try_from(read.length).ok() != Some(length) {
        return Err(upload::Error::Unavailable("the bucket answered with a different length".into()).into());
    }
    let (at, last) = span.unwrap_or((0, size.saturating_sub(1)));
    let download = Download { bucket: bucket.clone(), key: upload.object_key.clone(), at, last };
    let mut response = download.body(read, window).into_response();
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
    headers.insert("content-length", length.into());
    headers.insert("accept-ranges", HeaderValue::from_static("bytes"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert("content-disposition", value);
    }
    // Of the whole file, even if a range of it is read (RFC 9530 section 3).
    let digest = upload.sha256.as_deref().and_then(headers::want_digest::digest);
    if let Some(Ok(value)) = digest.map(|digest| HeaderValue::from_str(&digest)) {
        headers.insert("repr-digest", value);
    }
    if let Some((first, last)) = span {
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{size}")) {
            headers.insert("content-range", value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn outside_of_the_file(size: u64) -> Problem {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "about:blank",
        "Range Not Satisfiable",
        format!("The requested range is outside of the file, which has {size} bytes."),
    );
    problem.header(CONTENT_RANGE, &format!("bytes */{size}"))
}
