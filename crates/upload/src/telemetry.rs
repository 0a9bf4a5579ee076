//! Metrics and log lines of uploads.
//! Invariant: an append ends with exactly one log line that names its outcome.

use std::time::{Duration, Instant};

use ledger::{State, Upload};

use crate::limits::unsigned;
use crate::{Error, Result};

/// Smaller uploads spend their time in handshakes and say nothing about throughput. Bytes.
const THROUGHPUT_BYTES_MIN: u64 = 1_000_000;

/// What an append has done so far.
pub(crate) struct AppendProgress {
    began: Instant,
    received_total: metrics::Counter,
    bytes: u64,
    parts: u64,
    /// Whether its sender can resume the upload, although the append failed.
    is_kept: bool,
    /// How long the body was polled and had nothing.
    sender: Duration,
    waiting_since: Option<Instant>,
}

impl Default for AppendProgress {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            received_total: metrics::counter!("weighbridge_received_bytes_total"),
            bytes: 0,
            parts: 0,
            is_kept: false,
            sender: Duration::ZERO,
            waiting_since: None,
        }
    }
}

impl AppendProgress {
    /// The body was polled: whether it had nothing to give.
    pub(crate) fn waits_for_sender(&mut self, is_pending: bool) {
        if is_pending {
            self.waiting_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.waiting_since.take() {
            self.sender += since.elapsed();
        }
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.received_total.increment(bytes as u64);
    }

    pub(crate) fn part_cut(&mut self) {
        self.parts += 1;
        metrics::counter!("weighbridge_parts_total").increment(1);
    }

    pub(crate) fn kept(&mut self) {
        self.is_kept = true;
    }

    /// Writes the one line at the end of an append, and its metrics.
    pub(crate) fn log_end(&self, id: &str, result: &Result<Upload>) {
        let took = self.began.elapsed();
        match result {
            Ok(upload) if upload.id == id && upload.state == State::Open => self.log("appended", "", took),
            Ok(upload) if upload.id == id => {
                self.log("completed", "", took);
                completed(upload, took);
            }
            Ok(original) => {
                tracing::debug!(original = original.id, "the same file was uploaded before");
                self.log("repeated", "", took);
            }
            Err(Error::Superseded) => self.log("superseded", "superseded", took),
            Err(error) if self.is_kept => self.log("kept", error.reason(), took),
            Err(error) => self.log("failed", error.reason(), took),
        }
    }

    fn log(&self, outcome: &'static str, reason: &'static str, took: Duration) {
        count_end(outcome, reason);
        tracing::info!(
            outcome,
            reason = Some(reason).filter(|reason| !reason.is_empty()),
            bytes = self.bytes,
            duration_s = rounded(took.as_secs_f64()),
            mb_per_s = rounded(per_second(self.bytes, took) / 1e6),
            parts = self.parts,
            sender_s = rounded(self.sender.as_secs_f64()),
            // Includes hashing. While storage keeps up there is little else.
            storage_s = rounded(took.saturating_sub(self.sender).as_secs_f64()),
            "upload ended"
        );
    }
}

/// An upload ended without an append: by recovery, or because somebody cancelled it.
pub(crate) fn ended_without_append(outcome: &'static str, reason: &'static str) {
    count_end(outcome, reason);
    tracing::info!(outcome, reason, "upload ended");
}

/// Bytes of `what` reached a bucket, or came back from it, other than they were sent.
pub(crate) fn damaged(what: &'static str) {
    metrics::counter!("weighbridge_damaged_total", "what" => what).increment(1);
}

fn count_end(outcome: &'static str, reason: &'static str) {
    metrics::counter!("weighbridge_uploads_ended_total", "outcome" => outcome, "reason" => reason)
        .increment(1);
}

fn completed(upload: &Upload, took: Duration) {
    let size = unsigned(upload.length.unwrap_or_default());
    let destination = upload.destination.map_or("none", ledger::Destination::name);
    metrics::counter!("weighbridge_completed_bytes_total", "destination" => destination).increment(size);
    metrics::histogram!("weighbridge_upload_seconds", "destination" => destination).record(took);
    if size >= THROUGHPUT_BYTES_MIN {
        metrics::histogram!("weighbridge_upload_bytes_per_second", "destination" => destination)
            .record(per_second(size, took));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate off by one in 2^53 misleads nobody")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-6)
}

/// Three digits after the point: milliseconds, or kB/s.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_counts_as_the_sender_s_time() {
        let mut progress = AppendProgress::default();
        progress.waits_for_sender(false);
        assert_eq!(progress.sender, Duration::ZERO, "nobody waited");
        progress.waits_for_sender(true);
        progress.waiting_since = progress.waiting_since.map(|since| since - Duration::from_secs(2));
        progress.waits_for_sender(true);
        progress.waits_for_sender(false);
        assert!(progress.sender >= Duration::from_secs(2), "{:?}", progress.sender);
        assert!(progress.waiting_since.is_none());
    }

    #[test]
    fn rates() {
        assert!((per_second(20_000_000, Duration::from_secs(2)) - 1e7).abs() < 1e-6);
        assert!(per_second(1, Duration::ZERO).is_finite());
        assert!((rounded(1.234_56) - 1.235).abs() < 1e-9);
    }
}
