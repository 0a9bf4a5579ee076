//! Tickets that partners open through the gateway.
//! Invariant: the row is written before the desk is asked, so that the same request never opens a second ticket.

use crate::sql::{from_row, sql, sql_as};
use crate::{Error, Ledger, Result, audit, new_id, now_ms};

/// A request to open a ticket.
#[derive(Debug, Clone, Copy)]
pub struct OpeningTicket<'a> {
    /// Hash of link, route and key.
    pub key_hash: &'a str,
    /// Hash of everything the request says about the ticket.
    pub fields_hash: &'a str,
    pub link_id: &'a str,
}

#[derive(Debug, Clone)]
pub struct OpenedTicket {
    pub key_hash: String,
    pub fields_hash: String,
    /// The ticket has it in the desk.
    pub external_id: String,
    /// None until the desk has answered.
    pub ticket: Option<String>,
    pub created_at: i64,
}

impl Ledger {
    /// The earlier request with this key, claimed since `since`, ms.
    pub async fn ticket_key(&self, key_hash: &str, since: i64) -> Result<Option<OpenedTicket>> {
        Ok(sql_as!(
            "SELECT * FROM opened_tickets WHERE key_hash = $1 AND created_at >= $2",
            [key_hash, since]
        )
        .fetch_optional(&self.read)
        .await?)
    }

    /// Claims a key for a ticket, or returns the claim of an earlier request. A claim from before `since`, ms, has expired.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the earlier request was for another ticket.
    pub async fn claim_ticket_key(&self, new: &OpeningTicket<'_>, since: i64) -> Result<OpenedTicket> {
        let mut tx = self.begin_in_turn(new.key_hash).await?;
        sql!("DELETE FROM opened_tickets WHERE key_hash = $1 AND created_at < $2", [new.key_hash, since])
            .execute(&mut *tx)
            .await?;
        let claim: OpenedTicket = sql_as!(
            "INSERT INTO opened_tickets (key_hash, fields_hash, external_id, link_id, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key_hash) DO UPDATE SET key_hash = excluded.key_hash RETURNING *",
            [new.key_hash, new.fields_hash, format!("weighbridge-{}", new_id()), new.link_id, now_ms()]
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        if claim.fields_hash != new.fields_hash {
            return Err(Error::Conflict("this key was used for another ticket".into()));
        }
        Ok(claim)
    }

    /// Records the ticket that the desk opened.
    pub async fn ticket_opened(&self, opened: &OpenedTicket, ticket: &str, actor: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE opened_tickets SET ticket = $2 WHERE external_id = $1 AND ticket IS NULL",
            [&opened.external_id, ticket]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() > 0 {
            audit::write(&mut *tx, actor, "ticket.open", ticket, &opened.external_id).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Releases the key of a ticket that the desk refused: the next request may differ.
    pub async fn drop_ticket_key(&self, opened: &OpenedTicket) -> Result<()> {
        sql!("DELETE FROM opened_tickets WHERE external_id = $1 AND ticket IS NULL", [&opened.external_id])
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

from_row!(OpenedTicket { key_hash, fields_hash, external_id, ticket, created_at });
