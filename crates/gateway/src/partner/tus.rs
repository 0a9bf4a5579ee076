//! tus 1.0.0 (tus.io): creation, with upload, with deferred length; expiration, checksum, termination. No concatenation:
//! running SHA-256 states do not combine, and the receipt's digest is the promise.

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use upload::{Append, Create, End};

use super::append::{self, Dialect, set};
use super::idempotency::{self, Created};
use super::{Asking, ticket};
use crate::headers;
use crate::name;
use crate::problem::{self, Problem};

/// The one version we speak.
const VERSION: &str = "1.0.0";
/// What we speak beyond the core.
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination";
const CHECKSUMS: &str = "sha256,sha1,md5";
/// The media type of bytes of a file.
const BYTES: &str = "application/offset+octet-stream";
/// tus' own status for a checksum that does not fit.
const CHECKSUM_MISMATCH: u16 = 460;
/// Longest `Upload-Metadata` that is kept.
const METADATA_BYTES_MAX: usize = 4_000;

/// Refuses another version of tus.
pub(crate) fn check_version(asking: &Asking) -> Result<(), Problem> {
    match headers::text(&asking.headers, "tus-resumable")? {
        None | Some(VERSION) => Ok(()),
        Some(_) => Err(problem::unsupported_tus(VERSION)),
    }
}

/// What every answer in tus carries.
pub(crate) fn sign(response: &mut Response) {
    set(response, "tus-resumable", VERSION);
}

/// Abilities, for `OPTIONS`.
pub(crate) fn abilities(response: &mut Response, max_bytes: u64) {
    sign(response);
    set(response, "tus-version", VERSION);
    set(response, "tus-extension", EXTENSIONS);
    set(response, "tus-max-size", &max_bytes.to_string());
    set(response, "tus-checksum-algorithm", CHECKSUMS);
}

/// A checksum that does not fit has a status of its own in tus.
pub(crate) fn in_tus(mut problem: Problem) -> Problem {
    if problem.is_digest_mismatch()
        && let Ok(status) = StatusCode::from_u16(CHECKSUM_MISMATCH)
    {
        problem.status = status;
    }
    problem
}

/// `POST /uploads`: a new upload, with or without its first bytes.
pub(crate) async fn create(asking: Asking, body: &mut Option<Body>) -> Result<Response, Problem> {
    if asking.headers.contains_key("upload-concat") {
        return Err(problem::bad_request(
            "Uploads are not concatenated here: send the file as one upload. Leave Upload-Concat out.",
        ));
    }
    let length = headers::upload::length(&asking.headers)?;
    let deferred = match headers::text(&asking.headers, "upload-defer-length")? {
        None => false,
        Some("1") => true,
        Some(_) => return Err(problem::bad_request("The header Upload-Defer-Length is `1`, or left out.")),
    };
    if length.is_some() == deferred {
        return Err(problem::bad_request(
            "Send either `Upload-Length: BYTES`, or `Upload-Defer-Length: 1` where it is not known yet.",
        ));
    }
    let metadata = headers::list(&asking.headers, "upload-metadata")?;
    if metadata.as_ref().is_some_and(|text| text.len() > METADATA_BYTES_MAX) {
        return Err(problem::bad_request("The header Upload-Metadata is longer than 4,000 bytes."));
    }
    let declared = headers::upload::metadata(&asking.headers, &["filetype", "type", "mimeType"])?;
    let named = headers::upload::metadata(&asking.headers, &["filename", "name"])?;
    let name = match &named {
        Some(named) => name::check(named)?,
        None => name::made_up(declared.as_deref(), ledger::now_ms()),
    };
    let ticket = ticket::resolve(&asking, None).await?;
    let content_type = name::content_type(declared.as_deref(), &name);
    let new = Create {
        link: &asking.link,
        ticket: &ticket,
        name: &name,
        content_type: &content_type,
        length,
        resumable: true,
        begins_with_body: false,
        digests: &headers::upload::file_digests(&asking.headers)?,
        tus_metadata: metadata.as_deref(),
    };
    let with_upload = headers::is_type(&asking.headers, BYTES)?;
    let checksum = headers::upload::checksum(&asking.headers)?;
    let created = match idempotency::created_once(&asking, &new, named.is_none()).await? {
        Created::Now(created) => created,
        Created::Before(created) => {
            return Ok(append::answer(&asking, Dialect::Tus, StatusCode::CREATED, &created));
        }
    };
    let location = asking.location(&created.id);
    // An empty file is whole when it is created.
    if !with_upload && length != Some(0) {
        return Ok(append::answer(&asking, Dialect::Tus, StatusCode::CREATED, &created));
    }
    let append = Append {
        length,
        body_bytes: if with_upload { headers::content_length(&asking.headers) } else { Some(0) },
        end: End::Length,
        max_bytes: asking.app.uploads.max_bytes(&asking.link),
        content: checksum.into_iter().collect(),
        ..Append::default()
    };
    let mut response = append::go_on(asking, Dialect::Tus, created, append, body).await?;
    *response.status_mut() = StatusCode::CREATED;
    if !response.headers().contains_key(LOCATION) {
        set(&mut response, "location", &location);
    }
    Ok(response)
}

/// What a `PATCH` says of its bytes.
pub(crate) fn append(asking: &Asking) -> Result<Append, Problem> {
    if !headers::is_type(&asking.headers, BYTES)? {
        return Err(problem::unsupported_media_type(BYTES));
    }
    let offset = headers::upload::offset(&asking.headers)?.ok_or_else(|| {
        problem::bad_request(
            "A PATCH says where its bytes begin: send `Upload-Offset`. HEAD tells the offset.",
        )
    })?;
    Ok(Append {
        offset,
        length: headers::upload::length(&asking.headers)?,
        body_bytes: headers::content_length(&asking.headers),
        end: End::Length,
        max_bytes: asking.app.uploads.max_bytes(&asking.link),
        content: headers::upload::checksum(&asking.headers)?.into_iter().collect(),
        ..Append::default()
    })
}

/// A browser on another site may speak to us: the link is the only credential, and no cookie is looked at.
pub(crate) fn share(response: &mut Response) {
    set(response, "access-control-allow-origin", "*");
    set(
        response,
        "access-control-expose-headers",
        "Location, Upload-Offset, Upload-Length, Upload-Complete, Upload-Limit, Upload-Expires, Upload-Metadata, \
         Upload-Defer-Length, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
         Repr-Digest, Retry-After, X-Request-Id",
    );
}

/// The answer to a browser that asks first.
pub(crate) fn share_ahead(response: &mut Response) {
    set(response, "access-control-allow-methods", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
    set(
        response,
        "access-control-allow-headers",
        "Authorization, Content-Type, Content-Range, Content-Disposition, Content-Digest, Repr-Digest, Want-Repr-Digest, Accept, \
         Idempotency-Key, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, \
         Upload-Checksum, Upload-Complete, Upload-Draft-Interop-Version, X-HTTP-Method-Override, X-Request-Id",
    );
    set(response, "access-control-max-age", "86400");
}

/// For clients behind proxies that let no other method through.
pub(crate) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
