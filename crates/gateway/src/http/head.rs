//! Checks the head of every request, whatever its route: host, target, codings, and how long the body is. Pure, with tables
//! of tests. Everything refused here is refused before the body is read.

use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

use crate::headers::{self, is_type};
use crate::problem::{self, Problem};

/// The target of the request contained a `#`, where the HTTP library cut it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment;

/// Largest request head, bytes; a larger one is answered 431. Proxies and browsers keep theirs below.
pub(crate) const BYTES_MAX: usize = 32 * 1024;

/// What HTTP/2 counts for each header beside its name and value, bytes (RFC 9113 section 10.5.1).
const HEADER_BYTES: usize = 32;

/// Longest excerpt of a header that a refusal repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// Refuses a head that HTTP forbids, and codings that would be stored with the file.
fn check(parts: &Parts) -> Result<(), Problem> {
    size(parts)?;
    host(parts)?;
    if parts.extensions.get::<Fragment>().is_some() {
        return Err(problem::bad_request(
            "The address contains a raw `#`, so the rest of the name would be lost. Write it as `%23`.",
        ));
    }
    transfer_coding(&parts.headers)?;
    content_coding(parts)
}

/// [`check`] as a layer.
pub(crate) async fn check_head(request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    check(&parts)?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// The HTTP/1 library has checked the size already.
fn size(parts: &Parts) -> Result<(), Problem> {
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if parts.version == Version::HTTP_2 && target.len() + lines.sum::<usize>() > BYTES_MAX {
        return Err(too_large());
    }
    Ok(())
}

pub(crate) fn too_large() -> Problem {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let detail = format!(
        "The head of this request is too large. The limit is {BYTES_MAX} bytes and 100 header lines. Leave out cookies and \
         headers that are not needed."
    );
    Problem::new(status, "/problems/bad-request", "Request Header Fields Too Large", detail)
}

/// RFC 9112 section 3.2.
fn host(parts: &Parts) -> Result<(), Problem> {
    let wrong = match (parts.version, parts.headers.get_all(HOST).iter().count()) {
        (Version::HTTP_11, 0) => "has no `Host` line",
        (Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11, 2..) => "has more than one `Host` line",
        _ => return Ok(()),
    };
    let why = format!("The head of this request {wrong}. Send exactly one, with the host of this address.");
    Err(problem::bad_request(&why))
}

/// A coding beside `chunked` would be stored with the file (RFC 9112 section 6.1).
fn transfer_coding(headers: &HeaderMap) -> Result<(), Problem> {
    match shown(headers, TRANSFER_ENCODING.as_str()) {
        Some(coding) if !coding.eq_ignore_ascii_case("chunked") => Err(unknown_transfer_coding(&coding)),
        _ => Ok(()),
    }
}

pub(crate) fn unknown_transfer_coding(coding: &str) -> Problem {
    let detail = format!(
        "The body has `Transfer-Encoding: {coding}`, and this server supports only `chunked`. Send the bytes as they are, \
         with `Content-Length` or with `Transfer-Encoding: chunked`."
    );
    let title = "Transfer coding not supported";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "/problems/bad-request", title, detail)
}

/// Nothing is decoded here: the coded bytes would become the file.
fn content_coding(parts: &Parts) -> Result<(), Problem> {
    let has_content =
        matches!(parts.method, Method::PUT | Method::POST | Method::PATCH) || has_body(&parts.headers);
    let Some(coding) = shown(&parts.headers, CONTENT_ENCODING.as_str()).filter(|_| has_content) else {
        return Ok(());
    };
    if coding.split(',').all(|one| one.trim().is_empty() || one.trim().eq_ignore_ascii_case("identity")) {
        return Ok(());
    }
    let detail = format!(
        "The body has `Content-Encoding: {coding}`, and this server decodes nothing. Send the bytes as they are, without \
         `Content-Encoding`, as `curl -T FILE` does. A compressed file is sent like any other."
    );
    // RFC 9110 section 12.5.3.
    Err(unsupported("Content coding not supported", detail).header(ACCEPT_ENCODING, "identity"))
}

fn unsupported(title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "/problems/unsupported-media-type", title, detail)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers::content_length(headers).is_some_and(|bytes| bytes > 0)
}

/// Whether a request must declare the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Without it the file would be taken for an empty one.
    Required,
    Optional,
}

