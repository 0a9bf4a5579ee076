//! Every metric by name, and how it is counted. Invariant: a label takes few values, none of them chosen by a sender: no
//! names, tickets, links or paths.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Name and meaning of every metric; where it has a unit, the name ends with it. Documented with what to do in
/// `deploy/README.md`.
const ALL: [(&str, &str); 38] = [
    ("weighbridge_build_info", "1; the version is in the label."),
    ("weighbridge_start_time_seconds", "When the process began, seconds since 1970."),
    ("weighbridge_requests_total", "Requests by method, pattern of the path and class of the status."),
    ("weighbridge_request_seconds", "Time until a request's answer began, its body included."),
    ("weighbridge_problems_total", "Refusals by problem type."),
    ("weighbridge_uploads", "Uploads by state and delivery."),
    ("weighbridge_uploads_ended_total", "Uploads that came to an end, by outcome and reason."),
    ("weighbridge_upload_seconds", "Time of an upload from its first byte to its receipt."),
    ("weighbridge_upload_bytes_per_second", "Throughput of uploads of at least 1 MB."),
    ("weighbridge_received_bytes_total", "Bytes of files as they come, whatever becomes of them."),
    ("weighbridge_committed_bytes_total", "Bytes of files that a bucket has stored."),
    ("weighbridge_completed_bytes_total", "Bytes of complete files, by destination."),
    ("weighbridge_parts_total", "Parts sent to a bucket."),
    ("weighbridge_connections", "Connections, of every address that is listened on."),
    ("weighbridge_connections_displaced_total", "Idle connections ended because others needed their place."),
    ("weighbridge_tls_certificate_expiry_time_seconds", "When the certificate ends, seconds since 1970."),
    ("weighbridge_ledger_disk_free_bytes", "Room on the disk of a ledger that is a file."),
    ("weighbridge_memory_used_bytes", "Bytes of the budget in use."),
    ("weighbridge_memory_budget_bytes", "The budget."),
    ("weighbridge_memory_waiting", "Uploads that wait for memory."),
    ("weighbridge_s3_attempts_total", "Attempts of calls to a bucket, by operation, bucket and result."),
    ("weighbridge_s3_attempt_seconds", "Time of an attempt of a call to a bucket."),
    (
        "weighbridge_damaged_total",
        "Bytes that came to a bucket, or back, other than they were sent; of what.",
    ),
    ("weighbridge_desk_calls_total", "Calls to the desk, by subject, method and result."),
    ("weighbridge_desk_call_seconds", "Time of a call to the desk."),
    (
        "weighbridge_ledger_transaction_seconds",
        "Time of a write to the ledger, waiting for its turn included.",
    ),
    ("weighbridge_ledger_errors_total", "Calls that the ledger did not answer."),
    ("weighbridge_jobs_waiting", "Jobs that wait, by kind."),
    ("weighbridge_jobs_oldest_seconds", "Age of the oldest job, by kind."),
    ("weighbridge_deliveries_total", "Files that their tickets know of, or never will."),
    ("weighbridge_delivery_seconds", "Time from an upload's end until its ticket was told."),
    ("weighbridge_delivery_failures_total", "Attempts to deliver that are made again, by reason."),
    ("weighbridge_notes_total", "Notes written."),
    ("weighbridge_bucket_capability", "What a bucket was seen to do: 1, or 0."),
    ("weighbridge_leaked_objects", "What lies under our prefixes that this ledger did not make."),
    ("weighbridge_leaked_bytes", "Bytes of what lies under our prefixes that this ledger did not make."),
    ("weighbridge_unswept_uploads", "Uploads that ended and could not be cleared so far."),
    ("weighbridge_unswept_bytes", "Bytes of uploads that ended and could not be cleared so far."),
];

/// Time of a request or an upload: a receipt at once, or a night.
const SECONDS: [f64; 13] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0];
/// Time of a call to somebody who answers soon.
const CALL_SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];
/// From a telephone line to ten gigabits, bytes a second.
const BYTES_PER_SECOND: [f64; 11] = [1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 6e8, 1.2e9];

/// Begins to collect for this process.
///
/// # Errors
/// When somebody else collects already.
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
        // The kind is that of its first use; the text is the same for each.
        ::metrics::describe_gauge!(name, meaning);
    }
    ::metrics::gauge!("weighbridge_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    ::metrics::gauge!("weighbridge_start_time_seconds").set(as_f64(ledger::now_ms()) / 1000.0);
    for outcome in ["completed", "repeated"] {
        // A series that begins with its first event hides it from a rate.
        ::metrics::counter!("weighbridge_uploads_ended_total", "outcome" => outcome, "reason" => "")
            .absolute(0);
    }
    Ok(handle)
}

/// Sets the gauges of what was found in the buckets that could be looked through.
pub(crate) fn tell_leaks(leaks: &upload::Leaks) {
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
                "not in this ledger; `weighbridge sweep --dry-run` names it"
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
    fn operators_are_told_of_every_metric_and_of_none_else() {
        let documents = [
            include_str!("../../../../deploy/README.md"),
            include_str!("../../../../deploy/prometheus/alerts.yaml"),
            include_str!("../../../../deploy/grafana/dashboard.json"),
        ];
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for (name, _) in ALL {
            assert!(documents[0].contains(&format!("`{name}")), "deploy/README.md does not tell of {name}");
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
