//! How often somebody may ask: a bucket of tokens for each link, in memory. It holds a minute's worth and fills evenly.
//! Invariant: memory is bounded; a bucket that is full again is forgotten, and it is full a minute after its last request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// In how long an empty bucket fills.
const PERIOD: Duration = Duration::from_secs(60);
/// Buckets remembered at a time, about 10 MB. Only links that exist have one; beyond this many in one minute, the
/// memory that is bounded counts for more than the rate.
const BUCKETS_MAX: usize = 100_000;

/// Buckets by the link's id.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Instant>>);

impl Rates {
    /// Takes a token of `key`, of which there are `per_minute`.
    ///
    /// # Errors
    /// How long to wait until there is one again.
    pub(crate) fn take(&self, key: &str, per_minute: u32) -> Result<(), Duration> {
        self.take_at(key, per_minute, Instant::now())
    }

    /// A bucket is the time at which it will be full: each token taken moves that on by the time one takes to fill.
    fn take_at(&self, key: &str, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = full_at.get(key).copied().filter(|at| *at > now).unwrap_or(now);
        let after = before + PERIOD / per_minute.max(1);
        let empty_for = (after - now).saturating_sub(PERIOD);
        if !empty_for.is_zero() {
            return Err(empty_for);
        }
        if full_at.len() >= BUCKETS_MAX && !full_at.contains_key(key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= BUCKETS_MAX {
                return Ok(());
            }
        }
        full_at.insert(key.to_owned(), after);
        Ok(())
    }
}

/// Tickets that the desk did not know as an organisation's a moment ago, so that a loop does not ask it again and again.
/// Whether they are another's or nobody's makes no difference here, nor what other organisations asked.
#[derive(Debug, Default)]
pub(crate) struct Absent(Mutex<HashMap<(i64, String), Instant>>);

/// How long a ticket that the desk does not know stays unknown: one just opened can be named half a minute later.
const ABSENT_FOR: Duration = Duration::from_secs(30);
/// Numbers remembered at a time.
const ABSENT_MAX: usize = 10_000;

impl Absent {
    /// The desk does not know it as this organisation's.
    pub(crate) fn note(&self, organization: i64, ticket: &str) {
        let now = Instant::now();
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= ABSENT_MAX {
            until.retain(|_, at| *at > now);
        }
        if until.len() < ABSENT_MAX {
            until.insert((organization, ticket.to_owned()), now + ABSENT_FOR);
        }
    }

    /// Whether the desk did not know it so a moment ago.
    pub(crate) fn holds(&self, organization: i64, ticket: &str) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&(organization, ticket.to_owned())).is_some_and(|at| *at > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for n in 0..60 {
            assert_eq!(rates.take_at("a", 60, start), Ok(()), "{n}");
        }
        // What the answer says is the truth: not sooner, and then at once.
        assert_eq!(rates.take_at("a", 60, start), Err(Duration::from_secs(1)));
        assert_eq!(rates.take_at("a", 60, at(400)), Err(Duration::from_millis(600)));
        assert_eq!(rates.take_at("b", 60, start), Ok(()), "another link has its own");
        assert_eq!(rates.take_at("a", 60, at(1000)), Ok(()));
        assert_eq!(rates.take_at("a", 60, at(1000)), Err(Duration::from_secs(1)));
        for n in 0..59 {
            assert_eq!(rates.take_at("a", 60, at(60_000)), Ok(()), "{n}");
        }
        assert!(rates.take_at("a", 60, at(60_000)).is_err(), "one was taken after the first second");
        assert_eq!(rates.take_at("once", 1, start), Ok(()));
        assert_eq!(rates.take_at("once", 1, at(1)), Err(Duration::from_millis(59_999)));
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_are_forgotten() {
        let (rates, start) = (Rates::default(), Instant::now());
        for n in 0..BUCKETS_MAX + 10 {
            assert_eq!(rates.take_at(&n.to_string(), 1, start), Ok(()));
        }
        assert_eq!(rates.0.lock().unwrap().len(), BUCKETS_MAX);
        assert!(rates.take_at("0", 1, start).is_err(), "those known are still held to it");
        assert_eq!(rates.take_at("new", 1, start + PERIOD), Ok(()));
        assert_eq!(rates.0.lock().unwrap().len(), 1);
        let absent = Absent::default();
        (0..ABSENT_MAX + 10).for_each(|n| absent.note(7, &n.to_string()));
        assert_eq!(absent.0.lock().unwrap().len(), ABSENT_MAX);
        assert!(absent.holds(7, "0") && !absent.holds(7, "x") && !absent.holds(8, "0"));
    }
}
