//! What hooks delivered, and where polling continues.
//! Invariant: a delivery and its job are recorded in one transaction, before it is acknowledged.

use crate::sql::{sql, sql_scalar};
use crate::{JobKind, Ledger, Result, jobs, now_ms};

/// Deliveries are remembered for this time, ms: many times as long as a signature is valid and a sender retries.
const REMEMBERED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Ledger {
    /// Records a delivery and queues its job. Returns false, and does nothing, if it was delivered before.
    pub async fn accept_hook(
        &self,
        id: &str,
        kind: JobKind,
        subject: &str,
        ticket: Option<&str>,
        payload: &str,
    ) -> Result<bool> {
        let now = now_ms();
        let mut tx = self.begin().await?;
        let done = sql!(
            "INSERT INTO hook_events (id, received_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
            [id, now]
        )
        .execute(&mut *tx)
        .await?;
        let is_new = done.rows_affected() > 0;
        if is_new {
            jobs::queue_about(&mut tx, kind, subject, ticket, payload).await?;
        }
        tx.commit().await?;
        Ok(is_new)
    }

    /// Deletes what only recognises repetitions, and is too old for any: keys of tickets and escalations, deliveries of hooks.
    pub async fn forget_repetitions(&self) -> Result<()> {
        let before = now_ms() - REMEMBERED_MS;
        sql!("DELETE FROM hook_events WHERE received_at < $1", [before]).execute(&self.write).await?;
        sql!("DELETE FROM opened_tickets WHERE created_at < $1", [before]).execute(&self.write).await?;
        sql!("DELETE FROM sender_notes WHERE told_at IS NOT NULL AND created_at < $1", [before])
            .execute(&self.write)
            .await?;
        sql!("DELETE FROM escalation_origins WHERE created_at < $1", [before]).execute(&self.write).await?;
        Ok(())
    }

    /// Where polling continues.
    pub async fn cursor(&self, name: &str) -> Result<Option<String>> {
        Ok(sql_scalar!("SELECT value FROM cursors WHERE name = $1", [name])
            .fetch_optional(&self.read)
            .await?)
    }

    pub async fn set_cursor(&self, name: &str, value: &str) -> Result<()> {
        sql!(
            "INSERT INTO cursors (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
