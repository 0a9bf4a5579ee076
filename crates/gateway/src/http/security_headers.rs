//! Headers that protect a browser, on every answer.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::middleware::Next;
use axum::response::Response;

pub(crate) async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    // A link's address is a secret: no page may pass it on, or load or run anything.
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // The files beside a page have a policy of their own.
    let policy = HeaderValue::from_static(page::CONTENT_SECURITY_POLICY);
    response.headers_mut().entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}
