//! What side files say: of the next upload of a name, and of one that is complete.

use sqlx::Row as _;

use crate::bounded::Connection;
use crate::uploads::upload;
use crate::{JobKind, Ledger, Result, Upload, audit, new_id, now_ms};

/// What a side file says.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The next upload of this name on the link has this digest.
    Binds {
        /// The name.
        name: &'a str,
        /// The hash.
        algorithm: &'a str,
        /// The digest, hex.
        digest: &'a str,
        /// Until then, ms.
        until: i64,
    },
    /// A file that came before has the digest.
    Agrees {
        /// That file.
        upload_id: &'a str,
        /// The hash.
        algorithm: &'a str,
    },
}

impl Ledger {
    /// Digests that bind the next upload of `name` on the link: algorithm and hex.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn announced(&self, link_id: &str, name: &str) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query(
            "SELECT algorithm, digest FROM announced WHERE link_id = $1 AND name = $2 AND until > $3 ORDER BY algorithm",
        )
        .bind(link_id)
        .bind(name)
        .bind(now_ms())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Records what a file that rests already says as a side file, and that what side files said of it has been heard.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn settle_side_file(&self, link_id: &str, name: &str, side: Option<&Side<'_>>) -> Result<()> {
        let mut tx = self.begin().await?;
        settle(&mut tx, link_id, name, side).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The newest complete upload of `name` for the ticket on the link that came at or after `since`, ms.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn newest_complete(
        &self,
        link_id: &str,
        ticket: &str,
        name: &str,
        since: i64,
    ) -> Result<Option<Upload>> {
        let row = sqlx::query(
            "SELECT * FROM uploads WHERE link_id = $1 AND state = 'complete' AND name = $3 AND ticket = $2 \
             AND completed_at >= $4 ORDER BY completed_at DESC, id DESC LIMIT 1",
        )
        .bind(link_id)
        .bind(ticket)
        .bind(name)
        .bind(since)
        .fetch_optional(&self.read)
        .await?;
        row.as_ref().map(upload).transpose()
    }

    /// Records that a digest that came after the file is not the file's, and has it marked on the ticket.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn mark_mismatch(&self, id: &str, mismatch: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE uploads SET mismatch = $2, updated_at = $3 WHERE id = $1 AND state = 'complete'")
            .bind(id)
            .bind(mismatch)
            .bind(now_ms())
            .execute(&mut *tx)
            .await?;
        queue(&mut tx, JobKind::Mark, id).await?;
        queue(&mut tx, JobKind::Receipt, id).await?;
        audit::write(&mut *tx, "gateway", "upload.mismatch", id, mismatch).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What side files said of `name` on the link has been heard: it has come. What it says itself counts from now on.
pub(crate) async fn settle(
    tx: &mut Connection,
    link_id: &str,
    name: &str,
    side: Option<&Side<'_>>,
) -> Result<()> {
    sqlx::query("DELETE FROM announced WHERE (link_id = $1 AND name = $2) OR until <= $3")
        .bind(link_id)
        .bind(name)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    match side {
        None => Ok(()),
        Some(Side::Binds { name, algorithm, digest, until }) => {
            // The last one counts.
            sqlx::query(
                "INSERT INTO announced (link_id, name, algorithm, digest, until) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (link_id, name, algorithm) DO UPDATE SET digest = excluded.digest, until = excluded.until",
            )
            .bind(link_id)
            .bind(*name)
            .bind(*algorithm)
            .bind(*digest)
            .bind(*until)
            .execute(&mut *tx)
            .await?;
            Ok(())
        }
        Some(Side::Agrees { upload_id, algorithm }) => {
            sqlx::query(
                "UPDATE uploads SET checked = CASE WHEN checked = '' THEN $2 ELSE checked || ',' || $2 END, \
                 updated_at = $3 WHERE id = $1 AND state = 'complete' \
                 AND (',' || checked || ',') NOT LIKE ('%,' || $2 || ',%')",
            )
            .bind(*upload_id)
            .bind(*algorithm)
            .bind(now_ms())
            .execute(&mut *tx)
            .await?;
            queue(tx, JobKind::Receipt, upload_id).await
        }
    }
}

/// Queues a job anew. A worker that still holds an older one of its kind ends that one, not this.
pub(crate) async fn queue(tx: &mut Connection, kind: JobKind, upload_id: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at) \
         SELECT $1, $4, id, ticket, $3, 0, 0, $3 FROM uploads WHERE id = $2 AND state = 'complete' \
         ON CONFLICT (kind, upload_id) DO UPDATE SET id = excluded.id, run_at = excluded.run_at, lease_until = 0",
    )
    .bind(new_id())
    .bind(upload_id)
    .bind(now_ms())
    .bind(kind.name())
    .execute(tx)
    .await?;
    Ok(())
}