/// Refuses a body that cannot be a file or a part of one: a form, or a body without a length where one is required. `how`
/// tells how to send it.
pub(crate) fn check_file(
    version: Version,
    headers: &HeaderMap,
    length: Length,
    how: impl FnOnce() -> String,
) -> Result<(), Problem> {
    if is_type(headers, "multipart/form-data")? {
        let detail = format!(
            "The body is a form (`multipart/form-data`), whose boundaries would become part of the file. {}",
            how()
        );
        return Err(unsupported("A form instead of a file", detail));
    }
    let declared = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name));
    if declared
        || length == Length::Optional
        || !matches!(version, Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11)
    {
        return Ok(());
    }
    let detail = "This request does not declare the length of its body. Send `Content-Length`, or `Transfer-Encoding: chunked` if \
                  the length is not known, as `curl -T FILE` does. For an empty file send `Content-Length: 0`.";
    Err(Problem::new(StatusCode::LENGTH_REQUIRED, "/problems/length-required", "Length required", detail))
}

/// All lines of a header as one list, cut to what a refusal can show.
fn shown(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let list = lines.join(", ");
    (!lines.is_empty()).then(|| list.trim().chars().take(SHOWN_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn parts(version: Version, method: &str, lines: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::new(axum::body::Body::empty());
        *request.version_mut() = version;
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        for (name, value) in lines {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        request.into_parts().0
    }

    const HOST: (&str, &str) = ("host", "a.example");

    #[test]
    fn heads() {
        use Version as V;
        for (version, method, lines, expected) in [
            (V::HTTP_11, "PUT", &[HOST][..], 200),
            (V::HTTP_11, "GET", &[("host", "")], 200),
            (V::HTTP_11, "GET", &[], 400),
            (V::HTTP_11, "GET", &[HOST, HOST], 400),
            (V::HTTP_10, "GET", &[], 200),
            (V::HTTP_10, "GET", &[HOST, HOST], 400),
            (V::HTTP_2, "GET", &[], 200),
            (V::HTTP_11, "PUT", &[HOST, ("transfer-encoding", "chunked")], 200),
            (V::HTTP_11, "PUT", &[HOST, ("transfer-encoding", " Chunked ")], 200),
            (V::HTTP_11, "PUT", &[HOST, ("transfer-encoding", "gzip, chunked")], 501),
            (V::HTTP_11, "PUT", &[HOST, ("transfer-encoding", "chunked, chunked")], 501),
            (V::HTTP_11, "GET", &[HOST, ("transfer-encoding", "identity, chunked")], 501),
            (
                V::HTTP_11,
                "PUT",
                &[HOST, ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                501,
            ),
            (V::HTTP_11, "PUT", &[HOST, ("content-encoding", "gzip")], 415),
            (V::HTTP_11, "POST", &[HOST, ("content-encoding", "aws-chunked")], 415),
            (V::HTTP_2, "PATCH", &[("content-encoding", "identity"), ("content-encoding", "br")], 415),
            (V::HTTP_2, "PUT", &[("content-encoding", "Identity, ")], 200),
            (V::HTTP_2, "PUT", &[("content-encoding", "\u{e9}")], 415),
            (V::HTTP_2, "GET", &[("content-encoding", "gzip")], 200),
            (V::HTTP_2, "DELETE", &[("content-encoding", "gzip"), ("content-length", "1")], 415),
        ] {
            let status = check(&parts(version, method, lines))
                .map_or_else(|problem| problem.status.as_u16(), |()| 200);
            assert_eq!(status, expected, "{version:?} {method} {lines:?}");
        }
        let mut cut = parts(V::HTTP_11, "PUT", &[HOST]);
        cut.extensions.insert(Fragment);
        assert!(check(&cut).unwrap_err().detail().contains("%23"));
    }

    #[test]
    fn bodies_that_are_to_be_files() {
        let (length, form) = (("content-length", "0"), ("content-type", "multipart/form-data; boundary=b"));
        for (version, lines, expected) in [
            (Version::HTTP_11, &[length][..], 200),
            (Version::HTTP_11, &[("transfer-encoding", "chunked")], 200),
            (Version::HTTP_11, &[], 411),
            (Version::HTTP_10, &[], 411),
            (Version::HTTP_2, &[], 200),
            (Version::HTTP_11, &[length, form], 415),
            (Version::HTTP_2, &[("content-type", "Multipart/Form-Data ;boundary=b")], 415),
            (Version::HTTP_2, &[("content-type", "multipart/mixed; boundary=b")], 200),
            (Version::HTTP_2, &[("content-type", "text/plain")], 200),
        ] {
            let checked =
                check_file(version, &parts(version, "PUT", lines).headers, Length::Required, || {
                    "Send it.".into()
                });
            assert_eq!(
                checked.map_or_else(|problem| problem.status.as_u16(), |()| 200),
                expected,
                "{lines:?}"
            );
        }
        let later = parts(Version::HTTP_11, "POST", &[]);
        assert!(check_file(later.version, &later.headers, Length::Optional, String::new).is_ok());
    }
}
