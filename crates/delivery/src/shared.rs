//! What all jobs use: where they read and write, and how failures are reported.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use bucket::{Bucket, Buckets};
use desk::Desk;
use desk::slack::Slack;
use ledger::{Ledger, Upload, now_ms};
use tickets::Tickets;

/// How to deliver.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where support staff reach this gateway; the base of the links in notes.
    pub public_url: String,
    /// Whether a comment with attachments is public. Every other note is private.
    pub attachments_public: bool,
    /// How long files are collected after a note before the next one. Longer near the desk's limit.
    pub batch: Duration,
    /// How long a link works that the gateway posts on a ticket.
    pub link_life: Duration,
}

impl Config {
    /// Private comments, at least 10 s apart; links for 48 h.
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            attachments_public: false,
            batch: Duration::from_secs(10),
            link_life: Duration::from_secs(48 * 60 * 60),
        }
    }
}

pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) desk: Desk,
    pub(crate) tickets: Tickets,
    pub(crate) slack: Option<Slack>,
    pub(crate) config: Config,
    /// When an operator was last told that the desk refuses our credentials, ms.
    pub(crate) alarmed_at: AtomicI64,
}

/// How often an operator is told that the desk refuses our credentials.
const ALARM_EVERY_MS: i64 = 60 * 1000;

impl Shared {
    pub(crate) fn bucket_of(&self, upload: &Upload) -> Result<&Bucket, String> {
        let name = &upload.bucket;
        self.buckets.named(name).ok_or_else(|| format!("no bucket is configured for {name}"))
    }

    pub(crate) fn alarm_is_due(&self) -> bool {
        let (now, last) = (now_ms(), self.alarmed_at.load(Relaxed));
        now - last >= ALARM_EVERY_MS && self.alarmed_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}

/// Counts a failed attempt.
pub(crate) fn failed(reason: &'static str) {
    metrics::counter!("weighbridge_delivery_failures_total", "reason" => reason).increment(1);
}
