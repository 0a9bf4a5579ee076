//! What an upload tells of itself: one span around everything, one line at its end, and metrics of how it went.
//! Invariant: an append ends with exactly one line that names its outcome, whoever ended it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};
use ledger::{State, Upload};
use tracing::Instrument as _;

use crate::append::{Append, BodyError, Frame};
use crate::engine::{Uploads, unsigned};
use crate::{Error, Result};

/// Below this size the time is the handshakes', and says nothing of throughput. Bytes.
const THROUGHPUT_BYTES_MIN: u64 = 1_000_000;

tokio::task_local! {
    /// What the append that runs in this task has done so far.
    static TALLY: Arc<Tally>;
}

/// What is counted while an append runs.
#[derive(Debug, Default)]
struct Tally {
    bytes: AtomicU64,
    parts: AtomicU64,
    /// Whether its sender may go on.
    kept: AtomicBool,
    /// Time the body was asked for and had nothing, microseconds.
    sender_us: AtomicU64,
}

impl Uploads {
    /// Appends the body, and completes the upload where that is its end. Returns it as it stands: open with its new
    /// offset, or complete: this one, or the one that was there before with the same link, ticket, name and SHA-256.
    ///
    /// An append that fails keeps what came of an upload that may be resumed, and cancels any other.
    ///
    /// # Errors
    /// As [`Error`]; [`Error::Busy`] before the body is touched.
    pub async fn append<S, F>(&self, id: &str, append: &Append, body: S) -> Result<Upload>
    where
        S: Stream<Item = std::result::Result<F, BodyError>> + Unpin + Send,
        F: Into<Frame>,
    {
        let seen = self.0.ledger.upload(id).await;
        let span = match &seen {
            Ok(upload) => upload.span(),
            Err(_) => tracing::error_span!("upload", upload.id = id),
        };
        let tally = Arc::new(Tally::default());
        let body = Watched { body, tally: Arc::clone(&tally), waiting_since: None };
        let began = Instant::now();
        let work = async {
            let result = match seen {
                Ok(seen) => self.take_in(&seen, append, body).await,
                Err(error) => Err(error.into()),
            };
            ended(id, &result, &tally, began.elapsed());
            result
        };
        TALLY.scope(Arc::clone(&tally), Box::pin(work)).instrument(span).await
    }
}

/// Counts a part that is on its way to the bucket.
pub(crate) fn part_cut() {
    metrics::counter!("weighbridge_parts_total").increment(1);
    let _ = TALLY.try_with(|tally| tally.parts.fetch_add(1, Relaxed));
}

/// Counts bytes that came to a bucket, or back from it, other than they were sent: of what.
pub(crate) fn damaged(what: &'static str) {
    metrics::counter!("weighbridge_damaged_total", "what" => what).increment(1);
}

/// Says that an upload whose append failed may be resumed.
pub(crate) fn kept() {
    let _ = TALLY.try_with(|tally| tally.kept.store(true, Relaxed));
}

/// A body that counts its bytes, and the time its sender lets us wait.
struct Watched<S> {
    body: S,
    tally: Arc<Tally>,
    waiting_since: Option<Instant>,
}

impl<S, F> Stream for Watched<S>
where
    S: Stream<Item = std::result::Result<F, BodyError>> + Unpin,
    F: Into<Frame>,
{
    type Item = std::result::Result<Frame, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(frame) = self.body.poll_next_unpin(cx) else {
            self.waiting_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let frame = frame.map(|frame| frame.map(Into::into));
        if let Some(since) = self.waiting_since.take() {
            let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.tally.sender_us.fetch_add(waited, Relaxed);
        }
        if let Some(Ok(Frame::Bytes(bytes))) = &frame {
            self.tally.bytes.fetch_add(bytes.len() as u64, Relaxed);
            metrics::counter!("weighbridge_received_bytes_total").increment(bytes.len() as u64);
        }
        Poll::Ready(frame)
    }
}

/// The one line at the end of an append, and its metrics.
fn ended(id: &str, result: &Result<Upload>, tally: &Tally, took: Duration) {
    let bytes = tally.bytes.load(Relaxed);
    let sender = Duration::from_micros(tally.sender_us.load(Relaxed));
    let times = Times {
        bytes,
        duration_s: rounded(took.as_secs_f64()),
        mb_per_s: rounded(per_second(bytes, took) / 1e6),
        parts: tally.parts.load(Relaxed),
        sender_s: rounded(sender.as_secs_f64()),
        // Hashing is in it: while storage keeps up there is little else.
        storage_s: rounded(took.saturating_sub(sender).as_secs_f64()),
    };
    match result {
        Ok(upload) if upload.id == id && upload.state == State::Open => times.log("appended", ""),
        Ok(upload) if upload.id == id => {
            times.log("completed", "");
            completed(upload, took);
        }
        Ok(original) => {
            tracing::debug!(original = original.id, "the same file as one before");
            times.log("repeated", "");
        }
        Err(Error::Superseded) => times.log("superseded", "superseded"),
        Err(error) if tally.kept.load(Relaxed) => times.log("kept", error.reason()),
        Err(error) => times.log("failed", error.reason()),
    }
}

struct Times {
    bytes: u64,
    duration_s: f64,
    mb_per_s: f64,
    parts: u64,
    sender_s: f64,
    storage_s: f64,
}

impl Times {
    fn log(&self, outcome: &'static str, reason: &'static str) {
        metrics::counter!("weighbridge_uploads_ended_total", "outcome" => outcome, "reason" => reason)
            .increment(1);
        let Self { bytes, duration_s, mb_per_s, parts, sender_s, storage_s } = *self;
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        tracing::info!(
            outcome,
            reason,
            bytes,
            duration_s,
            mb_per_s,
            parts,
            sender_s,
            storage_s,
            "upload ended"
        );
    }
}

/// Counts an upload that came to its end without an append: by recovery, or because somebody cancelled it.
pub(crate) fn ended_alone(outcome: &'static str, reason: &'static str) {
    metrics::counter!("weighbridge_uploads_ended_total", "outcome" => outcome, "reason" => reason)
        .increment(1);
    tracing::info!(outcome, reason, "upload ended");
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

    #[tokio::test]
    async fn what_came_before_an_error_counts() {
        let frames = vec![
            Ok(bytes::Bytes::from_static(b"ab")),
            Ok(bytes::Bytes::from_static(b"cde")),
            Err(BodyError::Interrupted),
        ];
        let tally = Arc::new(Tally::default());
        let body = futures_util::stream::iter(frames);
        let body = Watched { body, tally: Arc::clone(&tally), waiting_since: None };
        let seen: Vec<_> = body.collect().await;
        assert_eq!(seen.len(), 3);
        assert_eq!(tally.bytes.load(Relaxed), 5);
        assert_eq!(tally.sender_us.load(Relaxed), 0, "nobody waited");
    }

    #[test]
    fn rates() {
        assert!((per_second(20_000_000, Duration::from_secs(2)) - 1e7).abs() < 1e-6);
        assert!(per_second(1, Duration::ZERO).is_finite());
        assert!((rounded(1.234_56) - 1.235).abs() < 1e-9);
    }
}
