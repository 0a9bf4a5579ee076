//! The right to work on a job or a ticket, extended while a worker lives: one that dies delays its jobs by seconds.
//! Invariant: a lease that may have run out is not used; a comment that arrives late nevertheless meets the ticket's stamp.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use bucket::chain;
use ledger::{Held, Job, JobKind, Ledger, now_ms};

/// How long the jobs of a dead worker wait.
const LEASE_MS: i64 = 20_000;
/// How often a living worker extends its lease: four times within one.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Lease {
    ledger: Ledger,
    held: Held,
    until: AtomicI64,
}

impl Lease {
    /// Takes due jobs of a kind, if there are any.
    pub(crate) async fn claim(ledger: &Ledger, kind: JobKind) -> ledger::Result<Option<(Self, Vec<Job>)>> {
        let until = now_ms() + LEASE_MS;
        let claimed = ledger.claim_jobs(kind, until).await?;
        Ok(claimed.map(|claimed| {
            (Self { ledger: ledger.clone(), held: claimed.held, until: until.into() }, claimed.jobs)
        }))
    }

    /// Extends the lease until it is lost, or may be.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            let (until, next) = (self.until.load(Relaxed), now_ms() + LEASE_MS);
            let left = Duration::from_millis(u64::try_from(until - now_ms()).unwrap_or(0));
            match tokio::time::timeout(left, self.ledger.move_lease(&self.held, until, next)).await {
                Ok(Ok(true)) => self.until.store(next, Relaxed),
                // There is time for another attempt.
                Ok(Err(_)) if left > 2 * EXTEND_EVERY => {}
                _ => return,
            }
        }
    }

    /// Gives the lease back; nobody works on the job or the ticket before `hold_until`, ms (0: at once). If the ledger does
    /// not answer, the lease runs out.
    pub(crate) async fn end(&self, hold_until: i64) {
        let until = self.until.load(Relaxed);
        if let Err(error) = self.ledger.move_lease(&self.held, until, hold_until).await {
            tracing::warn!(error = chain(&error), "cannot give back a lease; it runs out");
        }
    }
}
