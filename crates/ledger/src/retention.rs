//! How long files are kept: when the time of each is over, and which are due.
//! Invariant: a file is removed for its age only if its time is over, its ticket has no hold and its delivery has ended, all
//! looked up in the transaction that removes it.

use crate::sql::{from_row, sql, sql_as, sql_scalar};
use crate::{JobKind, Ledger, Result, Upload, audit, holds, jobs, now_ms};

/// A complete file, and what its time depends on.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: String,
    pub partner_id: String,
    pub completed_at: i64,
    /// As last recorded.
    pub expires_at: Option<i64>,
    /// When its ticket was first seen closed; none while it is open.
    pub closed_at: Option<i64>,
}

impl Ledger {
    /// Complete files whose time may have to be recorded, after the one with the ID `after`: those of closed tickets, those with
    /// a time, and those that arrived at or before `received_before`, ms.
    pub async fn kept(&self, received_before: i64, after: &str, limit: i64) -> Result<Vec<Kept>> {
        Ok(sql_as!(
            "SELECT u.id, u.partner_id, u.completed_at, u.expires_at, CASE WHEN t.closed = 1 THEN t.closed_at END AS closed_at \
             FROM uploads u LEFT JOIN tickets t ON t.ticket = u.ticket \
             WHERE u.state = 'complete' AND u.completed_at IS NOT NULL AND u.id > $1 \
             AND (t.closed = 1 OR u.expires_at IS NOT NULL OR u.completed_at <= $2) ORDER BY u.id LIMIT $3",
            [after, received_before, limit]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Records when files are to be deleted.
    pub async fn set_expiry(&self, times: &[(String, Option<i64>)]) -> Result<()> {
        let mut tx = self.begin().await?;
        for (id, expires_at) in times {
            sql!(
                "UPDATE uploads SET expires_at = $2 WHERE id = $1 AND state = 'complete'",
                [id, *expires_at]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Gives tickets a time of closing that an older gateway saw closed.
    pub async fn date_closed_tickets(&self) -> Result<()> {
        sql!("UPDATE tickets SET closed_at = $1 WHERE closed = 1 AND closed_at IS NULL", [now_ms()])
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Counts a ticket as closed only since then, ms: a follow-up still needs its files.
    pub async fn closed_later(&self, ticket: &str, closed_at: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        sql!("UPDATE tickets SET closed_at = $2 WHERE ticket = $1 AND closed = 1", [ticket, closed_at])
            .execute(&mut *tx)
            .await?;
        sql!("UPDATE uploads SET expires_at = NULL WHERE ticket = $1 AND state = 'complete'", [ticket])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Queues a job for each ticket with files whose time is over, unless it has one or a hold.
    pub async fn queue_expired(&self) -> Result<()> {
        let tickets: Vec<String> = sql_scalar!(
            "SELECT DISTINCT ticket FROM uploads WHERE state = 'complete' AND delivery <> 'pending' AND expires_at <= $1 \
             AND ticket NOT IN (SELECT ticket FROM holds) \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = $2 AND subject = uploads.ticket) LIMIT 1000",
            [now_ms(), JobKind::ExpireFiles.name()]
        )
        .fetch_all(&self.read)
        .await?;
        let subjects = tickets.iter().map(|ticket| (ticket.clone(), ticket.as_str(), ""));
        self.queue_once(JobKind::ExpireFiles, subjects).await
    }

    /// Queues a job for each open ticket without a hold that has files whose time is over at `until`, ms, and that was not told.
    pub async fn queue_expiring(&self, until: i64) -> Result<()> {
        let tickets: Vec<String> = sql_scalar!(
            "SELECT DISTINCT u.ticket FROM uploads u LEFT JOIN tickets t ON t.ticket = u.ticket \
             WHERE u.state = 'complete' AND u.expires_at <= $1 AND COALESCE(t.closed, 0) = 0 \
             AND u.ticket NOT IN (SELECT ticket FROM holds) \
             AND NOT EXISTS (SELECT 1 FROM steps WHERE subject = u.id AND step = 'end-told' AND done_at IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = $2 AND subject = u.ticket || ' expiring') LIMIT 1000",
            [until, JobKind::WarnFiles.name()]
        )
        .fetch_all(&self.read)
        .await?;
        let subjects =
            tickets.iter().map(|ticket| (format!("{ticket} expiring"), ticket.as_str(), "expiring"));
        self.queue_once(JobKind::WarnFiles, subjects).await
    }

    /// Queues a job that says on a solved ticket what happens to its files, unless that was said before or it has none.
    pub async fn queue_solved(&self, ticket: &str) -> Result<()> {
        let told = self.step(ticket, "warn-solved").await?;
        if told.is_some_and(|step| step.done_at.is_some()) || !self.has_files(ticket).await? {
            return Ok(());
        }
        self.queue_once(JobKind::WarnFiles, [(format!("{ticket} solved"), ticket, "solved")].into_iter())
            .await
    }

    /// Queues a look at tickets that are not known to be closed, have files, and were not looked at since `before`, ms: webhooks
    /// and changes can be lost, and a rebuilt ledger knows nothing of its tickets.
    pub async fn queue_unseen(&self, before: i64) -> Result<()> {
        let tickets: Vec<String> = sql_scalar!(
            "SELECT DISTINCT u.ticket FROM uploads u LEFT JOIN tickets t ON t.ticket = u.ticket \
             WHERE u.state = 'complete' AND COALESCE(t.closed, 0) = 0 AND COALESCE(t.checked_at, 0) < $1 \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = $2 AND subject = u.ticket) LIMIT 100",
            [before, JobKind::SeeTicket.name()]
        )
        .fetch_all(&self.read)
        .await?;
        let subjects = tickets.iter().map(|ticket| (ticket.clone(), ticket.as_str(), ""));
        self.queue_once(JobKind::SeeTicket, subjects).await
    }

    /// Whether the ticket has complete files.
    pub async fn has_files(&self, ticket: &str) -> Result<bool> {
        let found = sql!("SELECT 1 FROM uploads WHERE ticket = $1 AND state = 'complete' LIMIT 1", [ticket]);
        Ok(found.fetch_optional(&self.read).await?.is_some())
    }

    /// Queues jobs by subject, ticket and payload, unless they wait or run.
    async fn queue_once<'a>(
        &self,
        kind: JobKind,
        subjects: impl Iterator<Item = (String, &'a str, &'a str)>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        for (subject, ticket, payload) in subjects {
            jobs::queue_unless_waiting(&mut tx, kind, &subject, Some(ticket), payload).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Files of a ticket whose time is over and whose delivery has ended.
    pub async fn expired_files(&self, ticket: &str) -> Result<Vec<Upload>> {
        Ok(sql_as!(
            "SELECT * FROM uploads WHERE ticket = $1 AND state = 'complete' AND delivery <> 'pending' AND expires_at <= $2 \
             ORDER BY id LIMIT 10000",
            [ticket, now_ms()]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Removes a file whose time is over; its object waits for [`Ledger::unswept`]. Returns false if it stays: for a hold, or
    /// because its time has changed.
    pub async fn expire(&self, upload: &Upload, why: &str) -> Result<bool> {
        let mut tx = self.begin_in_turn(&holds::turn(&upload.ticket)).await?;
        if holds::is_held(&mut tx, &upload.ticket).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        let now = now_ms();
        let done = sql!(
            "UPDATE uploads SET state = 'removed', swept_at = NULL, updated_at = $2 \
             WHERE id = $1 AND state = 'complete' AND delivery <> 'pending' AND expires_at <= $2",
            [&upload.id, now]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        sql!("DELETE FROM originals WHERE upload_id = $1", [&upload.id]).execute(&mut *tx).await?;
        sql!("DELETE FROM jobs WHERE upload_id = $1", [&upload.id]).execute(&mut *tx).await?;
        audit::write(&mut *tx, "gateway", "upload.expire", &upload.id, why).await?;
        tx.commit().await?;
        Ok(true)
    }
}

from_row!(Kept { id, partner_id, completed_at, expires_at, closed_at });
