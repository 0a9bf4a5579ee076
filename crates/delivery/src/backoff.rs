//! How long a failed job waits before it is tried again. Pure, but for the clock and the jitter.

use std::time::Duration;

use ledger::now_ms;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(300);

/// When to try again after `attempts` earlier failures and this one, ms.
pub(crate) fn retry_at(attempts: i64, retry_after: Option<Duration>) -> i64 {
    let wait = backoff(attempts, retry_after, rand::random());
    now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// Twice as long after each failure, with jitter (`random` is from 0 to 1), and never shorter than the desk asks for.
fn backoff(attempts: i64, retry_after: Option<Duration>, random: f64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 16)).unwrap_or(0);
    let full = (FIRST * 2_u32.pow(doublings)).min(MAX);
    let wait = full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    wait.max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_each_time() {
        let seconds = Duration::from_secs;
        for (attempts, retry_after, random, wait) in [
            (0, None, 1.0, seconds(1)),
            (0, None, 0.0, Duration::from_millis(500)),
            (1, None, 1.0, seconds(2)),
            (5, None, 0.5, seconds(24)),
            (8, None, 1.0, seconds(256)),
            (9, None, 1.0, seconds(300)),
            (1_000_000, None, 1.0, seconds(300)),
            (-1, None, 1.0, seconds(1)),
            (0, Some(seconds(7)), 1.0, seconds(7)),
            (9, Some(seconds(7)), 1.0, seconds(300)),
            (9, Some(seconds(3600)), 1.0, seconds(3600)),
        ] {
            assert_eq!(backoff(attempts, retry_after, random), wait, "{attempts} {retry_after:?} {random}");
        }
    }
}
