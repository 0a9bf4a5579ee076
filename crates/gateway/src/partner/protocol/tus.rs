//! tus 1.0.0 (tus.io): creation, with upload, with deferred length; expiration, checksum, termination. No concatenation:
//! SHA-256 states do not combine, and the receipt promises a digest. Pure.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use upload::{Append, End};

use super::creation::Creation;
use crate::headers::{self, resumable};
use crate::problem::{self, Problem};

const VERSION: &str = "1.0.0";
/// Extensions beyond the core.
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination";
const CHECKSUMS: &str = "sha256,sha1,md5";
/// The media type of bytes of a file.
const BYTES: &str = "application/offset+octet-stream";
/// The status that tus defines for a wrong checksum.
const CHECKSUM_MISMATCH: u16 = 460;
/// Longest `Upload-Metadata` that is kept.
const METADATA_BYTES_MAX: usize = 4_000;

/// Refuses other versions of tus.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match headers::text(headers, "tus-resumable")? {
        None | Some(VERSION) => Ok(()),
        Some(_) => Err(problem::unsupported_tus(VERSION)),
    }
}

/// Adds what every tus answer carries.
pub(super) fn sign(headers: &mut HeaderMap) {
    headers.insert("tus-resumable", HeaderValue::from_static(VERSION));
}

/// Adds what `OPTIONS` returns.
pub(crate) fn abilities(headers: &mut HeaderMap, max_bytes: u64) {
    sign(headers);
    headers.insert("tus-version", HeaderValue::from_static(VERSION));
    headers.insert("tus-extension", HeaderValue::from_static(EXTENSIONS));
    headers.insert("tus-max-size", max_bytes.into());
    headers.insert("tus-checksum-algorithm", HeaderValue::from_static(CHECKSUMS));
}

/// A refusal with the status that tus gives it.
pub(crate) fn in_tus(mut problem: Problem) -> Problem {
    if problem.is_digest_mismatch()
        && let Ok(status) = StatusCode::from_u16(CHECKSUM_MISMATCH)
    {
        problem.status = status;
    }
    problem
}

/// A new upload by `POST /uploads`, with or without its first bytes.
pub(crate) fn creation(headers: &HeaderMap, max_bytes: u64) -> Result<Creation, Problem> {
    if headers.contains_key("upload-concat") {
        return Err(problem::bad_request(
            "This server does not concatenate uploads. Send the file as one upload, without `Upload-Concat`.",
        ));
    }
    let length = resumable::length(headers)?;
    let deferred = match headers::text(headers, "upload-defer-length")? {
        None => false,
        Some("1") => true,
        Some(_) => {
            return Err(problem::bad_request("The header Upload-Defer-Length must be `1`, or left out."));
        }
    };
    if length.is_some() == deferred {
        return Err(problem::bad_request(
            "Send either `Upload-Length: BYTES`, or `Upload-Defer-Length: 1` if the length is not known yet.",
        ));
    }
    let tus_metadata = headers::list(headers, "upload-metadata")?;
    if tus_metadata.as_ref().is_some_and(|text| text.len() > METADATA_BYTES_MAX) {
        return Err(problem::bad_request(
            "The header Upload-Metadata is too long: send at most 4,000 bytes.",
        ));
    }
    let has_bytes = headers::is_type(headers, BYTES)?;
    let checksum = resumable::checksum(headers)?;
    // An empty file is complete when it is created.
    let append = (has_bytes || length == Some(0)).then(|| Append {
        length,
        body_bytes: if has_bytes { headers::content_length(headers) } else { Some(0) },
        end: End::Length,
        max_bytes,
        content: checksum.into_iter().collect(),
        ..Append::default()
    });
    Ok(Creation {
        name: resumable::metadata(headers, &["filename", "name"])?,
        content_type: resumable::metadata(headers, &["filetype", "type", "mimeType"])?,
        length,
        digests: resumable::file_digests(headers)?,
        tus_metadata,
        once: true,
        append,
    })
}

pub(super) fn append(headers: &HeaderMap, max_bytes: u64) -> Result<Append, Problem> {
    if !headers::is_type(headers, BYTES)? {
        return Err(problem::unsupported_media_type(BYTES));
    }
    let offset = resumable::offset(headers)?.ok_or_else(|| {
        problem::bad_request(
            "A PATCH must say where its bytes start: send `Upload-Offset`. HEAD returns the offset.",
        )
    })?;
    Ok(Append {
        offset,
        length: resumable::length(headers)?,
        body_bytes: headers::content_length(headers),
        end: End::Length,
        max_bytes,
        content: resumable::checksum(headers)?.into_iter().collect(),
        ..Append::default()
    })
}
