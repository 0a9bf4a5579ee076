//! Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): any request that brings a file may carry
//! `Upload-Complete`, and its upload goes on with `PATCH`. No `104` answers: the server library cannot send them, and a
//! client that creates with an empty body needs none. Which drafts are served: [`PROTOCOL`].

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use upload::{Append, Create, End};

use super::append::{self, Dialect};
use super::idempotency::{self, Created};
use super::{Asking, ticket};
use crate::headers;
use crate::name;
use crate::problem::{self, Problem};

/// The media type of a part of a file.
const PARTIAL: &str = "application/partial-upload";
/// Types that say of a request what it is, not of a file.
const NO_FILE_TYPES: [&str; 2] = [PARTIAL, "application/offset+octet-stream"];

/// The draft that this follows, as `OPTIONS` names it. Its clients, and those of every draft since -03, are served: what
/// changed on the wire for a server that sends no `104` is the media type, since interop version 6 (-04). Versions: 5 is
/// -03, 6 is -04 and -05 (Apple's clients since iOS 18.1), 7 is -06 to -08, 8 is -09 to -11, 9 is -12, 10 is -13.
pub(crate) const PROTOCOL: &str = "IETF resumable uploads (draft-ietf-httpbis-resumable-upload-12)";
/// Every client of a draft says which (section "Draft Version Identification").
pub(crate) const INTEROP: &str = "upload-draft-interop-version";
/// The interop version that had no media type for a part yet.
const WITHOUT_MEDIA_TYPE: &str = "5";

/// Whether the body is a part of a file by its media type.
pub(crate) fn brings_a_part(asking: &Asking) -> Result<bool, Problem> {
    headers::is_type(&asking.headers, PARTIAL)
}

/// Whether a request speaks the draft, as far as its head can be read, and creates or appends: what refuses it says that
/// nothing is complete.
pub(crate) fn is_sending(method: &Method, headers: &HeaderMap) -> bool {
    let speaks = headers.contains_key("upload-complete")
        || headers.contains_key(INTEROP)
        || headers::is_type(headers, PARTIAL).unwrap_or_default();
    speaks
        && !headers.contains_key("tus-resumable")
        && matches!(*method, Method::PUT | Method::POST | Method::PATCH)
}

/// What a refusal of such a request carries.
pub(crate) fn sign_refusal(response: &mut Response) {
    append::set(response, "upload-complete", "?0");
}

