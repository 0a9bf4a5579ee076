//! A clock that was wrong for a while: what it wrote lies further ahead than anything is ever put.
//! Invariant: after [`Ledger::come_back`] nothing waits longer than it could have been put off with a clock that is right.

use std::time::{Duration, Instant};

use crate::{Ledger, Result, now_ms};

const MINUTE_MS: i64 = 60 * 1000;
/// Clocks of gateways on one ledger may differ by some seconds.
const CLOCKS_MS: i64 = MINUTE_MS;
/// Longer than a job is ever put off, or a lease taken.
const PUT_OFF_MS: i64 = 60 * MINUTE_MS;
/// Longer than a call to a bucket may be on its way, the ledger's own time included.
const CALL_MS: i64 = 10 * MINUTE_MS;

/// Times, how far ahead of now they may lie, ms, and how far ahead they are put when they lie further: what may still be under
/// way is given the time it may take; the rest is due.
const TIMES: [(&str, &str, i64, i64); 13] = [
    ("jobs", "run_at", PUT_OFF_MS, 0),
    ("jobs", "lease_until", PUT_OFF_MS, 0),
    ("tickets", "lease_until", PUT_OFF_MS, 0),
    ("tickets", "last_note_at", CLOCKS_MS, 0),
    ("tickets", "checked_at", CLOCKS_MS, -PUT_OFF_MS),
    ("ticket_updates", "at", CLOCKS_MS, 0),
    ("parts", "deadline", CALL_MS, CALL_MS),
    ("uploads", "attempts_until", CALL_MS, CALL_MS),
    ("uploads", "updated_at", CLOCKS_MS, 0),
    ("uploads", "desk_token_until", 2 * PUT_OFF_MS, 0),
    ("originals", "claimed_at", CLOCKS_MS, 0),
    ("idempotency", "created_at", CLOCKS_MS, 0),
    ("announced", "until", 2 * PUT_OFF_MS, PUT_OFF_MS),
];

impl Ledger {
    /// Brings back what a clock that was ahead has put off too far. Says how many times it was.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn come_back(&self) -> Result<u64> {
        let (now, mut tx, mut changed) = (now_ms(), self.begin().await?, 0);
        for (table, column, may, put) in TIMES {
            let statement = format!("UPDATE {table} SET {column} = $1 WHERE {column} > $2");
            let done = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(now + put)
                .bind(now + may)
                .execute(&mut *tx)
                .await?;
            changed += done.rows_affected();
        }
        tx.commit().await?;
        Ok(changed)
    }
}

/// Sees when the clock is set back: by how far it moves beside one that is never set.
#[derive(Debug)]
pub struct ClockWatch {
    seen: (Instant, i64),
}

/// A clock that is merely corrected moves less in a few seconds.
const STEP_MS: i64 = 5_000;

impl ClockWatch {
    /// From now on.
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
    fn a_step_back_is_seen_once() {
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
