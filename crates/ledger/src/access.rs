//! Who may do what: upload links with their rights and limits, and staff tokens.
//! Invariant: a token is looked up by its hash alone; the token itself is never stored.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::secret::{Token, hash_token, same};
use crate::{Ledger, Result, new_id, now_ms};

/// What a link allows beyond its partner and ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Send files: every link has it.
    Upload,
    /// See what was sent through this link.
    List,
    /// Remove what was sent through this link.
    Remove,
    /// Open a ticket.
    OpenTicket,
    /// Ask for attention to a ticket.
    Escalate,
}

impl Right {
    /// Every right, in the order they are shown.
    pub const ALL: [Self; 5] = [Self::Upload, Self::List, Self::Remove, Self::OpenTicket, Self::Escalate];

    /// The right's name in requests, in the ledger and in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::List => "list",
            Self::Remove => "remove",
            Self::OpenTicket => "open-ticket",
            Self::Escalate => "escalate",
        }
    }

    /// The right of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

/// An upload link, without its token.
#[derive(Debug, Clone)]
pub struct Link {
    /// Identifier, safe to show and to log.
    pub id: String,
    /// Partner it belongs to.
    pub partner_id: String,
    /// Contact it was made for.
    pub contact_id: Option<String>,
    /// Ticket it is bound to; without one, each upload names its ticket.
    pub ticket: Option<String>,
    /// What it allows.
    pub rights: Vec<Right>,
    /// Largest file, bytes.
    pub max_bytes: Option<i64>,
    /// Most uploads open at a time.
    pub max_open: Option<i64>,
    /// Most bytes of uploads that are not complete.
    pub max_unfinished_bytes: Option<i64>,
    /// Most requests in a minute.
    pub max_requests_per_minute: Option<i64>,
    /// Who made it.
    pub created_by: String,
    /// When it was made, ms.
    pub created_at: i64,
    /// When it ends, ms; never without one.
    pub expires_at: Option<i64>,
    /// When it was revoked, ms.
    pub revoked_at: Option<i64>,
}

impl Link {
    /// Whether the link grants `right`.
    pub fn allows(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// What a new link is made of.
#[derive(Debug, Clone, Default)]
pub struct NewLink {
    /// Partner it belongs to.
    pub partner_id: String,
    /// Contact it is made for.
    pub contact_id: Option<String>,
    /// Ticket it is bound to.
    pub ticket: Option<String>,
    /// Rights beside `upload`, which is always granted.
    pub rights: Vec<Right>,
    /// Largest file, bytes.
    pub max_bytes: Option<i64>,
    /// Most uploads open at a time.
    pub max_open: Option<i64>,
    /// Most bytes of uploads that are not complete.
    pub max_unfinished_bytes: Option<i64>,
    /// Most requests in a minute.
    pub max_requests_per_minute: Option<i64>,
    /// Who makes it, for the audit.
    pub created_by: String,
    /// When it ends, ms.
    pub expires_at: Option<i64>,
}

/// A staff token, without the token.
#[derive(Debug, Clone)]
pub struct StaffToken {
    /// Identifier, safe to show and to log.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// When it was made, ms.
    pub created_at: i64,
    /// When it ends, ms.
    pub expires_at: Option<i64>,
    /// When it was revoked, ms.
    pub revoked_at: Option<i64>,
}

const LINK: &str = "SELECT id, token_hash, partner_id, contact_id, ticket, rights, max_bytes, max_open, \
     max_unfinished_bytes, max_requests_per_minute, created_by, created_at, expires_at, revoked_at FROM links \
     WHERE token_hash = $1";

impl Ledger {
    /// Stores a link under `token` and writes it into the audit.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] for an unknown partner or contact.
    pub async fn create_link(&self, token: &Token, new: &NewLink) -> Result<Link> {
        let id = new_id();
        let mut rights = vec![Right::Upload];
        rights.extend(Right::ALL.into_iter().filter(|r| *r != Right::Upload && new.rights.contains(r)));
        let names: Vec<_> = rights.iter().map(|r| r.name()).collect();
        let now = now_ms();
        sqlx::query(
            "INSERT INTO links (id, token_hash, partner_id, contact_id, ticket, rights, max_bytes, max_open, \
             max_unfinished_bytes, max_requests_per_minute, created_by, created_at, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL)",
        )
        .bind(&id)
        .bind(token.hash())
        .bind(&new.partner_id)
        .bind(&new.contact_id)
        .bind(&new.ticket)
        .bind(names.join(","))
        .bind(new.max_bytes)
        .bind(new.max_open)
        .bind(new.max_unfinished_bytes)
        .bind(new.max_requests_per_minute)
        .bind(&new.created_by)
        .bind(now)
        .bind(new.expires_at)
        .execute(&self.write)
        .await?;
        self.record(&new.created_by, "link.create", &id, &new.partner_id).await?;
        self.link(&id).await
    }

    /// The link whose token this is, whatever its state.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] for a token that was never given out.
    pub async fn link_by_token(&self, token: &str) -> Result<Link> {
        let hash = hash_token(token);
        let row = sqlx::query(LINK).bind(&hash).fetch_one(&self.read).await?;
        if !same(&hash, row.try_get("token_hash")?) {
            return Err(crate::Error::NotFound);
        }
        link(&row)
    }

    /// The link of that identifier.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub async fn link(&self, id: &str) -> Result<Link> {
        let row = sqlx::query("SELECT * FROM links WHERE id = $1").bind(id).fetch_one(&self.read).await?;
        link(&row)
    }

    /// Every link, newest first; of one partner if given.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn links(&self, partner_id: Option<&str>) -> Result<Vec<Link>> {
        let rows = sqlx::query(
            "SELECT * FROM links WHERE (CAST($1 AS TEXT) IS NULL OR partner_id = $1) ORDER BY id DESC LIMIT 10000",
        )
        .bind(partner_id)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(link).collect()
    }

