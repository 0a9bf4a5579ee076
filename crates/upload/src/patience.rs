//! How long an append waits for a bucket that is away, or that gets or gives other bytes than were sent: within its request,
//! holding what came, and reading no more. Invariant: no answer of a bucket, however often it is repeated, ends more than the
//! request; it ends sooner when somebody else needs its place.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::engine::Uploads;

/// The first wait; each is twice the one before …
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// … up to this: a bucket that is back is found within seconds.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// One thing that is asked of a bucket until it succeeds, or the time for that is over.
pub(crate) struct Patience {
    until: Instant,
    next: Duration,
    damaged_before: bool,
}

impl Uploads {
    /// For something that is asked now for the first time.
    pub(crate) fn patience(&self) -> Patience {
        Patience::until(Instant::now() + self.0.limits.storage_wait)
    }
}

impl Patience {
    fn until(until: Instant) -> Self {
        Self { until, next: WAIT_FIRST, damaged_before: false }
    }

    /// Whether to ask again after this error, when it has waited for that: not when `end` comes before, nor when no time is
    /// left. Whatever is `what` is counted where it was damaged; after the first time it is sent again at once, in any hurry.
    pub(crate) async fn again(&mut self, what: &'static str, error: &Error, end: impl Future) -> bool {
        match error {
            Error::Damaged(_) => {
                crate::observe::damaged(what);
                if !std::mem::replace(&mut self.damaged_before, true) {
                    return true;
                }
            }
            Error::Unavailable(_) => {}
            _ => return false,
        }
        // Many wait for the same bucket: not all of them ask at the same moment.
        let wait = self.next.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.next = (self.next * 2).min(WAIT_MAX);
        if Instant::now() + wait >= self.until {
            return false;
        }
        tracing::info!(what, error = %error, "ask the bucket again");
        tokio::select! {
            biased;
            _ = end => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}

/// What makes an append stop asking: a newer one, the gateway's end, or its own.
#[derive(Clone)]
pub(crate) struct Hurry {
    pub(crate) evicted: CancellationToken,
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the append keeps what it can and ends.
    pub(crate) ending: CancellationToken,
}

impl Hurry {
    /// Returns when there is one.
    pub(crate) async fn comes(&self) {
        tokio::select! {
            () = self.evicted.cancelled() => {}
            () = self.stopping.cancelled() => {}
            () = self.ending.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(limit: Duration) -> Patience {
        Patience::until(Instant::now() + limit)
    }

    fn away() -> Error {
        Error::Unavailable("it is away".into())
    }

    /// The default: an outage of 63 s, of which each call takes 7 s to hear, is waited out; one of two minutes is not.
    #[tokio::test(start_paused = true)]
    async fn an_outage_of_a_minute_is_waited_out() {
        for (outage_s, waited_out) in [(0, true), (63, true), (75, true), (120, false)] {
            let (begun, mut patience) = (Instant::now(), patience(Duration::from_secs(90)));
            let ends = begun + Duration::from_secs(outage_s);
            let ended = loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                if Instant::now() >= ends {
                    break true;
                }
                if !patience.again("part", &away(), std::future::pending::<()>()).await {
                    break false;
                }
            };
            assert_eq!(ended, waited_out, "{outage_s} s");
            assert!(begun.elapsed() < Duration::from_secs(100), "{outage_s} s: {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_needs_its_place_ends_the_wait_at_once() {
        for which in 0..3 {
            let token = CancellationToken::new;
            let hurry = Hurry { evicted: token(), stopping: token(), ending: token() };
            let mut patience = patience(Duration::from_secs(90));
            assert!(patience.again("part", &away(), hurry.comes()).await);
            [&hurry.evicted, &hurry.stopping, &hurry.ending][which].cancel();
            let begun = Instant::now();
            assert!(!patience.again("part", &away(), hurry.comes()).await);
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_waited_for() {
        let damaged = Error::Damaged("other bytes".into());
        for (error, waits) in [
            (away(), true),
            (damaged, true),
            (Error::Refused("no such bucket".into()), false),
            (Error::Gone, false),
            (Error::Superseded, false),
            (Error::Internal("a panic".into()), false),
        ] {
            let mut patience = patience(Duration::from_secs(90));
            let again = patience.again("part", &error, std::future::pending::<()>()).await;
            assert_eq!(again, waits, "{error}");
        }
    }
}
