//! What senders write to support beside their files.
//! Invariant: a text is recorded with the job that puts it on the ticket, and the same text is recorded once a day.

use std::time::Duration;

use crate::sql::{from_row, sql, sql_as, sql_scalar};
use crate::{JobKind, Ledger, Result, audit, jobs, new_id, now_ms};

/// Notes that a link can add within 24 hours.
pub const SENDER_NOTES_MAX: i64 = 50;
const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone)]
pub struct SenderNote {
    pub id: String,
    pub link_id: String,
    pub ticket: String,
    /// As the sender wrote it.
    pub text: String,
    pub created_at: i64,
}

from_row!(SenderNote { id, link_id, ticket, text, created_at });

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteAdded {
    New(String),
    /// The same was written before.
    Repeated(String),
    /// Until the oldest is no longer counted.
    TooMany(Duration),
}

impl Ledger {
    /// Records a text for a ticket, and queues the job that puts it there.
    pub async fn add_sender_note(
        &self,
        link_id: &str,
        partner_id: &str,
        ticket: &str,
        text: &str,
        actor: &str,
    ) -> Result<NoteAdded> {
        let mut tx = self.begin_in_turn(&format!("notes {link_id}")).await?;
        let now = now_ms();
        let since = now - WINDOW_MS;
        let same: Option<String> = sql_scalar!(
            "SELECT id FROM sender_notes WHERE link_id = $1 AND created_at > $2 AND ticket = $3 AND text = $4 LIMIT 1",
            [link_id, since, ticket, text]
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(id) = same {
            tx.rollback().await?;
            return Ok(NoteAdded::Repeated(id));
        }
        let (count, oldest): (i64, Option<i64>) = sql_as!(
            "SELECT COUNT(*), MIN(created_at) FROM sender_notes WHERE link_id = $1 AND created_at > $2",
            [link_id, since]
        )
        .fetch_one(&mut *tx)
        .await?;
        if count >= SENDER_NOTES_MAX {
            tx.rollback().await?;
            let free_in = oldest.map_or(0, |oldest| oldest - since);
            return Ok(NoteAdded::TooMany(Duration::from_millis(free_in.unsigned_abs())));
        }
        let id = new_id();
        sql!(
            "INSERT INTO sender_notes (id, link_id, partner_id, ticket, text, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            [&id, link_id, partner_id, ticket, text, now]
        )
        .execute(&mut *tx)
        .await?;
        let subject = format!("{ticket} {partner_id}");
        jobs::queue_about(&mut tx, JobKind::PostNote, &subject, Some(ticket), "").await?;
        audit::write(&mut *tx, actor, "ticket.note", ticket, &id).await?;
        tx.commit().await?;
        Ok(NoteAdded::New(id))
    }

    /// Texts of a partner for a ticket that are not known to be there, oldest first.
    pub async fn sender_notes_to_tell(
        &self,
        ticket: &str,
        partner_id: &str,
        limit: i64,
    ) -> Result<Vec<SenderNote>> {
        Ok(sql_as!(
            "SELECT * FROM sender_notes WHERE ticket = $1 AND partner_id = $2 AND told_at IS NULL ORDER BY created_at, id LIMIT $3",
            [ticket, partner_id, limit]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Records that texts are on their ticket.
    pub async fn sender_notes_told(&self, notes: &[SenderNote]) -> Result<()> {
        let mut tx = self.begin().await?;
        for note in notes {
            sql!("UPDATE sender_notes SET told_at = $2 WHERE id = $1", [&note.id, now_ms()])
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets texts that their ticket cannot get, with an entry in the audit. If they are sent again, they are tried again.
    pub async fn sender_notes_refused(&self, notes: &[SenderNote], why: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        for note in notes {
            sql!("DELETE FROM sender_notes WHERE id = $1", [&note.id]).execute(&mut *tx).await?;
            audit::write(&mut *tx, "gateway", "note.refused", &note.ticket, &format!("{} {why}", note.id))
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
