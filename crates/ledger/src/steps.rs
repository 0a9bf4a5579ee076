//! Steps of jobs that must not be repeated: a note, a tag, a message.
//! Invariant: an attempt is recorded before it is made, and its end after it; so a retry knows what may have happened.

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result, now_ms};

/// How far a step has come.
#[derive(Debug, Clone)]
pub struct Step {
    /// When it was first attempted, ms.
    pub begun_at: i64,
    pub done_at: Option<i64>,
    /// What the other side calls the result: a message's timestamp, for example.
    pub result: Option<String>,
}

impl Ledger {
    /// Records an attempt at a step. Returns the step as it was before; none if this is the first attempt.
    pub async fn begin_step(&self, subject: &str, step: &str) -> Result<Option<Step>> {
        let done = sql!(
            "INSERT INTO steps (subject, step, begun_at) VALUES ($1, $2, $3) ON CONFLICT (subject, step) DO NOTHING",
            [subject, step, now_ms()]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() > 0 {
            return Ok(None);
        }
        self.step(subject, step).await
    }

    pub async fn step(&self, subject: &str, step: &str) -> Result<Option<Step>> {
        Ok(sql_as!("SELECT * FROM steps WHERE subject = $1 AND step = $2", [subject, step])
            .fetch_optional(&self.read)
            .await?)
    }

    pub async fn end_step(&self, subject: &str, step: &str, result: &str) -> Result<()> {
        sql!(
            "UPDATE steps SET done_at = $3, result = $4 WHERE subject = $1 AND step = $2",
            [subject, step, now_ms(), result]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }
}

from_row!(Step { begun_at, done_at, result });
