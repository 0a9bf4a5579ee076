//! Legal holds: the files of a ticket stay until the hold is lifted.
//! Invariant: whoever removes a complete upload looks for a hold in the same transaction, in turn with whoever sets one.

use crate::sql::{from_row, sql, sql_as};
use crate::timeout::Connection;
use crate::{Ledger, Result, audit, now_ms};

#[derive(Debug, Clone)]
pub struct Hold {
    pub ticket: String,
    pub reason: String,
    /// As in the audit.
    pub created_by: String,
    pub created_at: i64,
}

impl Ledger {
    /// Sets a hold, or changes its reason.
    pub async fn set_hold(&self, ticket: &str, reason: &str, actor: &str) -> Result<Hold> {
        let mut tx = self.begin_in_turn(&turn(ticket)).await?;
        let hold = sql_as!(
            "INSERT INTO holds (ticket, reason, created_by, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (ticket) DO UPDATE SET reason = excluded.reason RETURNING *",
            [ticket, reason, actor, now_ms()]
        )
        .fetch_one(&mut *tx)
        .await?;
        audit::write(&mut *tx, actor, "ticket.hold", ticket, reason).await?;
        tx.commit().await?;
        Ok(hold)
    }

    /// # Errors
    /// [`crate::Error::NotFound`] if the ticket has no hold.
    pub async fn lift_hold(&self, ticket: &str, actor: &str) -> Result<()> {
        let mut tx = self.begin_in_turn(&turn(ticket)).await?;
        let done = sql!("DELETE FROM holds WHERE ticket = $1", [ticket]).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(crate::Error::NotFound);
        }
        audit::write(&mut *tx, actor, "ticket.lift", ticket, "").await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn hold(&self, ticket: &str) -> Result<Option<Hold>> {
        Ok(sql_as!("SELECT * FROM holds WHERE ticket = $1", [ticket]).fetch_optional(&self.read).await?)
    }
}

from_row!(Hold { ticket, reason, created_by, created_at });

/// The turn that a hold and every removal of the ticket's files take.
pub(crate) fn turn(ticket: &str) -> String {
    format!("hold {ticket}")
}

/// Whether the ticket has a hold, inside a transaction that has its [`turn`].
pub(crate) async fn is_held(tx: &mut Connection, ticket: &str) -> Result<bool> {
    let found = sql!("SELECT 1 FROM holds WHERE ticket = $1", [ticket]).fetch_optional(&mut *tx).await?;
    Ok(found.is_some())
}
