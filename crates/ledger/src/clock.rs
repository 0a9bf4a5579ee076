//! Recovery from a clock that was ahead: it wrote times further in the future than any correct clock does.
//! Invariant: after [`Ledger::correct_future_times`] nothing waits longer than it would have with a correct clock.

use std::time::{Duration, Instant};

use crate::sql::sql;
use crate::{Ledger, Result, now_ms};

const MINUTE_MS: i64 = 60 * 1000;
/// Clocks of gateways on one ledger may differ by some seconds.
const SKEW_MS: i64 = MINUTE_MS;
/// Longer than any job is postponed and any lease lasts.
const WAIT_MS: i64 = 60 * MINUTE_MS;
/// Longer than a call to a bucket may be in flight, including the ledger's own time.
const CALL_MS: i64 = 10 * MINUTE_MS;

/// Table, column, how far in the future its times may be, ms, and where those further away are put: calls that may still be in
/// flight get the time they may take; everything else is due now.
pub(crate) const TIMES: [(&str, &str, i64, i64); 18] = [
    ("jobs", "run_at", WAIT_MS, 0),
    ("jobs", "lease_until", WAIT_MS, 0),
    ("tickets", "lease_until", WAIT_MS, 0),
    ("tickets", "last_note_at", SKEW_MS, 0),
    ("tickets", "checked_at", SKEW_MS, -WAIT_MS),
    ("tickets", "closed_at", SKEW_MS, 0),
    ("ticket_updates", "at", SKEW_MS, 0),
    ("parts", "deadline", CALL_MS, CALL_MS),
    ("uploads", "attempts_until", CALL_MS, CALL_MS),
    ("uploads", "updated_at", SKEW_MS, 0),
    ("uploads", "desk_token_until", 2 * WAIT_MS, 0),
    ("originals", "claimed_at", SKEW_MS, 0),
    ("idempotency", "created_at", SKEW_MS, 0),
    ("announced", "until", 2 * WAIT_MS, WAIT_MS),
    ("opened_tickets", "created_at", SKEW_MS, 0),
    ("hook_events", "received_at", SKEW_MS, 0),
    ("escalation_origins", "created_at", SKEW_MS, 0),
    ("organization_notes", "fetched_at", SKEW_MS, -WAIT_MS),
];

impl Ledger {
    /// Corrects times that a clock wrote while it was ahead. Returns how many there were.
    pub async fn correct_future_times(&self) -> Result<u64> {
        let (now, mut tx, mut changed) = (now_ms(), self.begin().await?, 0);
        for (table, column, max_ahead, ahead) in TIMES {
            let statement = format!("UPDATE {table} SET {column} = $1 WHERE {column} > $2");
            let done = sql!(sqlx::AssertSqlSafe(statement), [now + ahead, now + max_ahead])
                .execute(&mut *tx)
                .await?;
            changed += done.rows_affected();
        }
        tx.commit().await?;
        Ok(changed)
    }
}

/// Notices when the clock is set back, by comparing it with a monotonic one.
#[derive(Debug)]
pub struct ClockWatch {
    seen: (Instant, i64),
}

/// A clock that is only adjusted moves less within a few seconds.
const STEP_MS: i64 = 5_000;

impl ClockWatch {
    pub fn begin() -> Self {
        Self { seen: (Instant::now(), now_ms()) }
    }

    /// Whether it was set back since the last look.
    pub fn was_set_back(&mut self) -> bool {
        self.look(Instant::now(), now_ms())
    }

    fn look(&mut self, at: Instant, ms: i64) -> bool {
        let (then, then_ms) = std::mem::replace(&mut self.seen, (at, ms));
        let passed = at.duration_since(then).max(Duration::ZERO);
        ms < then_ms.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)) - STEP_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_noticed_once() {
        let day = 24 * 60 * MINUTE_MS;
        let (start, ms) = (Instant::now(), now_ms());
        let mut watch = ClockWatch { seen: (start, ms) };
        for (second, clock_ms, back) in [
            (2, ms + 2_000, false),
            (4, ms + 3_500, false),
            (6, ms + 6_000 + day, false),
            (8, ms + 8_000 + day, false),
            (10, ms + 10_000, true),
            (12, ms + 12_000, false),
            (14, ms + 14_000 - day, true),
        ] {
            assert_eq!(watch.look(start + Duration::from_secs(second), clock_ms), back, "after {second} s");
        }
    }
}
