//! Appending with plain curl: `Content-Range: bytes A-B/T`, or `Upload-Offset: A` and the rest of the file. Pure.

use axum::http::{HeaderMap, Method};
use upload::{Append, End};

use crate::headers::{self, resumable};
use crate::problem::{self, Problem};

pub(super) fn append(method: &Method, headers: &HeaderMap, max_bytes: u64) -> Result<Append, Problem> {
    // A client of tus or rufh whose header got lost must not end its file by mistake.
    if *method == Method::PATCH {
        return Err(problem::bad_request(
            "A PATCH must name its protocol: send `Tus-Resumable: 1.0.0` (tus), or `Upload-Complete: ?0` or `?1` (IETF \
             resumable uploads). Without a protocol use PUT.",
        ));
    }
    let body_bytes = headers::content_length(headers);
    let (digests, content) = (resumable::file_digests(headers)?, resumable::content_digests(headers)?);
    let append = Append { max_bytes, digests, content, ..Append::default() };
    if let Some(range) = headers::content_range(headers)? {
        let ranged = range.last - range.first + 1;
        if let Some(actual) = body_bytes.filter(|bytes| *bytes != ranged) {
            return Err(upload::Error::LengthMismatch { declared: ranged, actual }.into());
        }
        let end = if range.total == Some(range.last + 1) { End::Length } else { End::Later };
        return Ok(Append {
            offset: range.first,
            length: range.total,
            body_bytes: Some(ranged),
            end,
            ..append
        });
    }
    let offset = resumable::offset(headers)?.ok_or_else(|| {
        problem::bad_request(
            "Say where the bytes start: `Upload-Offset: N` with all the rest of the file, or `Content-Range: bytes \
             FIRST-LAST/TOTAL`. HEAD on this address returns the offset.",
        )
    })?;
    Ok(Append { offset, length: resumable::length(headers)?, body_bytes, ..append })
}
