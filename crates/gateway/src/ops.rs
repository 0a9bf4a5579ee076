//! For operators: is it alive, can it work, how is it doing. And what every answer carries.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ledger::JobKind;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::observe::metrics::as_f64;

/// How often it is tried whether the ledger can be written: one flush of its disk.
const TRY_LEDGER_EVERY: Duration = Duration::from_secs(5);
/// Whoever waits longer to write has a ledger that is as good as away.
const TRY_LEDGER_MAX: Duration = Duration::from_secs(10);

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests can be served: not draining, the ledger answers and was written a moment ago, the shared bucket answers. The desk is not asked: uploads
/// do not depend on it.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let reason = if app.draining.load(Ordering::Relaxed) {
        Some("draining")
    } else if app.ledger.ping().await.is_err() {
        Some("the ledger does not answer")
    } else if app.ledger_refuses.load(Ordering::Relaxed) {
        Some("the ledger cannot be written")
    } else if app.buckets.of_partner("").1.probe().await.is_err() {
        Some("the Support Uploader bucket does not answer")
    } else {
        None
    };
    match reason {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Tries again and again whether the ledger can be written: uploads need that, and readers do not notice.
pub(crate) async fn try_ledger(app: App, stop: CancellationToken) {
    let mut every = tokio::time::interval(TRY_LEDGER_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let tried = tokio::time::timeout(TRY_LEDGER_MAX, app.ledger.try_write()).await;
        let refuses = match tried {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("nothing was written in {} s", TRY_LEDGER_MAX.as_secs())),
        };
        let before = app.ledger_refuses.swap(refuses.is_some(), Ordering::Relaxed);
        match refuses {
            Some(error) if !before => tracing::error!(error, "the ledger cannot be written: not ready"),
            None if before => tracing::info!("the ledger can be written again"),
            _ => {}
        }
    }
}

/// Headers that no answer goes without.
pub(crate) async fn common_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    // The address of a link is a secret: no page may hand it on, nor run or load anything.
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("content-security-policy", HeaderValue::from_static(page::CONTENT_SECURITY_POLICY));
    response
}

/// State and delivery of the uploads that are counted.
const UPLOADS: [(&str, &str); 5] = [
    ("open", ""),
    ("completing", ""),
    ("complete", "pending"),
    ("complete", "done"),
    ("complete", "undeliverable"),
];

/// What ended is cleared at once, and again after its last request to the bucket, by the next sweep: in less than this.
const UNSWEPT_AFTER_MS: i64 = 15 * 60 * 1000;

/// The metrics as Prometheus reads them; gauges are taken from the ledger and the budget as they are now.
pub(crate) async fn metrics(State((app, handle)): State<(App, PrometheusHandle)>) -> Response {
    let budget = app.uploads.budget();
    gauge("weighbridge_memory_used_bytes", budget.used_bytes());
    gauge("weighbridge_memory_budget_bytes", budget.total_bytes());
    gauge("weighbridge_memory_waiting", budget.waiting());
    // What there is none of is not in the ledger's answer: it is 0, not what it was.
    if let Ok(counts) = app.ledger.upload_counts().await {
        for (state, delivery) in UPLOADS {
            let count = counts.iter().find(|found| found.0 == state && found.1 == delivery);
            metrics::gauge!("weighbridge_uploads", "state" => state, "delivery" => delivery)
                .set(as_f64(count.map_or(0, |found| found.2)));
        }
    }
    if let Ok(counts) = app.ledger.job_counts().await {
        for kind in JobKind::ALL.map(JobKind::name) {
            let found = counts.iter().find(|found| found.0 == kind);
            let (count, oldest_ms) = found.map_or((0, 0), |found| (found.1, found.2));
            metrics::gauge!("weighbridge_jobs_waiting", "kind" => kind).set(as_f64(count));
            metrics::gauge!("weighbridge_jobs_oldest_seconds", "kind" => kind)
                .set(as_f64(oldest_ms) / 1000.0);
        }
    }
    if let Ok((uploads, bytes)) = app.ledger.unswept_counts(ledger::now_ms() - UNSWEPT_AFTER_MS).await {
        metrics::gauge!("weighbridge_unswept_uploads").set(as_f64(uploads));
        metrics::gauge!("weighbridge_unswept_bytes").set(as_f64(bytes));
    }
    if let Some(bytes) = app.ledger_file.as_deref().and_then(free_bytes) {
        gauge("weighbridge_ledger_disk_free_bytes", bytes);
    }
    handle.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], handle.render()).into_response()
}

/// Room for this user on the disk of this file.
#[cfg(target_os = "linux")]
fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(target_os = "linux"))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(as_f64(i64::try_from(value).unwrap_or(i64::MAX)));
}