    /// Ends a link at once; revoking twice changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub async fn revoke_link(&self, id: &str, actor: &str) -> Result<()> {
        let done = sqlx::query("UPDATE links SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
            .bind(id)
            .bind(now_ms())
            .execute(&self.write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        self.record(actor, "link.revoke", id, "").await
    }

    /// Stores a staff token.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn create_staff_token(
        &self,
        token: &Token,
        name: &str,
        expires_at: Option<i64>,
    ) -> Result<StaffToken> {
        let id = new_id();
        sqlx::query(
            "INSERT INTO staff_tokens (id, token_hash, name, created_at, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, NULL)",
        )
        .bind(&id)
        .bind(token.hash())
        .bind(name)
        .bind(now_ms())
        .bind(expires_at)
        .execute(&self.write)
        .await?;
        self.record("operator", "token.create", &id, name).await?;
        let row =
            sqlx::query("SELECT * FROM staff_tokens WHERE id = $1").bind(&id).fetch_one(&self.read).await?;
        staff_token(&row)
    }

    /// The valid staff token that this text is.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] for an unknown, expired or revoked one: no difference to be seen.
    pub async fn staff_token(&self, token: &str) -> Result<StaffToken> {
        let hash = hash_token(token);
        let row = sqlx::query("SELECT * FROM staff_tokens WHERE token_hash = $1")
            .bind(&hash)
            .fetch_one(&self.read)
            .await?;
        let found = staff_token(&row)?;
        let expired = found.expires_at.is_some_and(|at| at <= now_ms());
        if expired || found.revoked_at.is_some() || !same(&hash, row.try_get("token_hash")?) {
            return Err(crate::Error::NotFound);
        }
        Ok(found)
    }

    /// Every staff token, newest first.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn staff_tokens(&self) -> Result<Vec<StaffToken>> {
        let rows = sqlx::query("SELECT * FROM staff_tokens ORDER BY id DESC").fetch_all(&self.read).await?;
        rows.iter().map(staff_token).collect()
    }

    /// Ends a staff token at once.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub async fn revoke_staff_token(&self, id: &str) -> Result<()> {
        let done = sqlx::query("UPDATE staff_tokens SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
            .bind(id)
            .bind(now_ms())
            .execute(&self.write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        self.record("operator", "token.revoke", id, "").await
    }
}

fn link(row: &AnyRow) -> Result<Link> {
    let rights: String = row.try_get("rights")?;
    Ok(Link {
        id: row.try_get("id")?,
        partner_id: row.try_get("partner_id")?,
        contact_id: row.try_get("contact_id")?,
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

fn staff_token(row: &AnyRow) -> Result<StaffToken> {
    Ok(StaffToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
