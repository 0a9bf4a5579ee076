//! How long an append waits for a bucket that is away, or that damages bytes: within its request, holding what it has and
//! reading no more. Invariant: no answer of a bucket, however often it is repeated, ends more than the request. The wait ends
//! early when somebody else needs the append's place.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::uploads::Uploads;
use crate::{Error, telemetry};

/// The first wait; each is twice the one before …
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// … up to this, so that a bucket that is back is noticed within seconds.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The retries of one request to a bucket.
pub(crate) struct StorageRetry {
    until: Instant,
    next: Duration,
    was_damaged: bool,
}

impl Uploads {
    /// For a request that is made now for the first time.
    pub(crate) fn storage_retry(&self) -> StorageRetry {
        StorageRetry::until(Instant::now() + self.0.limits.storage_wait)
    }
}

impl StorageRetry {
    fn until(until: Instant) -> Self {
        Self { until, next: WAIT_FIRST, was_damaged: false }
    }

    /// Whether to send `what` again after this error. Waits before it says yes. The answer is no when `end` comes first, or when
    /// the time is over. Damaged bytes are counted, and the first time they are sent again at once.
    pub(crate) async fn again(&mut self, what: &'static str, error: &Error, end: impl Future) -> bool {
        match error {
            Error::Damaged(_) => {
                telemetry::damaged(what);
                if !std::mem::replace(&mut self.was_damaged, true) {
                    return true;
                }
            }
            Error::Unavailable(_) => {}
            _ => return false,
        }
        // Many appends wait for the same bucket: jitter keeps them from retrying at the same moment.
        let wait = self.next.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.next = (self.next * 2).min(WAIT_MAX);
        if Instant::now() + wait >= self.until {
            return false;
        }
        tracing::info!(what, error = %error, "retry the request to the bucket");
        tokio::select! {
            biased;
            _ = end => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn retry(limit: Duration) -> StorageRetry {
        StorageRetry::until(Instant::now() + limit)
    }

    fn away() -> Error {
        Error::Unavailable("it is away".into())
    }

    /// With the default limit and calls that take 7 s to fail, an outage of 63 s is waited out, one of two minutes is not.
    #[tokio::test(start_paused = true)]
    async fn outage_of_a_minute_is_waited_out() {
        for (outage_s, waited_out) in [(0, true), (63, true), (75, true), (120, false)] {
            let (begun, mut retry) = (Instant::now(), retry(Duration::from_secs(90)));
            let ends = begun + Duration::from_secs(outage_s);
            let ended = loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                if Instant::now() >= ends {
                    break true;
                }
                if !retry.again("part", &away(), std::future::pending::<()>()).await {
                    break false;
                }
            };
            assert_eq!(ended, waited_out, "{outage_s} s");
            assert!(begun.elapsed() < Duration::from_secs(100), "{outage_s} s: {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn signal_ends_wait_at_once() {
        let signal = CancellationToken::new();
        let mut retry = retry(Duration::from_secs(90));
        assert!(retry.again("part", &away(), signal.cancelled()).await);
        signal.cancel();
        let begun = Instant::now();
        assert!(!retry.again("part", &away(), signal.cancelled()).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_passing_errors_are_retried() {
        let damaged = Error::Damaged("other bytes".into());
        for (error, waits) in [
            (away(), true),
            (damaged, true),
            (Error::Refused("no such bucket".into()), false),
            (Error::Gone, false),
            (Error::Superseded, false),
            (Error::Internal("a panic".into()), false),
        ] {
            let mut retry = retry(Duration::from_secs(90));
            let again = retry.again("part", &error, std::future::pending::<()>()).await;
            assert_eq!(again, waits, "{error}");
        }
    }
}
