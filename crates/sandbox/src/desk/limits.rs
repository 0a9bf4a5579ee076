//! Rate limits: calls a minute for the account, and updates in ten minutes for one user on one ticket.

use std::collections::{HashMap, VecDeque};

use super::model::Seconds;

const TEN_MINUTES: Seconds = 600;

#[derive(Debug, Default)]
pub(super) struct Limits {
    minute: Seconds,
    calls: u32,
    /// When one user updated one ticket: (user, ticket) to times, oldest first.
    updates: HashMap<(u64, u64), VecDeque<Seconds>>,
}

impl Limits {
    /// Counts a call. How many are left this minute, or none if it is one too many.
    pub(super) fn call(&mut self, now: Seconds, per_minute: u32) -> Option<u32> {
        if self.minute != now.div_euclid(60) {
            (self.minute, self.calls) = (now.div_euclid(60), 0);
        }
        self.calls = self.calls.saturating_add(1);
        per_minute.checked_sub(self.calls)
    }

    /// Counts an update, unless it is one too many: then the seconds until the next may come.
    pub(super) fn update(
        &mut self,
        user: u64,
        ticket: u64,
        now: Seconds,
        most: usize,
    ) -> Result<(), Seconds> {
        self.updates.retain(|_, times| times.back().is_some_and(|last| *last > now - TEN_MINUTES));
        let times = self.updates.entry((user, ticket)).or_default();
        while times.front().is_some_and(|first| *first <= now - TEN_MINUTES) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= most => Err(first + TEN_MINUTES - now),
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_minute_window_slides() {
        let mut limits = Limits::default();
        for n in 0..30 {
            assert_eq!(limits.update(1, 1001, 1000 + n, 30), Ok(()));
        }
        assert_eq!(limits.update(1, 1001, 1100, 30), Err(500));
        assert_eq!(limits.update(2, 1001, 1100, 30), Ok(()), "another user");
        assert_eq!(limits.update(1, 1002, 1100, 30), Ok(()), "another ticket");
        assert_eq!(limits.update(1, 1001, 1600, 30), Ok(()), "the first one has left the window");
        assert_eq!(limits.update(1, 1001, 1600, 30), Err(1));
    }

    #[test]
    fn calls_are_counted_by_the_minute() {
        let mut limits = Limits::default();
        assert_eq!(limits.call(60, 2), Some(1));
        assert_eq!(limits.call(119, 2), Some(0));
        assert_eq!(limits.call(119, 2), None);
        assert_eq!(limits.call(120, 2), Some(1));
    }
}
