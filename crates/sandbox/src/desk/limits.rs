//! Rate limits: calls a minute for the account, and updates in ten minutes for one user on one ticket.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State as Shared};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Desk;
use super::answer::Refusal;
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
    fn call(&mut self, now: Seconds, per_minute: u32) -> Option<u32> {
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

/// Counts every call and says so in Zendesk's headers.
pub(super) async fn account(Shared(desk): Shared<Arc<Desk>>, request: Request, next: Next) -> Response {
    let (now, most) = (desk.now(), desk.options.requests_per_minute);
    let left = desk.limits.lock().unwrap_or_else(PoisonError::into_inner).call(now, most);
    let reset = 60 - now.rem_euclid(60);
    let mut response = match left {
        Some(_) => next.run(request).await,
        None => Refusal::too_many(reset).into_response(),
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("x-rate-limit", most.into());
    headers.insert("x-rate-limit-remaining", left.unwrap_or(0).into());
    headers.insert("ratelimit-limit", most.into());
    headers.insert("ratelimit-remaining", left.unwrap_or(0).into());
    headers.insert("ratelimit-reset", reset.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_ten_minutes_slides() {
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
