//! Spans to an OpenTelemetry collector, OTLP as protobuf over HTTP, configured by the standard `OTEL_*` variables.
//! Invariant: our own HTTP client sends them, so there is no second one in the tree; no failure here is seen by a sender.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

/// Without one of these nothing is sent.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The specification's default timeout.
const TIMEOUT: Duration = Duration::from_secs(10);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Sends the spans of these crates; none when no variable names a collector.
pub(super) fn layer<S>(ours: &'static [&'static str]) -> anyhow::Result<Option<impl Layer<S> + use<S>>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let endpoint = ENDPOINTS.into_iter().find_map(set).filter(|_| !disabled);
    let Some(endpoint) = endpoint else { return Ok(None) };
    let timeout = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]
        .into_iter()
        .find_map(|name| set(name)?.parse().ok().map(Duration::from_millis))
        .unwrap_or(TIMEOUT);
    let mut http = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    if url::Url::parse(&endpoint).is_ok_and(|url| desk::is_loopback(&url)) {
        // A proxy from the environment is for the way out.
        http = http.no_proxy();
    }
    let client = Client {
        http: http.build().context("prepare to send spans")?,
        runtime: Handle::current(),
        failing: AtomicBool::new(false),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .build()
        .context("OTEL_EXPORTER_OTLP_ENDPOINT: write for example `http://127.0.0.1:4318`")?;
    let mut resource = Resource::builder();
    if set("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("weighbridge");
    }
    let provider =
        SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("weighbridge");
    let _ = PROVIDER.set(provider);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    let of_ours = filter::filter_fn(|of| {
        let krate = of.target().split("::").next().unwrap_or_default();
        ours.contains(&krate)
    });
    Ok(Some(layer.with_filter(of_ours)))
}

/// Sends the remaining spans. Blocks; the runtime must still run.
pub(super) fn stop() {
    if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
        tracing::warn!(error = %error, "sending the last spans failed");
    }
}

/// Continues the request's trace, if it has one, and marks the span as a server's.
pub(super) fn begin(span: &Span, headers: &HeaderMap, method: &'static str, route: &str) {
    if PROVIDER.get().is_none() {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // It fails for a span that no layer sees.
    let _ = span.set_parent(parent);
    span.record("otel.name", format!("{method} {route}"));
    span.record("otel.kind", "server");
    span.record("trace_id", tracing::field::display(span.context().span().span_context().trace_id()));
}

/// Records in the request's span how it was answered.
pub(super) fn end(status: Option<StatusCode>) {
    let (Some(status), Some(_)) = (status, PROVIDER.get()) else { return };
    let span = Span::current();
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
}

/// Our HTTP client, called from the exporter's own thread. The work is done in our runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status()).body(Bytes::new())?;
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?;
            Ok::<_, HttpError>(response)
        });
        let result = sent.await.unwrap_or_else(|error| Err(error.into()));
        let problem = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Logged once, not every few seconds.
        if self.failing.swap(problem.is_some(), Ordering::Relaxed) != problem.is_some() {
            match problem {
                Some(error) => tracing::warn!(error, "spans cannot be sent and are dropped"),
                None => tracing::info!("spans are sent again"),
            }
        }
        result
    }
}
