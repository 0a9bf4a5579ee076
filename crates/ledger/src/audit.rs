//! The append-only audit: who did what to which thing, and when. No secrets, no file contents.

use sqlx::Row as _;

use crate::{Ledger, Result, new_id, now_ms};

/// One line of the audit.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AuditEntry {
    /// Identifier; sorts by time.
    pub id: String,
    /// When, ms.
    pub at: i64,
    /// Who: `link:ID`, `staff:ID`, `operator` or `gateway`.
    pub actor: String,
    /// What, as `noun.verb`.
    pub action: String,
    /// To which thing: an identifier.
    pub subject: String,
    /// Anything more.
    pub detail: String,
}

impl Ledger {
    /// Appends a line.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn record(&self, actor: &str, action: &str, subject: &str, detail: &str) -> Result<()> {
        write(&self.write, actor, action, subject, detail).await
    }

    /// Lines after `after` (an entry's id, or empty for the beginning), oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn audit(&self, after: &str, subject: Option<&str>, limit: i64) -> Result<Vec<AuditEntry>> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR subject = $2) ORDER BY id LIMIT $3",
        )
        .bind(after)
        .bind(subject)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    id: row.try_get("id")?,
                    at: row.try_get("at")?,
                    actor: row.try_get("actor")?,
                    action: row.try_get("action")?,
                    subject: row.try_get("subject")?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    }
}

/// Appends a line, in the transaction of what it tells of where there is one.
pub(crate) async fn write(
    to: impl sqlx::Executor<'_, Database = sqlx::Any>,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<()> {
    sqlx::query("INSERT INTO audit (id, at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(new_id())
        .bind(now_ms())
        .bind(actor)
        .bind(action)
        .bind(subject)
        .bind(detail)
        .execute(to)
        .await?;
    Ok(())
}
