//! Reads request headers. Pure functions with tables of tests. Malformed values are refused here and never reach the engine.

use axum::http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use upload::{Algorithm, Digest};

use crate::problem::{self, Problem};

mod parameter;
pub(crate) mod resumable;
pub(crate) mod want_digest;

pub(crate) use parameter::{disposition_filename, parameter};

/// A token from `Authorization`: bearer, or the password of basic authentication. Two different ones count as none.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let value = single(headers, AUTHORIZATION.as_str()).ok()??.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// A header with one value. Several different values are refused.
pub(crate) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.any(|line| Some(line) != first) {
        return Err(twice(name));
    }
    Ok(first)
}

fn twice(name: &str) -> Problem {
    problem::bad_request(&format!(
        "The header {name} appears more than once, with different values. Send it once."
    ))
}

/// A header with one value, which must be visible ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    single(headers, name)?.map(|value| ascii(name, value)).transpose()
}

/// A header that is a list, which may come as several lines (RFC 9110 section 5.3).
pub(crate) fn list(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| ascii(name, line)).collect::<Result<_, _>>()?;
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

fn ascii<'h>(name: &str, value: &'h HeaderValue) -> Result<&'h str, Problem> {
    let refused = || {
        problem::bad_request(&format!(
            "The header {name} contains characters that are not ASCII. Remove them."
        ))
    };
    value.to_str().map(str::trim).map_err(|_| refused())
}

/// Whether `Content-Type` is this, in any case (RFC 9110 section 8.3.1) and with any parameters.
pub(crate) fn is_type(headers: &HeaderMap, essence: &str) -> Result<bool, Problem> {
    let declared = text(headers, "content-type")?.unwrap_or_default();
    Ok(declared.split(';').next().unwrap_or_default().trim_end().eq_ignore_ascii_case(essence))
}

/// The digests of a body that is a whole file: `Repr-Digest` and `Content-Digest` (RFC 9530), `Content-MD5` (RFC 1864).
/// Unknown algorithms are ignored, as the RFC allows; unreadable and contradictory digests are refused.
pub(crate) fn digests(headers: &HeaderMap) -> Result<Vec<Digest>, Problem> {
    let mut found: Vec<Digest> = Vec::new();
    for name in ["Repr-Digest", "Content-Digest", "Content-MD5"] {
        for digest in digests_of(headers, name)? {
            match found.iter().find(|other| other.algorithm == digest.algorithm) {
                Some(other) if *other != digest => {
                    return Err(upload::Error::DigestMismatch {
                        algorithm: digest.algorithm,
                        announced: other.hex.clone(),
                        actual: digest.hex,
                        side_file: None,
                    }
                    .into());
                }
                Some(_) => {}
                None => found.push(digest),
            }
        }
    }
    Ok(found)
}

pub(super) fn digests_of(headers: &HeaderMap, name: &'static str) -> Result<Vec<Digest>, Problem> {
    let form = if name == "Content-MD5" { "BASE64" } else { "sha-256=:BASE64:" };
    let malformed = || {
        problem::bad_request(&format!(
            "The header {name} cannot be read. Write `{name}: {form}` with the digest in base64, or leave it out.",
        ))
    };
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        for member in value.to_str().map_err(|_| malformed())?.split(',').map(str::trim) {
            let (algorithm, encoded) = if name == "Content-MD5" {
                ("md5", member)
            } else {
                let (algorithm, value) = member.split_once('=').ok_or_else(malformed)?;
                let value = value.split(';').next().unwrap_or_default().trim();
                let encoded = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
                (algorithm.trim(), encoded.ok_or_else(malformed)?)
            };
            // Keys are in lower case (RFC 9651 section 3.2). Upper case is accepted, or the digest would go unchecked.
            let algorithm = algorithm.to_ascii_lowercase();
            // The registry's name of SHA-1.
            let algorithm = if algorithm == "sha" { "sha-1" } else { &algorithm };
            let Some(algorithm) = Algorithm::parse(algorithm) else { continue };
            let bytes = STANDARD.decode(encoded).map_err(|_| malformed())?;
            if bytes.len() != algorithm.bytes() {
                return Err(malformed());
            }
            found.push(Digest { algorithm, hex: hex::encode(bytes) });
        }
    }
    Ok(found)
}

/// `Content-Range` of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: Option<u64>,
}

/// `Content-Range: bytes A-B/T` (RFC 9110 section 14.4); `T` may be `*`.
pub(crate) fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, Problem> {
    let Some(value) = single(headers, CONTENT_RANGE.as_str())? else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        let range = ContentRange { first: first.parse().ok()?, last: last.parse().ok()?, total };
        (range.first <= range.last
            && range.last < u64::MAX
            && range.total.is_none_or(|total| range.last < total))
        .then_some(range)
    });
    parsed.map(Some).ok_or_else(|| {
        problem::bad_request(
            "The header Content-Range cannot be read. Write `Content-Range: bytes FIRST-LAST/TOTAL`.",
        )
    })
}

/// The file name that a request gives its body.
pub(crate) fn named(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let disposition = single(headers, CONTENT_DISPOSITION.as_str())?;
    Ok(disposition.map(|value| disposition_filename(value.as_bytes())).transpose()?.flatten())
}

/// Characters that need no encoding (RFC 3986 section 2.3, which RFC 8187 includes).
const ATTRIBUTE_CHARS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `Content-Disposition: attachment` for a name, safe in a header (RFC 6266, RFC 8187).
pub(crate) fn attachment(name: &str) -> String {
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%;".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let encoded = utf8_percent_encode(name, ATTRIBUTE_CHARS);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub(crate) fn http_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A `Range` of one span, for a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// No range, or one that may be ignored (RFC 9110 section 14.2).
    Whole,
    /// First and last byte.
    Span(u64, u64),
    /// Outside of the file.
    Unsatisfiable,
}

/// Reads `Range: bytes=A-B`, `A-` or `-N`. Several spans are answered with the whole file.
pub(crate) fn range(headers: &HeaderMap, size: u64) -> Range {
    let Some(spec) = single(headers, "range")
        .ok()
        .flatten()
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().strip_prefix("bytes="))
    else {
        return Range::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return Range::Whole };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::Whole,
        (Ok(first), _) if first >= size => Range::Unsatisfiable,
        (Ok(first), Ok(last)) => Range::Span(first, last.min(size - 1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => Range::Span(first, size - 1),
        (Err(_), Ok(0)) if first.trim().is_empty() => Range::Unsatisfiable,
        (Err(_), Ok(_)) if first.trim().is_empty() && size == 0 => Range::Unsatisfiable,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => Range::Span(size.saturating_sub(suffix), size - 1),
        _ => Range::Whole,
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
