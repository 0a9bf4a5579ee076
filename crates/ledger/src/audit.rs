//! The append-only audit: who did what to which thing, and when. No secrets, no file contents.

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result, new_id, now_ms};

#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Sorts by time.
    pub id: String,
    pub at: i64,
    /// `link:ID`, `staff:ID`, `operator` or `gateway`.
    pub actor: String,
    /// As `noun.verb`.
    pub action: String,
    /// An ID.
    pub subject: String,
    pub detail: String,
}

impl Ledger {
    pub async fn record(&self, actor: &str, action: &str, subject: &str, detail: &str) -> Result<()> {
        write(&self.write, actor, action, subject, detail).await
    }

    /// Entries after the one with the ID `after` (empty for the beginning), oldest first.
    pub async fn audit(&self, after: &str, subject: Option<&str>, limit: i64) -> Result<Vec<AuditEntry>> {
        Ok(sql_as!(
            "SELECT * FROM audit WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR subject = $2) ORDER BY id LIMIT $3",
            [after, subject, limit]
        )
        .fetch_all(&self.read)
        .await?)
    }
}

from_row!(AuditEntry { id, at, actor, action, subject, detail });

/// Appends a line, in the transaction of the action where there is one.
pub(crate) async fn write(
    to: impl sqlx::Executor<'_, Database = sqlx::Any>,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<()> {
    sql!(
        "INSERT INTO audit (id, at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        [new_id(), now_ms(), actor, action, subject, detail]
    )
    .execute(to)
    .await?;
    Ok(())
}
