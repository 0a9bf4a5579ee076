//! `/metrics` as Prometheus reads it.

use std::path::Path;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ledger::JobKind;
use metrics_exporter_prometheus::PrometheusHandle;

use super::metrics::as_f64;
use crate::state::AppState;

/// State and delivery of the counted uploads.
const UPLOADS: [(&str, &str); 5] = [
    ("open", ""),
    ("completing", ""),
    ("complete", "pending"),
    ("complete", "done"),
    ("complete", "undeliverable"),
];

/// Ended uploads are cleared at once, and again by the next sweep after their last request to the bucket: within this time.
const UNSWEPT_AFTER_MS: i64 = 15 * 60 * 1000;

/// Gauges are read from the ledger and the budget at this moment.
pub(crate) async fn metrics(State((state, handle)): State<(AppState, PrometheusHandle)>) -> Response {
    let budget = state.uploads.budget();
    gauge("weighbridge_memory_used_bytes", budget.used_bytes());
    gauge("weighbridge_memory_budget_bytes", budget.total_bytes());
    gauge("weighbridge_memory_waiting", budget.waiting());
    // The ledger leaves out what it has none of: that is 0, not its last value.
    if let Ok(counts) = state.ledger.upload_counts().await {
        for (name, delivery) in UPLOADS {
            let count = counts.iter().find(|found| found.0 == name && found.1 == delivery);
            metrics::gauge!("weighbridge_uploads", "state" => name, "delivery" => delivery)
                .set(as_f64(count.map_or(0, |found| found.2)));
        }
    }
    if let Ok(counts) = state.ledger.job_counts().await {
        for kind in JobKind::ALL.map(JobKind::name) {
            let found = counts.iter().find(|found| found.0 == kind);
            let (count, oldest_ms) = found.map_or((0, 0), |found| (found.1, found.2));
            metrics::gauge!("weighbridge_jobs_waiting", "kind" => kind).set(as_f64(count));
            metrics::gauge!("weighbridge_jobs_oldest_seconds", "kind" => kind)
                .set(as_f64(oldest_ms) / 1000.0);
        }
    }
    if let Ok((uploads, bytes)) = state.ledger.unswept_counts(ledger::now_ms() - UNSWEPT_AFTER_MS).await {
        metrics::gauge!("weighbridge_unswept_uploads").set(as_f64(uploads));
        metrics::gauge!("weighbridge_unswept_bytes").set(as_f64(bytes));
    }
    if let Some(bytes) = state.ledger_file.as_deref().and_then(free_bytes) {
        gauge("weighbridge_ledger_disk_free_bytes", bytes);
    }
    handle.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], handle.render()).into_response()
}

/// Free space for this user on the disk of this file.
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
