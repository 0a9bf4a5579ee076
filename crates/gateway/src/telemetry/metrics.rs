//! Every metric, with its meaning. Invariant: a label has few values, and senders choose none of them: no names, tickets,
//! links or paths.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Name and meaning of every metric. A name ends with its unit, if it has one. `deploy/README.md` says what to do about each.
const ALL: [(&str, &str); 39] = [
    ("weighbridge_build_info", "1; the version is in the label."),
    ("weighbridge_start_time_seconds", "When the process started, seconds since 1970."),
    ("weighbridge_requests_total", "Requests, by method, route and status class."),
    ("weighbridge_request_seconds", "Time from a request to the start of its answer, including its body."),
    ("weighbridge_problems_total", "Refusals, by problem type."),
    ("weighbridge_uploads", "Uploads, by state and delivery."),
    ("weighbridge_uploads_ended_total", "Uploads that ended, by outcome and reason."),
    ("weighbridge_upload_seconds", "Time from an upload's first byte to its receipt."),
    ("weighbridge_upload_bytes_per_second", "Throughput of uploads of at least 1 MB."),
    ("weighbridge_received_bytes_total", "Received bytes of files, whether or not they are kept."),
    ("weighbridge_committed_bytes_total", "Bytes of files that a bucket has stored."),
    ("weighbridge_completed_bytes_total", "Bytes of complete files, by destination."),
    ("weighbridge_parts_total", "Parts sent to a bucket."),
    ("weighbridge_connections", "Open connections, of every listening address."),
    ("weighbridge_connections_displaced_total", "Idle connections closed because others needed their place."),
    ("weighbridge_tls_certificate_expiry_time_seconds", "When the certificate expires, seconds since 1970."),
    ("weighbridge_ledger_disk_free_bytes", "Free space on the disk of a ledger that is a file."),
    ("weighbridge_memory_used_bytes", "Used bytes of the memory budget."),
    ("weighbridge_memory_budget_bytes", "Bytes of the memory budget."),
    ("weighbridge_memory_waiting", "Uploads waiting for memory."),
    ("weighbridge_s3_attempts_total", "Attempts to call a bucket, by operation, bucket and result."),
    ("weighbridge_s3_attempt_seconds", "Time of an attempt to call a bucket."),
    ("weighbridge_damaged_total", "Transfers to or from a bucket that damaged bytes, by kind."),
    ("weighbridge_desk_calls_total", "Calls to the desk, by subject, method and result."),
    ("weighbridge_slack_calls_total", "Calls to Slack, by method and result."),
    ("weighbridge_desk_call_seconds", "Time of a call to the desk."),
    (
        "weighbridge_ledger_transaction_seconds",
        "Time of a write to the ledger, including the wait for its turn.",
    ),
    ("weighbridge_ledger_errors_total", "Calls to the ledger that failed."),
    ("weighbridge_jobs_waiting", "Waiting jobs, by kind."),
    ("weighbridge_jobs_oldest_seconds", "Age of the oldest waiting job, by kind."),
    ("weighbridge_deliveries_total", "Deliveries finished, by outcome."),
    ("weighbridge_delivery_seconds", "Time from an upload's end to its note on the ticket."),
    ("weighbridge_delivery_failures_total", "Deliveries that will be retried, by reason."),
    ("weighbridge_notes_total", "Notes written."),
    ("weighbridge_bucket_capability", "Whether a bucket was seen to have a capability: 1 or 0."),
    ("weighbridge_leaked_objects", "Objects under our prefixes that are not in this ledger."),
    ("weighbridge_leaked_bytes", "Bytes under our prefixes that are not in this ledger."),
    ("weighbridge_unswept_uploads", "Ended uploads that are not cleared yet."),
    ("weighbridge_unswept_bytes", "Bytes of ended uploads that are not cleared yet."),
];

/// Buckets for requests and uploads: from an instant to a night.
const SECONDS: [f64; 13] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0];
/// Buckets for calls to other services.
const CALL_SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];
/// From a telephone line to ten gigabits, bytes per second.
const BYTES_PER_SECOND: [f64; 11] = [1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 6e8, 1.2e9];

/// Starts collecting for this process.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let long = ["weighbridge_request_seconds", "weighbridge_upload_seconds", "weighbridge_delivery_seconds"];
    let short = [
        "weighbridge_s3_attempt_seconds",
        "weighbridge_desk_call_seconds",
        "weighbridge_ledger_transaction_seconds",
    ];
    let mut builder = PrometheusBuilder::new().set_buckets_for_metric(
        Matcher::Full("weighbridge_upload_bytes_per_second".into()),
        &BYTES_PER_SECOND,
    )?;
    for (names, buckets) in [(long, &SECONDS[..]), (short, &CALL_SECONDS[..])] {
        for name in names {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.into()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    for (name, meaning) in ALL {
        // The first use decides the kind; the text is the same for every kind.
        ::metrics::describe_gauge!(name, meaning);
    }
    ::metrics::gauge!("weighbridge_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    ::metrics::gauge!("weighbridge_start_time_seconds").set(as_f64(ledger::now_ms()) / 1000.0);
    for outcome in ["completed", "repeated"] {
        // A series that starts with its first event hides that event from a rate.
        ::metrics::counter!("weighbridge_uploads_ended_total", "outcome" => outcome, "reason" => "")
            .absolute(0);
    }
    Ok(handle)
}

/// Sets the gauges of what the sweep found in the buckets.
pub(crate) fn report_leaks(leaks: &upload::Leaks) {
    for ((bucket, kind), total) in &leaks.totals {
        let labels = [("bucket", bucket.clone()), ("kind", kind.name().to_owned())];
        let count = i64::try_from(total.count).unwrap_or(i64::MAX);
        ::metrics::gauge!("weighbridge_leaked_objects", &labels).set(as_f64(count));
        ::metrics::gauge!("weighbridge_leaked_bytes", &labels).set(as_f64(total.bytes));
        if count > 0 {
            let (kind, bytes) = (kind.name(), total.bytes);
            tracing::info!(
                bucket,
                kind,
                count,
                bytes,
                "objects are not in this ledger; `weighbridge sweep --dry-run` lists them"
            );
        }
    }
}

/// For gauges.
#[expect(clippy::cast_precision_loss, reason = "a gauge off by one in 2^53 misleads nobody")]
pub(crate) fn as_f64(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_metric_is_documented_and_no_other() {
        let documents = [
            include_str!("../../../../deploy/README.md"),
            include_str!("../../../../deploy/prometheus/alerts.yaml"),
            include_str!("../../../../deploy/grafana/dashboard.json"),
        ];
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for (name, _) in ALL {
            assert!(documents[0].contains(&format!("`{name}")), "deploy/README.md does not mention {name}");
        }
        for word in documents.iter().flat_map(|text| text.split(|c| !is_word(c))) {
            let word = ["_bucket", "_count", "_sum"]
                .into_iter()
                .find_map(|ending| {
                    word.strip_suffix(ending)
                        .filter(|name| name.ends_with("seconds") || name.ends_with("second"))
                })
                .unwrap_or(word);
            let known = ALL.iter().any(|(name, _)| *name == word);
            assert!(known || !word.starts_with("weighbridge_"), "there is no metric {word}");
        }
    }
}
