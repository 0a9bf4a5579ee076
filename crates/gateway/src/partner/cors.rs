//! Cross-origin requests. A browser on any other site may send files here: the link is the only credential, and cookies are
//! ignored. By hand, since `OPTIONS` also answers clients that ask for limits, which tower-http's layer would not let through.

use axum::http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION};
use axum::http::{HeaderMap, HeaderValue};

/// Adds what every answer carries.
pub(super) fn expose(headers: &mut HeaderMap) {
    set(headers, "access-control-allow-origin", "*");
    set(
        headers,
        "access-control-expose-headers",
        "Location, Upload-Offset, Upload-Length, Upload-Complete, Upload-Limit, Upload-Expires, Upload-Metadata, \
         Upload-Defer-Length, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
         Repr-Digest, Retry-After, X-Request-Id",
    );
}

/// Adds what the answer to `OPTIONS` carries.
pub(super) fn allow(headers: &mut HeaderMap) {
    set(headers, "access-control-allow-methods", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
    set(
        headers,
        "access-control-allow-headers",
        "Authorization, Content-Type, Content-Range, Content-Disposition, Content-Digest, Repr-Digest, Want-Repr-Digest, Accept, \
         Idempotency-Key, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, \
         Upload-Checksum, Upload-Complete, Upload-Draft-Interop-Version, X-HTTP-Method-Override, X-Request-Id",
    );
    set(headers, "access-control-max-age", "86400");
}

/// Whether a browser asks for permission, which it does without credentials (Fetch standard, CORS-preflight request).
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) && !headers.contains_key(AUTHORIZATION)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
