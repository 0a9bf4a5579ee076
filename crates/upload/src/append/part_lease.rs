//! How long a part may be in flight before other gateways on the ledger must hear of it again.
//! Invariant: a part is in flight only while its reservation in the ledger is valid, so a gateway that takes over from a dead
//! one waits seconds, not as long as a call to a bucket may take.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bucket::Bucket;
use ledger::now_ms;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::limits::millis;
use crate::{Error, Result};

/// From the moment of the request. [`crate::Uploads::keep_alive`] renews it every 2 s, so a ledger may be silent for 20 s.
const LEASE: Duration = Duration::from_secs(30);
/// A part is aborted this long before its lease ends: clocks differ, and its last bytes may still be in the network.
const MARGIN: Duration = Duration::from_secs(10);
/// The ledger abandons a statement well before this.
const LEDGER_WAIT_MAX: Duration = Duration::from_secs(60);

/// When the longest call to a bucket that begins once the ledger has recorded it has ended, ms.
pub(crate) fn call_deadline() -> i64 {
    now_ms() + millis(LEDGER_WAIT_MAX + Bucket::CALL_TIMEOUT)
}

/// The lease on the parts of one append.
#[derive(Debug, Clone)]
pub(crate) struct PartLease {
    /// When the last successful renewal was requested. None if no other gateway is on the ledger.
    renewed: Option<watch::Sender<Instant>>,
}

impl PartLease {
    pub(crate) fn new(is_ledger_shared: bool) -> Self {
        Self { renewed: is_ledger_shared.then(|| watch::Sender::new(Instant::now())) }
    }

    /// Until when the ledger should report a part as in flight, ms.
    pub(crate) fn until_ms(&self) -> i64 {
        match self.renewed {
            Some(_) => now_ms() + millis(LEASE),
            None => call_deadline(),
        }
    }

    /// The ledger has renewed the lease of every part in flight, as requested at `asked`.
    pub(crate) fn renewed(&self, asked: Instant) {
        if let Some(last) = &self.renewed {
            last.send_replace(asked);
        }
    }

    /// Sends a part whose reservation was requested at `asked` and is recorded now, and aborts it when its lease ends.
    pub(crate) async fn hold<T>(&self, asked: Instant, send: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(last) = &self.renewed else { return send.await };
        let (mut send, reserved) = (pin!(send), Instant::now());
        loop {
            // A renewal requested before the reservation was recorded does not cover it.
            let asked = Some(*last.borrow()).filter(|last| *last >= reserved).unwrap_or(asked);
            let until = asked + LEASE - MARGIN;
            if until <= Instant::now() {
                return Err(Error::Unavailable("the ledger was silent while a part was in flight".into()));
            }
            tokio::select! {
                biased;
                done = &mut send => return done,
                () = sleep_until(until) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn never() -> Result<()> {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn silent_ledger_aborts_part() {
        let (lease, begun) = (PartLease::new(true), Instant::now());
        let result = lease.hold(begun, never()).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        assert_eq!(begun.elapsed().as_secs(), (LEASE - MARGIN).as_secs());
        // The ledger answered too late.
        let result = lease.hold(begun, async { Ok(()) }).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_lease_keeps_part_in_flight() {
        let lease = PartLease::new(true);
        let beat = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                lease.renewed(Instant::now());
            }
        };
        let begun = Instant::now();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(45)).await;
            Ok(7)
        };
        let (done, ()) = tokio::join!(lease.hold(begun, slow), beat);
        assert_eq!(done.unwrap(), 7);
        assert!(lease.hold(Instant::now(), never()).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 50 + (LEASE - MARGIN).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn single_gateway_needs_no_lease() {
        let slow = async {
            tokio::time::sleep(Duration::from_secs(300)).await;
            Ok(())
        };
        PartLease::new(false).hold(Instant::now(), slow).await.unwrap();
    }
}
