//! Durable jobs: what is to be done once the bytes rest. Invariant: a job is deleted only in the transaction that
//! records its outcome, so it runs at least once, whatever dies.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::digests::queue;
use crate::{Delivery, Destination, Ledger, Result, now_ms};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Attach the file to its ticket, or note there where it lies.
    Deliver,
    /// Write `{name}.receipt.json` beside the object.
    Receipt,
    /// Say on the ticket that a digest sent after a file is not the file's.
    Mark,
}

impl JobKind {
    /// The name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Receipt => "receipt",
            Self::Mark => "mark",
        }
    }
}

/// One job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Identifier.
    pub id: String,
    /// Upload it is for.
    pub upload_id: String,
    /// Ticket of that upload.
    pub ticket: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was queued, ms.
    pub created_at: i64,
}

impl Ledger {
    /// Tickets with a delivery or a mark due that nobody works on.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn due_tickets(&self, limit: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT ticket, MIN(run_at) AS first FROM jobs WHERE kind IN ('deliver', 'mark') AND run_at <= $1 \
             AND NOT EXISTS (SELECT 1 FROM tickets WHERE tickets.ticket = jobs.ticket AND tickets.lease_until > $1) \
             GROUP BY ticket ORDER BY first LIMIT $2",
        )
        .bind(now_ms())
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("ticket")?)).collect()
    }

    /// The jobs of a kind that are due for `ticket`, oldest upload first, at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn ticket_jobs(&self, kind: JobKind, ticket: &str, limit: i64) -> Result<Vec<Job>> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE kind = $4 AND ticket = $1 AND run_at <= $2 ORDER BY upload_id LIMIT $3",
        )
        .bind(ticket)
        .bind(now_ms())
        .bind(limit)
        .bind(kind.name())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(job).collect()
    }

    /// Takes one due receipt job until `lease_until`, ms. Of two that look at the same moment, one may go away empty-handed
    /// although there is more: it looks again.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn claim_receipt_job(&self, lease_until: i64) -> Result<Option<Job>> {
        let row = sqlx::query(
            "UPDATE jobs SET lease_until = $2, attempts = attempts + 1 WHERE lease_until < $1 AND id = \
             (SELECT id FROM jobs WHERE kind = 'receipt' AND run_at <= $1 AND lease_until < $1 ORDER BY run_at LIMIT 1) \
             RETURNING *",
        )
        .bind(now_ms())
        .bind(lease_until)
        .fetch_optional(&self.write)
        .await?;
        row.as_ref().map(job).transpose()
    }

    /// Says that an attempt to write the receipt may run until `until`, ms, before it is made: a sweep looks again after
    /// that. False when the upload is not complete, and no receipt may be written.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn attempt_receipt(&self, upload_id: &str, until: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $2 THEN $2 ELSE attempts_until END \
             WHERE id = $1 AND state = 'complete'",
        )
        .bind(upload_id)
        .bind(until)
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Puts jobs off until `run_at`, ms, with the reason.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn put_off(&self, jobs: &[Job], run_at: i64, reason: Option<&str>) -> Result<()> {
        let mut tx = self.begin().await?;
        for job in jobs {
            sqlx::query(
                "UPDATE jobs SET run_at = $2, lease_until = 0, last_error = COALESCE($3, last_error), \
                 attempts = attempts + CASE WHEN CAST($3 AS TEXT) IS NULL THEN 0 ELSE 1 END WHERE id = $1",
            )
            .bind(&job.id)
            .bind(run_at)
            .bind(reason)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets a job that is done.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn finish_job(&self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM jobs WHERE id = $1").bind(id).execute(&self.write).await?;
        Ok(())
    }

    /// Records what became of an upload's delivery, ends its job, and asks for a receipt that says so.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn delivered(
        &self,
        upload_id: &str,
        delivery: Delivery,
        destination: Destination,
        detail: Option<&str>,
    ) -> Result<()> {
        let now = now_ms();
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE uploads SET delivery = $2, destination = $3, delivery_detail = $4, desk_token = NULL, \
             desk_token_until = NULL, updated_at = $5 WHERE id = $1 AND state = 'complete'",
        )
        .bind(upload_id)
        .bind(delivery.name())
        .bind(destination.name())
        .bind(detail)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM jobs WHERE kind = 'deliver' AND upload_id = $1")
            .bind(upload_id)
            .execute(&mut *tx)
            .await?;
        queue(&mut tx, JobKind::Receipt, upload_id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends every claim on a job and every right to write to a ticket: their holders are gone. Only where one process has
    /// the ledger ([`Ledger::hold`]), and before anything runs in it: elsewhere claims run out by themselves.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn release_claims(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE jobs SET lease_until = 0 WHERE lease_until > 0").execute(&mut *tx).await?;
        sqlx::query("UPDATE tickets SET lease_until = 0 WHERE lease_until > 0").execute(&mut *tx).await?;
        // No part is on its way from a process that is gone.
        sqlx::query("UPDATE parts SET deadline = 0 WHERE etag IS NULL AND deadline > 0")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps the desk's token for an attachment that is not in a comment yet, or forgets it.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn set_desk_token(&self, upload_id: &str, token: Option<(&str, i64)>) -> Result<()> {
        sqlx::query("UPDATE uploads SET desk_token = $2, desk_token_until = $3 WHERE id = $1")
            .bind(upload_id)
            .bind(token.map(|(token, _)| token))
            .bind(token.map(|(_, until)| until))
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// How many jobs of each kind wait, and the age of the oldest, ms: for metrics.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn job_counts(&self) -> Result<Vec<(String, i64, i64)>> {
        let rows =
            sqlx::query("SELECT kind, COUNT(*) AS jobs, MIN(created_at) AS oldest FROM jobs GROUP BY kind")
                .fetch_all(&self.read)
                .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, now_ms() - row.try_get::<i64, _>(2)?)))
            .collect()
    }
}

fn job(row: &AnyRow) -> Result<Job> {
    Ok(Job {
        id: row.try_get("id")?,
        upload_id: row.try_get("upload_id")?,
        ticket: row.try_get("ticket")?,
        attempts: row.try_get("attempts")?,
        created_at: row.try_get("created_at")?,
    })
}
