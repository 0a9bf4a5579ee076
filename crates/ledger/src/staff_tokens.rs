//! Staff tokens: who may use the staff API.
//! Invariant: a token is looked up by its hash alone; the token itself is never stored.

use sqlx::{FromRow, Row as _};

use crate::sql::{from_row, sql, sql_as};
use crate::token::{hash_token, same};
use crate::{Ledger, Result, Token, new_id, now_ms};

#[derive(Debug, Clone)]
pub struct StaffToken {
    /// Safe to show and to log.
    pub id: String,
    pub name: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

impl Ledger {
    pub async fn create_staff_token(
        &self,
        token: &Token,
        name: &str,
        expires_at: Option<i64>,
    ) -> Result<StaffToken> {
        let id = new_id();
        sql!(
            "INSERT INTO staff_tokens (id, token_hash, name, created_at, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, NULL)",
            [&id, token.hash(), name, now_ms(), expires_at]
        )
        .execute(&self.write)
        .await?;
        self.record("operator", "token.create", &id, name).await?;
        let made = sql_as!("SELECT * FROM staff_tokens WHERE id = $1", [&id]);
        Ok(made.fetch_one(&self.read).await?)
    }

    /// The valid staff token with this text.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] for an unknown, expired or revoked token, without a difference.
    pub async fn staff_token(&self, token: &str) -> Result<StaffToken> {
        let hash = hash_token(token);
        let row =
            sql!("SELECT * FROM staff_tokens WHERE token_hash = $1", [&hash]).fetch_one(&self.read).await?;
        let found = StaffToken::from_row(&row)?;
        let expired = found.expires_at.is_some_and(|at| at <= now_ms());
        if expired || found.revoked_at.is_some() || !same(&hash, row.try_get("token_hash")?) {
            return Err(crate::Error::NotFound);
        }
        Ok(found)
    }

    pub async fn staff_tokens(&self) -> Result<Vec<StaffToken>> {
        Ok(sqlx::query_as("SELECT * FROM staff_tokens ORDER BY id DESC").fetch_all(&self.read).await?)
    }

    /// Revokes a staff token at once.
    pub async fn revoke_staff_token(&self, id: &str) -> Result<()> {
        let done = sql!(
            "UPDATE staff_tokens SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1",
            [id, now_ms()]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        self.record("operator", "token.revoke", id, "").await
    }
}

from_row!(StaffToken { id, name, created_at, expires_at, revoked_at });
