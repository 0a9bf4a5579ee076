//! Gives every request an id and a span, and counts and logs its end.
//! Invariant: a path is never logged or counted, because it may contain a link's token. The route's pattern is used instead.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use crate::http::request_id::{self, RequestId};
use crate::http::trusted_proxy::Client;

/// Gives a request its id, its span and its end.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let span = span(&request, &id);
    let mut end = End::of(&request);
    let answered = async move {
        let response = next.run(request).await;
        end.status = Some(response.status());
        drop(end);
        response
    };
    let mut response = answered.instrument(span).await;
    response.headers_mut().insert(request_id::HEADER, id.value());
    response
}

fn span(request: &Request, id: &RequestId) -> Span {
    // At the level of errors, so that no filter drops it from lines that pass.
    let span = tracing::error_span!(
        "request",
        request_id = id.as_str(),
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
    super::otlp::begin(&span, request.headers(), method(request.method()), &route(request));
    span
}

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

/// The route's pattern, whatever the path.
fn route(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        // axum's own name of the fallback of a nested router.
        Some(pattern) if !pattern.contains("__private") => {
            pattern.trim_end_matches("/{*below}").trim_end_matches('/').to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Counts and logs how a request ended, even if its client left before the answer.
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
            None => tracing::debug!(duration_ms, "client left before its answer"),
        }
        #[cfg(feature = "otlp")]
        super::otlp::end(self.status);
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
