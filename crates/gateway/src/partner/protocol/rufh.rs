//! Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): any request that sends a file may carry
//! `Upload-Complete`, and `PATCH` resumes its upload. No `104` answers: the server library cannot send them, and a client that
//! creates with an empty body needs none. Pure. [`PROTOCOL`] names the drafts that are served.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method};
use upload::{Append, End};

use super::creation::Creation;
use crate::headers::{self, resumable};
use crate::problem::{self, Problem};

/// The media type of a part of a file.
pub(super) const PARTIAL: &str = "application/partial-upload";
/// Media types that describe the request, not the file.
const NO_FILE_TYPES: [&str; 2] = [PARTIAL, "application/offset+octet-stream"];

/// The draft that this follows, as `OPTIONS` names it. Clients of every draft since -03 are served: the only change on the wire
/// for a server that sends no `104` is the media type, since interop version 6 (-04). Versions: 5 is -03, 6 is -04 and -05
/// (Apple's clients since iOS 18.1), 7 is -06 to -08, 8 is -09 to -11, 9 is -12, 10 is -13.
pub(crate) const PROTOCOL: &str = "IETF resumable uploads (draft-ietf-httpbis-resumable-upload-12)";
/// Every client of a draft sends its version (section "Draft Version Identification").
pub(super) const INTEROP: &str = "upload-draft-interop-version";
/// The interop version before the media type of a part.
const WITHOUT_MEDIA_TYPE: &str = "5";

/// Whether a request speaks the draft, as far as its head can be read, and creates or appends.
pub(super) fn is_sending(method: &Method, headers: &HeaderMap) -> bool {
    let speaks = headers.contains_key("upload-complete")
        || headers.contains_key(INTEROP)
        || headers::is_type(headers, PARTIAL).unwrap_or_default();
    speaks
        && !headers.contains_key("tus-resumable")
        && matches!(*method, Method::PUT | Method::POST | Method::PATCH)
}

/// A refusal of such a request says that nothing is complete.
pub(super) fn sign_refusal(headers: &mut HeaderMap) {
    headers.insert("upload-complete", HeaderValue::from_static("?0"));
}

/// A new upload by `POST` or `PUT`: complete with `?1`, to be resumed with `?0`.
pub(crate) fn creation(headers: &HeaderMap, max_bytes: u64) -> Result<Creation, Problem> {
    let is_whole = is_whole(headers)?;
    let body_bytes = headers::content_length(headers);
    let announced = length(headers);
    let length = announced.or(if is_whole { body_bytes } else { None });
    if let (Some(declared), Some(actual)) = (announced, body_bytes)
        && (actual > declared || (is_whole && actual != declared))
    {
        return Err(upload::Error::LengthMismatch { declared, actual }.into());
    }
    let content_type = headers::text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let content_type =
        content_type.filter(|found| !NO_FILE_TYPES.iter().any(|no| no.eq_ignore_ascii_case(found)));
    let append = Append {
        length,
        body_bytes,
        end: if is_whole { End::Body } else { End::Later },
        max_bytes,
        content: resumable::content_digests(headers)?,
        invalidates: true,
        ..Append::default()
    };
    Ok(Creation {
        name: headers::named(headers)?,
        content_type: content_type.map(str::to_owned),
        length,
        digests: resumable::file_digests(headers)?,
        tus_metadata: None,
        // A whole file that is sent again is found by its receipt.
        once: !is_whole,
        append: Some(append),
    })
}

pub(super) fn append(method: &Method, headers: &HeaderMap, max_bytes: u64) -> Result<Append, Problem> {
    let version = headers::text(headers, INTEROP)?;
    if *method != Method::PUT && version != Some(WITHOUT_MEDIA_TYPE) && !headers::is_type(headers, PARTIAL)? {
        return Err(problem::unsupported_media_type(PARTIAL));
    }
    let offset = resumable::offset(headers)?.ok_or_else(|| {
        problem::bad_request("Say where the bytes start: send `Upload-Offset`. HEAD returns the offset.")
    })?;
    Ok(Append {
        offset,
        length: length(headers),
        body_bytes: headers::content_length(headers),
        end: if is_whole(headers)? { End::Body } else { End::Later },
        max_bytes,
        digests: resumable::file_digests(headers)?,
        content: resumable::content_digests(headers)?,
        invalidates: true,
    })
}

/// Drafts up to interop version 4 sent the opposite, `Upload-Incomplete`, and so did their clients: half a file must not be
/// taken for a whole one.
pub(crate) fn refuse_oldest(headers: &HeaderMap) -> Result<(), Problem> {
    if headers::text(headers, "upload-incomplete")? != Some("?1") {
        return Ok(());
    }
    Err(problem::bad_request(&format!(
        "`Upload-Incomplete` is from an older draft. This server speaks {PROTOCOL}: send `Upload-Complete: ?0`.",
    )))
}

fn is_whole(headers: &HeaderMap) -> Result<bool, Problem> {
    resumable::complete(headers)?.ok_or_else(|| {
        problem::bad_request("Say whether these bytes end the file: send `Upload-Complete: ?1` or `?0`.")
    })
}

/// The length, if it can be read. The draft ignores any other value (section 4.1.3); then the end of the body decides.
fn length(headers: &HeaderMap) -> Option<u64> {
    resumable::length(headers).ok().flatten()
}

/// The wrong offset, with the members that the draft adds to the problem.
pub(crate) fn mismatch(expected: u64, provided: u64) -> Problem {
    let expected_signed = i64::try_from(expected).unwrap_or(i64::MAX);
    Problem::from(upload::Error::OffsetMismatch { expected: expected_signed })
        .with("expected-offset", expected)
        .with("provided-offset", provided)
}
