//! What the ledger knows of tickets: whose they are, whether they are closed, who writes to one now, and how often.

use sqlx::Row as _;

use crate::{Ledger, Result, new_id, now_ms};

/// A ticket as last seen in the desk.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The desk's organisation it belongs to.
    pub organization_id: Option<i64>,
    /// Whether it is closed for good.
    pub closed: bool,
    /// When the desk was last asked, ms; 0 never.
    pub checked_at: i64,
    /// When a note was last written, ms; 0 never.
    pub last_note_at: i64,
}

impl Ledger {
    /// What is known of a ticket, if anything.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn ticket(&self, ticket: &str) -> Result<Option<Ticket>> {
        let row = sqlx::query("SELECT * FROM tickets WHERE ticket = $1")
            .bind(ticket)
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| {
            Ok(Ticket {
                organization_id: row.try_get("organization_id")?,
                closed: row.try_get::<i64, _>("closed")? != 0,
                checked_at: row.try_get("checked_at")?,
                last_note_at: row.try_get("last_note_at")?,
            })
        })
        .transpose()
    }

    /// Records what the desk said of a ticket.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn saw_ticket(&self, ticket: &str, organization_id: Option<i64>, closed: bool) -> Result<()> {
        sqlx::query(
            "INSERT INTO tickets (ticket, organization_id, closed, checked_at, lease_until, last_note_at) \
             VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT (ticket) DO UPDATE SET \
             organization_id = excluded.organization_id, closed = excluded.closed, checked_at = excluded.checked_at",
        )
        .bind(ticket)
        .bind(organization_id)
        .bind(i64::from(closed))
        .bind(now_ms())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Takes the sole right to write to a ticket until `until`, ms. Says whether it did.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn lease_ticket(&self, ticket: &str, until: i64) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO tickets (ticket, organization_id, closed, checked_at, lease_until, last_note_at) \
             VALUES ($1, NULL, 0, 0, $3, 0) ON CONFLICT (ticket) DO UPDATE SET lease_until = excluded.lease_until \
             WHERE tickets.lease_until <= $2",
        )
        .bind(ticket)
        .bind(now_ms())
        .bind(until)
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Moves the end of a right taken with [`Ledger::lease_ticket`] from `until` to `to`, ms: later to keep it, to 0 to give
    /// it back, to a time ahead to let nobody write before. Says whether it was still ours: `until` proves it, since the
    /// next holder's ends later.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn move_ticket_lease(&self, ticket: &str, until: i64, to: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE tickets SET lease_until = $3 WHERE ticket = $1 AND lease_until = $2")
            .bind(ticket)
            .bind(until)
            .bind(to)
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// When this gateway updated the ticket since `since`, ms, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn ticket_updates(&self, ticket: &str, since: i64) -> Result<Vec<i64>> {
        let rows = sqlx::query("SELECT at FROM ticket_updates WHERE ticket = $1 AND at > $2 ORDER BY at")
            .bind(ticket)
            .bind(since)
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| Ok(row.try_get("at")?)).collect()
    }

    /// Records an update of the ticket before it is sent, so that a lost answer is counted too, and forgets old ones.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn note_ticket_update(&self, ticket: &str, forget_before: i64) -> Result<()> {
        let now = now_ms();
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO ticket_updates (id, ticket, at) VALUES ($1, $2, $3)")
            .bind(new_id())
            .bind(ticket)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM ticket_updates WHERE ticket = $1 AND at < $2")
            .bind(ticket)
            .bind(forget_before)
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE tickets SET last_note_at = $2 WHERE ticket = $1")
            .bind(ticket)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
