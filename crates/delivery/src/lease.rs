//! The sole right to write to a ticket, kept for as long as somebody works and no longer: a process that dies delays its
//! tickets by seconds. Invariant: a lease that may have run out is not used; a comment that comes late all the same meets
//! the ticket's stamp.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ledger::{Ledger, now_ms};

/// How long a ticket waits when its worker has died.
const LEASE_MS: i64 = 20_000;
/// How often a living worker says so: four times within a lease.
const RENEW: Duration = Duration::from_secs(5);

pub(crate) struct Lease {
    ledger: Ledger,
    ticket: String,
    until: AtomicI64,
}

impl Lease {
    /// The lease of a ticket; none while somebody else has it.
    pub(crate) async fn take(ledger: &Ledger, ticket: String) -> ledger::Result<Option<Self>> {
        let until = now_ms() + LEASE_MS;
        let taken = ledger.lease_ticket(&ticket, until).await?;
        Ok(taken.then(|| Self { ledger: ledger.clone(), ticket, until: AtomicI64::new(until) }))
    }

    pub(crate) fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Renews the lease again and again. Returns when it is lost, or may be.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::time::sleep(RENEW).await;
            let (until, next) = (self.until.load(Ordering::Relaxed), now_ms() + LEASE_MS);
            let left = Duration::from_millis(u64::try_from(until - now_ms()).unwrap_or(0));
            let renewal = self.ledger.move_ticket_lease(&self.ticket, until, next);
            match tokio::time::timeout(left, renewal).await {
                Ok(Ok(true)) => self.until.store(next, Ordering::Relaxed),
                // Another try fits in.
                Ok(Err(_)) if left > 2 * RENEW => {}
                _ => return,
            }
        }
    }

    /// Gives the ticket back, for anybody to write to it from `hold_until`, ms, on; 0 for at once. If the ledger does not
    /// answer, the lease runs out.
    pub(crate) async fn end(&self, hold_until: i64) {
        let until = self.until.load(Ordering::Relaxed);
        if let Err(error) = self.ledger.move_ticket_lease(&self.ticket, until, hold_until).await {
            tracing::warn!(ticket = self.ticket, error = crate::chain(&error), "give the ticket back");
        }
    }
}
