//! Upload links, with their rights and limits.
//! Invariant: a token is looked up by its hash alone; the token itself is never stored.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use crate::names::names;
use crate::sql::{sql, sql_as, sql_scalar};
use crate::timeout::Connection;
use crate::token::{hash_token, same};
use crate::{JobKind, Ledger, Result, Token, audit, new_id, now_ms};

names! {
    /// What a link allows beyond its partner and ticket.
    Right {
        /// Send files: every link has it.
        Upload = "upload",
        /// See what was sent through this link.
        List = "list",
        /// Remove what was sent through this link.
        Remove = "remove",
        OpenTicket = "open-ticket",
        Escalate = "escalate",
    }
}

/// An upload link, without its token.
#[derive(Debug, Clone)]
pub struct Link {
    /// Safe to show and to log.
    pub id: String,
    pub partner_id: String,
    pub contact_id: Option<String>,
    /// The link that it was made with, and ends with.
    pub parent_id: Option<String>,
    /// The ticket it is bound to; without one, each upload names its ticket.
    pub ticket: Option<String>,
    pub rights: Vec<Right>,
    pub max_bytes: Option<i64>,
    pub max_open: Option<i64>,
    /// Limit on the bytes of uploads that are not complete.
    pub max_unfinished_bytes: Option<i64>,
    pub max_requests_per_minute: Option<i64>,
    pub created_by: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

impl Link {
    pub fn allows(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// The fields of a new [`Link`].
#[derive(Debug, Clone, Default)]
pub struct NewLink {
    pub partner_id: String,
    pub contact_id: Option<String>,
    pub parent_id: Option<String>,
    pub ticket: Option<String>,
    /// Rights in addition to `upload`, which every link has.
    pub rights: Vec<Right>,
    pub max_bytes: Option<i64>,
    pub max_open: Option<i64>,
    /// Limit on the bytes of uploads that are not complete.
    pub max_unfinished_bytes: Option<i64>,
    pub max_requests_per_minute: Option<i64>,
    pub created_by: String,
    pub expires_at: Option<i64>,
}

impl Ledger {
    /// Stores a link and writes it into the audit. One whose parent was revoked in the meantime is revoked, too.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] for an unknown partner or contact.
    pub async fn create_link(&self, token: &Token, new: &NewLink) -> Result<Link> {
        let mut tx = self.begin().await?;
        let link = insert(&mut tx, token, new).await?;
        tx.commit().await?;
        Ok(link)
    }

    /// The link with this token, in any state.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] for a token that was never issued.
    pub async fn link_by_token(&self, token: &str) -> Result<Link> {
        let hash = hash_token(token);
        let row = sql!("SELECT * FROM links WHERE token_hash = $1", [&hash]);
        let row = row.fetch_one(&self.read).await?;
        if !same(&hash, row.try_get("token_hash")?) {
            return Err(crate::Error::NotFound);
        }
        Ok(Link::from_row(&row)?)
    }

    pub async fn link(&self, id: &str) -> Result<Link> {
        Ok(sql_as!("SELECT * FROM links WHERE id = $1", [id]).fetch_one(&self.read).await?)
    }

    /// Links of a partner or of all, newest first.
    pub async fn links(&self, partner_id: Option<&str>) -> Result<Vec<Link>> {
        Ok(sql_as!(
            "SELECT * FROM links WHERE (CAST($1 AS TEXT) IS NULL OR partner_id = $1) ORDER BY id DESC LIMIT 10000",
            [partner_id]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Whether support or an operator made a link for this ticket.
    pub async fn staff_made_link(&self, ticket: &str) -> Result<bool> {
        let found = sql!(
            "SELECT 1 FROM links WHERE ticket = $1 AND parent_id IS NULL \
             AND (created_by LIKE 'staff:%' OR created_by = 'operator') LIMIT 1",
            [ticket]
        )
        .fetch_optional(&self.read)
        .await?;
        Ok(found.is_some())
    }

    /// Whether a partner can send files for the ticket: it is of its organisation, or support made a link that works for a partner
    /// without one.
    pub async fn is_partners_ticket(&self, ticket: &str, organization: Option<i64>) -> Result<bool> {
        for partner in self.partners().await? {
            let owns = match partner.organization_id {
                None => self.has_working_link(ticket, &partner.id, &[]).await?,
                id => id == organization,
            };
            if owns && partner.disabled_at.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the partner can send files for the ticket through a link of its own, without these links, or will get one because
    /// the ticket is new.
    pub async fn has_working_link(&self, ticket: &str, partner_id: &str, without: &[String]) -> Result<bool> {
        let working: Vec<String> = sql_scalar!(
            "SELECT links.id FROM links JOIN partners ON partners.id = links.partner_id \
             WHERE links.ticket = $1 AND links.partner_id = $2 AND partners.disabled_at IS NULL \
             AND links.revoked_at IS NULL AND (links.expires_at IS NULL OR links.expires_at > $3)",
            [ticket, partner_id, now_ms()]
        )
        .fetch_all(&self.read)
        .await?;
        if working.iter().any(|id| !without.contains(id)) {
            return Ok(true);
        }
        let waiting = sql!(
            "SELECT 1 FROM jobs WHERE kind = $1 AND subject = $2 LIMIT 1",
            [JobKind::PostLink.name(), format!("{ticket} {partner_id}")]
        );
        Ok(waiting.fetch_optional(&self.read).await?.is_some())
    }

    /// Lets a link work until then, ms.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`]; [`crate::Error::Conflict`] if it was revoked.
    pub async fn renew_link(&self, id: &str, expires_at: i64, actor: &str) -> Result<Link> {
        let mut tx = self.begin().await?;
        let renewed: Option<Link> = sql_as!(
            "UPDATE links SET expires_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING *",
            [id, expires_at]
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(link) = renewed else {
            tx.rollback().await?;
            self.link(id).await?;
            return Err(crate::Error::Conflict("the link was revoked".into()));
        };
        audit::write(&mut *tx, actor, "link.extend", id, &crate::rfc3339(expires_at)).await?;
        tx.commit().await?;
        Ok(link)
    }

    /// Revokes a link at once, and those that were made with it; revoking it twice changes nothing.
    pub async fn revoke_link(&self, id: &str, actor: &str) -> Result<()> {
        let done = sql!(
            "UPDATE links SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 OR parent_id = $1",
            [id, now_ms()]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        self.record(actor, "link.revoke", id, "").await
    }
}

/// Stores a link and writes it into the audit.
pub(crate) async fn insert(tx: &mut Connection, token: &Token, new: &NewLink) -> Result<Link> {
    let id = new_id();
    let mut rights = vec![Right::Upload];
    rights.extend(Right::ALL.into_iter().filter(|r| *r != Right::Upload && new.rights.contains(r)));
    let names: Vec<_> = rights.iter().map(|r| r.name()).collect();
    let link = sql_as!(
        "INSERT INTO links (id, token_hash, partner_id, contact_id, ticket, rights, max_bytes, max_open, \
         max_unfinished_bytes, max_requests_per_minute, created_by, created_at, expires_at, revoked_at, parent_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, (SELECT revoked_at FROM links WHERE id = $14), $14) \
         RETURNING *",
        [
            &id,
            token.hash(),
            &new.partner_id,
            &new.contact_id,
            &new.ticket,
            names.join(","),
            new.max_bytes,
            new.max_open,
            new.max_unfinished_bytes,
            new.max_requests_per_minute,
            &new.created_by,
            now_ms(),
            new.expires_at,
            &new.parent_id
        ]
    )
    .fetch_one(&mut *tx)
    .await?;
    audit::write(tx, &new.created_by, "link.create", &id, &new.partner_id).await?;
    Ok(link)
}

impl FromRow<'_, AnyRow> for Link {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let rights: String = row.try_get("rights")?;
        Ok(Self {
            id: row.try_get("id")?,
            partner_id: row.try_get("partner_id")?,
            contact_id: row.try_get("contact_id")?,
            parent_id: row.try_get("parent_id")?,
            ticket: row.try_get("ticket")?,
            rights: rights.split(',').filter_map(Right::parse).collect(),
            max_bytes: row.try_get("max_bytes")?,
            max_open: row.try_get("max_open")?,
            max_unfinished_bytes: row.try_get("max_unfinished_bytes")?,
            max_requests_per_minute: row.try_get("max_requests_per_minute")?,
            created_by: row.try_get("created_by")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    }
}
