//! What the ledger knows about tickets: their organisation, whether they are closed, and how often we updated them.

use sqlx::Row as _;

use crate::sql::{sql, sql_scalar};
use crate::{Ledger, Result, new_id, now_ms};

/// A ticket as last seen in the desk.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The ticket's organisation in the desk.
    pub organization_id: Option<i64>,
    /// Closed for good.
    pub closed: bool,
    /// When it was first seen closed, ms; none while it is open.
    pub closed_at: Option<i64>,
    /// When the desk was last asked, ms; 0 never.
    pub checked_at: i64,
    /// When a note was last written, ms; 0 never.
    pub last_note_at: i64,
}

impl Ledger {
    pub async fn ticket(&self, ticket: &str) -> Result<Option<Ticket>> {
        let row =
            sql!("SELECT * FROM tickets WHERE ticket = $1", [ticket]).fetch_optional(&self.read).await?;
        row.map(|row| {
            Ok(Ticket {
                organization_id: row.try_get("organization_id")?,
                closed: row.try_get::<i64, _>("closed")? != 0,
                closed_at: row.try_get("closed_at")?,
                checked_at: row.try_get("checked_at")?,
                last_note_at: row.try_get("last_note_at")?,
            })
        })
        .transpose()
    }

    /// Records what the desk said about a ticket. The times of the files of one that was reopened are looked at anew.
    pub async fn saw_ticket(&self, ticket: &str, organization_id: Option<i64>, closed: bool) -> Result<()> {
        let now = now_ms();
        let mut tx = self.begin().await?;
        if !closed {
            // It was reopened: what depended on its closing.
            sql!(
                "UPDATE uploads SET expires_at = NULL WHERE ticket = $1 AND expires_at IS NOT NULL AND state = 'complete' \
                 AND EXISTS (SELECT 1 FROM tickets WHERE ticket = $1 AND closed = 1)",
                [ticket]
            )
            .execute(&mut *tx)
            .await?;
        }
        sql!(
            "INSERT INTO tickets (ticket, organization_id, closed, checked_at, closed_at, lease_until, last_note_at) \
             VALUES ($1, $2, $3, $4, $5, 0, 0) ON CONFLICT (ticket) DO UPDATE SET \
             organization_id = excluded.organization_id, closed = excluded.closed, checked_at = excluded.checked_at, \
             closed_at = CASE WHEN excluded.closed = 0 THEN NULL ELSE COALESCE(tickets.closed_at, excluded.closed_at) END",
            [ticket, organization_id, i64::from(closed), now, closed.then_some(now)]
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// When gateways updated the ticket since `since`, ms, oldest first.
    pub async fn ticket_updates(&self, ticket: &str, since: i64) -> Result<Vec<i64>> {
        Ok(sql_scalar!(
            "SELECT at FROM ticket_updates WHERE ticket = $1 AND at > $2 ORDER BY at",
            [ticket, since]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Records an update of the ticket before it is sent, so that one whose answer is lost counts too. Deletes old records.
    pub async fn note_ticket_update(&self, ticket: &str, forget_before: i64) -> Result<()> {
        let now = now_ms();
        let mut tx = self.begin().await?;
        sql!("INSERT INTO ticket_updates (id, ticket, at) VALUES ($1, $2, $3)", [new_id(), ticket, now])
            .execute(&mut *tx)
            .await?;
        sql!("DELETE FROM ticket_updates WHERE ticket = $1 AND at < $2", [ticket, forget_before])
            .execute(&mut *tx)
            .await?;
        sql!("UPDATE tickets SET last_note_at = $2 WHERE ticket = $1", [ticket, now])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
