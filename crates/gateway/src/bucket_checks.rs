//! Finds out at the start what each bucket can do, and logs and counts it.
//! Invariant: no bucket, however broken, prevents the start or delays it by more than one examination.

use std::time::Duration;

use bucket::{Bucket, Buckets, Report, Weight};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

/// How long until a bucket that could not be examined is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(60);

/// Examines every bucket, in parallel. Returns those to try again.
pub(crate) async fn examine_all(buckets: &Buckets, resume_window: Duration) -> Vec<(String, Bucket)> {
    let wanted = buckets.all().map(|(name, bucket)| (name.to_owned(), bucket.clone())).collect();
    examine(wanted, resume_window).await
}

async fn examine(buckets: Vec<(String, Bucket)>, resume_window: Duration) -> Vec<(String, Bucket)> {
    let reports = join_all(buckets.iter().map(|(_, bucket)| Box::pin(bucket.examine()))).await;
    let mut left = Vec::new();
    for ((name, bucket), report) in buckets.into_iter().zip(reports) {
        report_findings(&name, &bucket, &report, resume_window);
        if !report.is_complete() {
            left.push((name, bucket));
        }
    }
    left
}

fn report_findings(name: &str, bucket: &Bucket, report: &Report, resume_window: Duration) {
    tracing::info!(bucket = name, s3_bucket = bucket.name(), "bucket {}", report.summary());
    for finding in report.findings(resume_window) {
        match finding.weight {
            Weight::Note => tracing::info!(bucket = name, "{}", finding.text),
            Weight::Warning | Weight::Error => tracing::warn!(bucket = name, "{}", finding.text),
        }
    }
    for (capability, has) in report.capabilities() {
        metrics::gauge!(
            "weighbridge_bucket_capability", "bucket" => name.to_owned(), "capability" => capability
        )
        .set(u8::from(has));
    }
}

/// Tries again until every bucket was examined.
pub(crate) async fn retry(mut left: Vec<(String, Bucket)>, resume_window: Duration, stop: CancellationToken) {
    while !left.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            still = examine(left, resume_window) => left = still,
        }
    }
}
