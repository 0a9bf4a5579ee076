//! When to write to a ticket: how long files are collected for one note, and what the desk's limit allows. Pure.

use std::time::Duration;

/// The desk counts the updates of a ticket over ten minutes …
pub(crate) const WINDOW_MS: i64 = 10 * 60 * 1000;
/// … and allows 30 (Zendesk, per user and ticket). Two are reserved for other updates by the gateway.
const UPDATES_MAX: usize = 28;
/// Up to this many updates in the window, notes are not slowed down.
const UPDATES_UNHURRIED: usize = 4;

/// When the next note may be written, ms. The first file goes at once. Later ones are collected until `batch` after the last
/// note, and longer as fewer updates are left; under a steady stream this settles at three times `batch`. `updates` are those
/// of the last [`WINDOW_MS`], oldest first.
pub(crate) fn next_note(last_note_at: i64, updates: &[i64], batch: Duration) -> i64 {
    let unhurried = UPDATES_MAX - UPDATES_UNHURRIED;
    let left = UPDATES_MAX.saturating_sub(updates.len()).min(unhurried);
    match (i64::try_from(unhurried), i64::try_from(left), i64::try_from(batch.as_millis())) {
        (Ok(unhurried), Ok(left @ 1..), Ok(batch)) => last_note_at + batch.min(WINDOW_MS) * unhurried / left,
        _ => room_at(updates),
    }
}

/// When the desk accepts one more update, ms; a past time if it does now.
pub(crate) fn room_at(updates: &[i64]) -> i64 {
    let in_the_way = updates.len().checked_sub(UPDATES_MAX).and_then(|at| updates.get(at));
    in_the_way.map_or(0, |at| at + WINDOW_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    /// `count` updates, a second apart, the last at `last` ms.
    fn updates(count: i64, last: i64) -> Vec<i64> {
        (0..count).rev().map(|n| last - n * 1000).collect()
    }

    #[test]
    fn notes_are_collected_and_spread_out() {
        let now = 10_000_000;
        for (name, count, last_note_at, wait_s) in [
            ("never written to", 0, 0, 0),
            ("long ago", 0, now - WINDOW_MS - 1, 0),
            ("just before", 1, now, 10),
            ("six seconds ago", 1, now - 6_000, 4),
            ("eleven seconds ago", 1, now - 11_000, 0),
            ("four", 4, now, 10),
            ("more than half used", 16, now, 20),
            ("three quarters used", 22, now, 40),
            ("nearly used up", 26, now, 120),
            ("one left", 27, now, 240),
            ("used up: until the oldest leaves the window", 28, now, 600 - 27),
            ("more than used up: the three oldest", 30, now, 600 - 27),
        ] {
            let when = next_note(last_note_at, &updates(count, last_note_at), TEN);
            assert_eq!((when - now).max(0) / 1000, wait_s, "{name}");
        }
    }

    #[test]
    fn steady_stream_stays_below_the_limit() {
        let (mut now, mut sent) = (0_i64, Vec::<i64>::new());
        for _ in 0..500 {
            let recent: Vec<i64> = sent.iter().copied().filter(|at| *at > now - WINDOW_MS).collect();
            now = now.max(next_note(now, &recent, TEN));
            sent.push(now);
            let within = sent.iter().filter(|at| **at > now - WINDOW_MS).count();
            assert!(within <= UPDATES_MAX, "{within} at {now}");
        }
        let spacing: Vec<i64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(spacing.iter().all(|ms| (10_000..=140_000).contains(ms)), "{spacing:?}");
        assert!(spacing[100..].iter().all(|ms| (20_000..=40_000).contains(ms)), "{spacing:?}");
    }

    #[test]
    fn room_returns_when_updates_leave_the_window() {
        assert_eq!(room_at(&[]), 0);
        assert_eq!(room_at(&updates(27, 50_000)), 0);
        assert_eq!(room_at(&updates(28, 50_000)), 50_000 - 27_000 + WINDOW_MS);
        assert_eq!(room_at(&updates(29, 50_000)), 50_000 - 27_000 + WINDOW_MS);
        assert_eq!(next_note(50_000, &updates(28, 50_000), Duration::ZERO), room_at(&updates(28, 50_000)));
    }
}
