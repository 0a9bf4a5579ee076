//! Every request has an id, a span and an end: the id is in every answer, problem and log line of it, and the end is
//! counted. Invariant: a path is never logged nor counted as it came, for it may hold a link's token: its pattern is.

pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "otlp")]
mod otlp;

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use crate::proxy::Client;

/// Says which request an answer belongs to.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id of the client's is not taken over.
const REQUEST_ID_BYTES_MAX: usize = 64;

tokio::task_local! {
    static ID: HeaderValue;
}

/// The id of the request that is answered in this task.
pub(crate) fn request_id() -> Option<String> {
    ID.try_with(|id| id.to_str().ok().map(str::to_owned)).ok().flatten()
}

/// Gives a request its id, its span and its end.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let span = span(&request, &id);
    let end = End::of(&request);
    let answered = ID.scope(id.clone(), async move {
        // The whole of it: alone, a field would be copied.
        let mut end = end;
        let response = next.run(request).await;
        end.status = Some(response.status());
        response
    });
    let mut response = answered.instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's or the proxy's id, if it is sane, so that their logs and ours meet; else one of ours.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) if is_sane(id.as_bytes()) => id.clone(),
        // An id of ours is letters and digits.
        _ => HeaderValue::from_str(&ledger::new_id()).unwrap_or(HeaderValue::from_static("none")),
    }
}

fn is_sane(id: &[u8]) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(sane)
}

fn span(request: &Request, id: &HeaderValue) -> Span {
    // At the level of errors, so that no filter takes it from the lines that pass.
    let span = tracing::error_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = method(request.method()),
        route = route(request),
        client = Empty,
        trace_id = Empty,
        otel.name = Empty,
        otel.kind = Empty,
    );
    if let Some(client) = request.extensions().get::<Client>() {
        span.record("client", display(client.address));
    }
    #[cfg(feature = "otlp")]
    otlp::begin(&span, request.headers(), method(request.method()), &route(request));
    span
}

/// The method, of those there are.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The pattern of the request's path: one of a few, whatever is asked for.
fn route(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        Some(pattern) if pattern.starts_with("/u/") => link_route(request.uri().path()).to_owned(),
        // The framework's own name for what a nested router does not know.
        Some(pattern) if !pattern.contains("__private") => pattern.to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// The pattern of a path below `/u/`.
fn link_route(path: &str) -> &'static str {
    let below = path.strip_prefix("/u/").and_then(|rest| rest.split_once('/')).map_or("", |(_, below)| below);
    match below {
        "" => "/u/{link}",
        "uploads" | "uploads/" => "/u/{link}/uploads",
        "escalate" => "/u/{link}/escalate",
        "send.sh" => "/u/{link}/send.sh",
        "send.ps1" => "/u/{link}/send.ps1",
        below if below.starts_with("uploads/") => "/u/{link}/uploads/{id}",
        _ => "/u/{link}/{name}",
    }
}

/// Counts and logs how a request ended, also one whose client went before it was answered.
struct End {
    method: &'static str,
    route: String,
    began: Instant,
    status: Option<StatusCode>,
}

impl End {
    fn of(request: &Request) -> Self {
        Self { method: method(request.method()), route: route(request), began: Instant::now(), status: None }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let class = self.status.map_or("none", class);
        ::metrics::counter!(
            "weighbridge_requests_total",
            "method" => self.method,
            "route" => self.route.clone(),
            "status" => class,
        )
        .increment(1);
        ::metrics::histogram!("weighbridge_request_seconds", "route" => self.route.clone()).record(took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match self.status.map(|status| status.as_u16()) {
            Some(status) if status >= 500 => tracing::info!(status, duration_ms, "request answered"),
            Some(status) => tracing::debug!(status, duration_ms, "request answered"),
            None => tracing::debug!(duration_ms, "client went before its answer"),
        }
        #[cfg(feature = "otlp")]
        otlp::end(self.status);
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_patterns() {
        for (path, expected) in [
            ("/u/tok", "/u/{link}"),
            ("/u/tok/", "/u/{link}"),
            ("/u/tok/a.log", "/u/{link}/{name}"),
            ("/u/tok/a/b", "/u/{link}/{name}"),
            ("/u/tok/uploads", "/u/{link}/uploads"),
            ("/u/tok/uploads/01J", "/u/{link}/uploads/{id}"),
            ("/u/-/send.sh", "/u/{link}/send.sh"),
            ("/u/", "/u/{link}"),
        ] {
            assert_eq!(link_route(path), expected, "{path}");
        }
    }

    #[test]
    fn only_sane_ids_are_taken_over() {
        let long = "x".repeat(65);
        for (given, sane) in [
            (vec!["abc-1.2_3"], true),
            (vec![&long[..64]], true),
            (vec![long.as_str()], false),
            (vec!["a b"], false),
            (vec!["a;b"], false),
            (vec![""], false),
            (vec!["a", "b"], false),
            (vec![], false),
        ] {
            let headers =
                given.iter().map(|text| (REQUEST_ID, HeaderValue::from_str(text).unwrap())).collect();
            let id = id_of(&headers);
            assert_eq!(given.first().is_some_and(|text| *text == id), sane, "{given:?}: {id:?}");
            assert!(is_sane(id.as_bytes()), "{id:?}");
        }
        assert_ne!(id_of(&HeaderMap::new()), id_of(&HeaderMap::new()));
    }
}
