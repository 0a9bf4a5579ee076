//! How long a part may be on its way while other gateways on the ledger hear nothing of it. Invariant: a part is sent only
//! while its reservation stands in the ledger, so whoever goes on for a dead gateway waits seconds, not as long as a call to
//! a bucket may take.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use ledger::now_ms;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::receiving::deadline;
use crate::{Error, Result};

/// From the moment it was asked for. [`crate::Uploads::keep_alive`] asks again every 2 s: a ledger may be silent for 20 s.
const LEASE: Duration = Duration::from_secs(30);
/// A part is called back so much earlier than others are told: clocks differ, and its last bytes may still be on the line.
const MARGIN: Duration = Duration::from_secs(10);

/// One append's word to other gateways.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// When it was last asked for with success; none where nobody else is on the ledger.
    asked: Option<watch::Sender<Instant>>,
}

impl Lease {
    /// For a ledger that other gateways share, or for one that nobody does.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self { asked: is_shared.then(|| watch::Sender::new(Instant::now())) }
    }

    /// Until when the ledger is to say that a part is on its way, ms.
    pub(crate) fn until_ms(&self) -> i64 {
        match self.asked {
            Some(_) => now_ms() + i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX),
            None => deadline(),
        }
    }

    /// The ledger has heard of every part on its way what was asked for at that time.
    pub(crate) fn renewed(&self, asked: Instant) {
        if let Some(last) = &self.asked {
            last.send_replace(asked);
        }
    }

    /// Sends a part whose reservation was asked for at `asked` and stands now, as long as it does.
    pub(crate) async fn hold<T>(&self, asked: Instant, send: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(last) = &self.asked else { return send.await };
        let (mut send, reserved) = (pin!(send), Instant::now());
        loop {
            // What was asked for before the reservation stood does not speak of it.
            let asked = Some(*last.borrow()).filter(|last| *last >= reserved).unwrap_or(asked);
            let until = asked + LEASE - MARGIN;
            if until <= Instant::now() {
                return Err(Error::Unavailable("the ledger was silent while a part was on its way".into()));
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
    async fn a_part_is_called_back_when_the_ledger_is_silent() {
        let (lease, begun) = (Lease::new(true), Instant::now());
        let result = lease.hold(begun, never()).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        assert_eq!(begun.elapsed().as_secs(), (LEASE - MARGIN).as_secs());
        // The ledger took too long to answer.
        let result = lease.hold(begun, async { Ok(()) }).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_goes_on_while_the_ledger_hears_of_it() {
        let lease = Lease::new(true);
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
    async fn where_nobody_else_is_a_part_takes_its_time() {
        let slow = async {
            tokio::time::sleep(Duration::from_secs(300)).await;
            Ok(())
        };
        Lease::new(false).hold(Instant::now(), slow).await.unwrap();
    }
}
