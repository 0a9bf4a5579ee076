//! Durable jobs: the work that follows a stored file. A job has a kind, a subject and a payload.
//! Invariant: a job is deleted only after its outcome is durable: in the ledger's transaction, or before it in the bucket or on
//! the desk. So it runs at least once.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use crate::names::names;
use crate::sql::{sql, sql_as};
use crate::timeout::Connection;
use crate::{Ledger, Result, new_id, now_ms};

names! {
    /// What a job does. To add a kind: its line here and in the functions below, its file in `delivery`, and
    /// its lines in `delivery`'s `lib.rs`.
    JobKind {
        /// Bring an escalation before support, on its ticket. First: it waits for no file.
        Escalate = "escalate",
        /// Tell Slack about an escalation and its states.
        TellSlack = "tell-slack",
        /// Attach the file to its ticket, or note there where it is stored.
        Deliver = "deliver",
        /// Say on the ticket that a digest sent after the file does not match it.
        MismatchComment = "mark",
        /// Write `{name}.receipt.json` beside the object.
        Receipt = "receipt",
        /// Compare the file with the side files that announced its MD5, which is computed from the object.
        Compare = "compare",
        /// Look at a ticket that changed in the desk.
        SeeTicket = "see-ticket",
        /// Say on a ticket when its files will be deleted.
        WarnFiles = "warn-files",
        /// Remove the files of a ticket whose time is over.
        ExpireFiles = "expire-files",
        /// Say on a ticket which files support asks for, and which of them have arrived.
        TellAsks = "tell-asks",
        /// Put on a ticket what a sender wrote to support.
        PostNote = "post-note",
        /// Post an upload link on a ticket.
        PostLink = "post-link",
        /// Say on a ticket which objects its partner put into its own bucket for it.
        NoteObjects = "note-objects",
        /// Read an object that a partner put into its own bucket, for its SHA-256.
        ReadObject = "read-object",
        /// Read a message that a form posted in a partner's channel.
        ReadMessage = "read-message",
    }
}

impl JobKind {
    /// Whether a worker takes all due jobs of a ticket together, and holds the ticket meanwhile: a kind that writes on tickets
    /// must. Other jobs are taken one by one.
    pub fn is_by_ticket(self) -> bool {
        match self {
            Self::Deliver
            | Self::MismatchComment
            | Self::Escalate
            | Self::SeeTicket
            | Self::PostLink
            | Self::WarnFiles
            | Self::NoteObjects
            | Self::PostNote
            | Self::TellAsks => true,
            Self::Receipt
            | Self::Compare
            | Self::ReadMessage
            | Self::TellSlack
            | Self::ExpireFiles
            | Self::ReadObject => false,
        }
    }

    /// Whether the jobs of one link run one after the other: each may take seconds, and other links have jobs, too.
    pub(crate) fn is_one_per_link(self) -> bool {
        match self {
            Self::Compare => true,
            Self::Deliver
            | Self::MismatchComment
            | Self::Receipt
            | Self::Escalate
            | Self::SeeTicket
            | Self::PostLink
            | Self::WarnFiles
            | Self::ExpireFiles
            | Self::NoteObjects
            | Self::ReadObject
            | Self::PostNote
            | Self::TellAsks
            | Self::TellSlack
            | Self::ReadMessage => false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    /// The upload's ID; or whatever else a job of this kind is about.
    pub subject: String,
    pub ticket: Option<String>,
    /// What the job needs to know beyond its subject. Its kind defines the format.
    pub payload: String,
    /// How often it has failed.
    pub attempts: i64,
}

impl FromRow<'_, AnyRow> for Job {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let upload_id: Option<String> = row.try_get("upload_id")?;
        Ok(Self {
            id: row.try_get("id")?,
            subject: upload_id.map_or_else(|| row.try_get("subject"), Ok)?,
            ticket: row.try_get("ticket")?,
            payload: row.try_get("payload")?,
            attempts: row.try_get("attempts")?,
        })
    }
}

impl Ledger {
    /// Postpones jobs until `run_at`, ms. With an error, this was an attempt that failed.
    pub async fn postpone(&self, jobs: &[Job], run_at: i64, error: Option<&str>) -> Result<()> {
        let mut tx = self.begin().await?;
        for job in jobs {
            sql!(
                "UPDATE jobs SET run_at = $2, lease_until = 0, last_error = COALESCE($3, last_error), \
                 attempts = attempts + CASE WHEN CAST($3 AS TEXT) IS NULL THEN 0 ELSE 1 END WHERE id = $1",
                [&job.id, run_at, error]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a job whose outcome needs no record.
    pub async fn finish_job(&self, id: &str) -> Result<()> {
        sql!("DELETE FROM jobs WHERE id = $1", [id]).execute(&self.write).await?;
        Ok(())
    }

    /// Whether a job of this kind about this upload waits or runs.
    pub async fn has_job(&self, kind: JobKind, upload_id: &str) -> Result<bool> {
        let found = sqlx::query("SELECT 1 AS found FROM jobs WHERE kind = $1 AND upload_id = $2");
        Ok(found.bind(kind.name()).bind(upload_id).fetch_optional(&self.read).await?.is_some())
    }

    /// The kind of waiting jobs, their number, and the age of the oldest, ms: for metrics. Kinds with no job are left out.
    pub async fn job_counts(&self) -> Result<Vec<(String, i64, i64)>> {
        Ok(sql_as!(
            "SELECT kind, COUNT(*) AS jobs, $1 - MIN(created_at) AS age FROM jobs GROUP BY kind",
            [now_ms()]
        )
        .fetch_all(&self.read)
        .await?)
    }
}

/// Queues a job that is not about an upload. A waiting job of this kind and subject is replaced: a worker that still has the
/// older one ends that one, not this. Only for kinds that were added after migration 9: an older gateway fails on a kind that
/// it knows if the job has no upload.
pub(crate) async fn queue_about(
    tx: &mut Connection,
    kind: JobKind,
    subject: &str,
    ticket: Option<&str>,
    payload: &str,
) -> Result<()> {
    sql!(
        "INSERT INTO jobs (id, kind, subject, ticket, payload, run_at, lease_until, attempts, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $6) ON CONFLICT (kind, subject) DO UPDATE SET id = excluded.id, \
         ticket = excluded.ticket, payload = excluded.payload, run_at = excluded.run_at, lease_until = 0",
        [new_id(), kind.name(), subject, ticket, payload, now_ms()]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues a job that is not about an upload, unless one of this kind and subject waits or runs.
pub(crate) async fn queue_unless_waiting(
    tx: &mut Connection,
    kind: JobKind,
    subject: &str,
    ticket: Option<&str>,
    payload: &str,
) -> Result<()> {
    sql!(
        "INSERT INTO jobs (id, kind, subject, ticket, payload, run_at, lease_until, attempts, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $6) ON CONFLICT (kind, subject) DO NOTHING",
        [new_id(), kind.name(), subject, ticket, payload, now_ms()]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues a job about a complete upload, and on its ticket. A waiting job of this kind and upload is replaced: a worker that
/// still has the older one ends that one, not this.
pub(crate) async fn queue(tx: &mut Connection, kind: JobKind, upload_id: &str) -> Result<()> {
    sql!(
        "INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at) \
         SELECT $1, $4, id, ticket, $3, 0, 0, $3 FROM uploads WHERE id = $2 AND state = 'complete' \
         ON CONFLICT (kind, upload_id) DO UPDATE SET id = excluded.id, run_at = excluded.run_at, lease_until = 0",
        [new_id(), upload_id, now_ms(), kind.name()]
    )
    .execute(tx)
    .await?;
    Ok(())
}
