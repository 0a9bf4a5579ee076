//! Contacts: the people of a partner who may open tickets.
//! Invariant: a contact is never deleted, only disabled, because links and the audit name it.

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result, audit, new_id, now_ms};

#[derive(Debug, Clone)]
pub struct Contact {
    pub id: String,
    pub partner_id: String,
    pub name: String,
    /// In lower case.
    pub email: String,
    pub slack_user_id: Option<String>,
    pub created_at: i64,
    /// When it was disabled, ms. It opens no tickets any more.
    pub disabled_at: Option<i64>,
}

/// The fields of a new [`Contact`].
#[derive(Debug, Clone, Copy)]
pub struct NewContact<'a> {
    pub partner_id: &'a str,
    pub name: &'a str,
    pub email: &'a str,
    pub slack_user_id: Option<&'a str>,
}

impl Ledger {
    /// Adds a contact of a partner. An address that the partner has already gets this name and Slack ID, and is enabled
    /// again.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] for an unknown partner.
    pub async fn put_contact(&self, new: &NewContact<'_>, actor: &str) -> Result<Contact> {
        let email = new.email.to_lowercase();
        let mut tx = self.begin().await?;
        let contact: Contact = sql_as!(
            "INSERT INTO contacts (id, partner_id, name, email, slack_user_id, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (partner_id, email) DO UPDATE SET name = excluded.name, disabled_at = NULL, \
             slack_user_id = COALESCE(excluded.slack_user_id, contacts.slack_user_id) RETURNING *",
            [new_id(), new.partner_id, new.name, email, new.slack_user_id, now_ms()]
        )
        .fetch_one(&mut *tx)
        .await?;
        audit::write(&mut *tx, actor, "contact.put", &contact.id, new.partner_id).await?;
        tx.commit().await?;
        Ok(contact)
    }

    /// The contacts of a partner or of all.
    pub async fn contacts(&self, partner_id: Option<&str>) -> Result<Vec<Contact>> {
        Ok(sql_as!(
            "SELECT * FROM contacts WHERE (CAST($1 AS TEXT) IS NULL OR partner_id = $1) ORDER BY partner_id, email",
            [partner_id]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// The partner's contact with this address, in any case; none if it is disabled.
    pub async fn contact_by_email(&self, partner_id: &str, email: &str) -> Result<Option<Contact>> {
        Ok(sql_as!(
            "SELECT * FROM contacts WHERE partner_id = $1 AND email = $2 AND disabled_at IS NULL",
            [partner_id, email.to_lowercase()]
        )
        .fetch_optional(&self.read)
        .await?)
    }

    /// Disables a contact, and revokes the links of its tickets. Disabling it twice changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] if the partner, where one is given, has no such contact.
    pub async fn disable_contact(&self, id: &str, partner_id: Option<&str>, actor: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE contacts SET disabled_at = COALESCE(disabled_at, $3) \
             WHERE id = $1 AND (CAST($2 AS TEXT) IS NULL OR partner_id = $2)",
            [id, partner_id, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        sql!("UPDATE links SET revoked_at = COALESCE(revoked_at, $2) WHERE contact_id = $1", [id, now_ms()])
            .execute(&mut *tx)
            .await?;
        audit::write(&mut *tx, actor, "contact.disable", id, "").await?;
        tx.commit().await?;
        Ok(())
    }
}

from_row!(Contact { id, partner_id, name, email, slack_user_id, created_at, disabled_at });
