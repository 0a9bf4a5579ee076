//! A token bucket for each link, in memory. It holds one minute's worth of requests and refills evenly.
//! Invariant: memory is bounded. A full bucket is dropped, and every bucket is full a minute after its last request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time in which an empty bucket refills.
const PERIOD: Duration = Duration::from_secs(60);
/// Most buckets in memory, about 10 MB. Only existing links have one. With more of them active in one minute, bounded memory
/// matters more than the rate.
const BUCKETS_MAX: usize = 100_000;

/// Buckets, by link id.
#[derive(Debug, Default)]
pub struct RateLimiter(Mutex<HashMap<String, Instant>>);

impl RateLimiter {
    /// Takes a token from the bucket of `key`; the error is the time until there is one.
    pub fn take(&self, key: &str, per_minute: u32) -> Result<(), Duration> {
        self.take_at(key, per_minute, Instant::now())
    }

    /// A bucket is stored as the time at which it will be full. Each token postpones that by the time one takes to refill (GCRA).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let (rates, start) = (RateLimiter::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for n in 0..60 {
            assert_eq!(rates.take_at("a", 60, start), Ok(()), "{n}");
        }
        // The wait is exact: not sooner, not later.
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
        let (rates, start) = (RateLimiter::default(), Instant::now());
        for n in 0..BUCKETS_MAX + 10 {
            assert_eq!(rates.take_at(&n.to_string(), 1, start), Ok(()));
        }
        assert_eq!(rates.0.lock().unwrap().len(), BUCKETS_MAX);
        assert!(rates.take_at("0", 1, start).is_err(), "known links are still limited");
        assert_eq!(rates.take_at("new", 1, start + PERIOD), Ok(()));
        assert_eq!(rates.0.lock().unwrap().len(), 1);
    }
}