/// A new upload by `POST` or `PUT`: whole with `?1`, to go on with `?0`.
pub(crate) async fn create(
    asking: Asking,
    segment: Option<&str>,
    body: &mut Option<Body>,
) -> Result<Response, Problem> {
    let is_whole = whether_whole(&asking)?;
    let body_bytes = headers::content_length(&asking.headers);
    let announced = length(&asking.headers);
    let length = announced.or(if is_whole { body_bytes } else { None });
    if let (Some(declared), Some(actual)) = (announced, body_bytes)
        && (actual > declared || (is_whole && actual != declared))
    {
        return Err(upload::Error::LengthMismatch { declared, actual }.into());
    }
    let declared = headers::text(&asking.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let declared =
        declared.filter(|declared| !NO_FILE_TYPES.iter().any(|no| no.eq_ignore_ascii_case(declared)));
    let disposition = headers::named(&asking.headers)?;
    let made_up = segment.is_none() && disposition.is_none();
    let name = match (segment, disposition) {
        (Some(segment), _) => name::from_segment(segment)?,
        (None, Some(named)) => name::check(&named)?,
        (None, None) => name::made_up(declared, ledger::now_ms()),
    };
    let ticket = ticket::resolve(&asking, None).await?;
    let content_type = name::content_type(declared, &name);
    let digests = headers::upload::file_digests(&asking.headers)?;
    let content = headers::upload::content_digests(&asking.headers)?;
    let new = Create {
        link: &asking.link,
        ticket: &ticket,
        name: &name,
        content_type: &content_type,
        length,
        resumable: true,
        begins_with_body: false,
        digests: &digests,
        tus_metadata: None,
    };
    // One that ends the file is known by its receipt: the same file sent again is that one.
    let created = match is_whole {
        true => Created::Now(asking.app.uploads.create(&new).await?),
        false => idempotency::created_once(&asking, &new, made_up).await?,
    };
    let created = match created {
        Created::Now(created) => created,
        Created::Before(created) => {
            return Ok(append::answer(&asking, Dialect::Draft, StatusCode::CREATED, &created));
        }
    };
    let append = Append {
        offset: 0,
        length,
        body_bytes,
        end: if is_whole { End::Body } else { End::Later },
        max_bytes: asking.app.uploads.max_bytes(&asking.link),
        digests: Vec::new(),
        content,
        invalidates: true,
    };
    let location = asking.location(&created.id);
    let mut response = append::go_on(asking, Dialect::Draft, created, append, body).await?;
    if response.status() == StatusCode::NO_CONTENT {
        *response.status_mut() = StatusCode::CREATED;
    }
    if !response.headers().contains_key(LOCATION) {
        append::set(&mut response, "location", &location);
    }
    Ok(response)
}

/// What a `PATCH` says of its bytes.
pub(crate) fn append(asking: &Asking) -> Result<Append, Problem> {
    let plain_put = asking.method == Method::PUT;
    let version = headers::text(&asking.headers, INTEROP)?;
    if !plain_put && version != Some(WITHOUT_MEDIA_TYPE) && !brings_a_part(asking)? {
        return Err(problem::unsupported_media_type(PARTIAL));
    }
    let offset = headers::upload::offset(&asking.headers)?.ok_or_else(|| {
        problem::bad_request("Say where the bytes begin: send `Upload-Offset`. HEAD tells the offset.")
    })?;
    let is_whole = whether_whole(asking)?;
    Ok(Append {
        offset,
        length: length(&asking.headers),
        body_bytes: headers::content_length(&asking.headers),
        end: if is_whole { End::Body } else { End::Later },
        max_bytes: asking.app.uploads.max_bytes(&asking.link),
        digests: headers::upload::file_digests(&asking.headers)?,
        content: headers::upload::content_digests(&asking.headers)?,
        invalidates: true,
    })
}

/// The drafts up to interop version 4 said the opposite, `Upload-Incomplete`, and so did clients of theirs: half a file is not
/// taken for a whole one.
pub(crate) fn refuse_oldest(asking: &Asking) -> Result<(), Problem> {
    if headers::text(&asking.headers, "upload-incomplete")? != Some("?1") {
        return Ok(());
    }
    Err(problem::bad_request(&format!(
        "`Upload-Incomplete` is of an older draft. This gateway speaks {PROTOCOL}: send `Upload-Complete: ?0`.",
    )))
}

fn whether_whole(asking: &Asking) -> Result<bool, Problem> {
    headers::upload::complete(&asking.headers)?.ok_or_else(|| {
        problem::bad_request(
            "Say whether the file ends with these bytes: send `Upload-Complete: ?1`, or `?0`.",
        )
    })
}

/// The length, where it can be read: the draft has any other value ignored (section 4.1.3), and the end of the body says it.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers::upload::length(headers).ok().flatten()
}

/// The wrong offset, with the members that the draft gives the problem.
pub(crate) fn mismatch(expected: u64, provided: u64) -> Problem {
    let expected_signed = i64::try_from(expected).unwrap_or(i64::MAX);
    Problem::from(upload::Error::OffsetMismatch { expected: expected_signed })
        .with("expected-offset", expected)
        .with("provided-offset", provided)
}

/// `Upload-Limit`: the largest file, and how long an unfinished one is kept. One that is complete stays.
pub(crate) fn limits(asking: &Asking, upload: Option<&ledger::Upload>) -> String {
    let max = asking.app.uploads.max_bytes(&asking.link);
    let age = match upload {
        Some(upload) if upload.state == ledger::State::Complete => return format!("max-size={max}"),
        Some(upload) => (asking.app.uploads.expires_at(upload) - ledger::now_ms()).max(0) / 1000,
        None => i64::try_from(asking.app.limits.resume_window.as_secs()).unwrap_or(i64::MAX),
    };
    format!("max-size={max}, max-age={age}")
}
