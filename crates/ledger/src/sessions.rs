//! Sessions of support in a browser.
//! Invariant: a session is worth no more than the staff token that it was opened with, and ends with it.

use crate::sql::sql_scalar;
use crate::sql::{sql, sql_as};
use crate::token::hash_token;
use crate::{Ledger, Result, StaffToken, Token, now_ms};

impl Ledger {
    /// Opens a session for whoever has this staff token, until `expires_at`, ms. Sessions that are over are forgotten.
    pub async fn open_session(&self, staff: &StaffToken, expires_at: i64) -> Result<Token> {
        let (token, now) = (Token::random(), now_ms());
        let mut tx = self.begin().await?;
        sql!("DELETE FROM sessions WHERE expires_at <= $1", [now]).execute(&mut *tx).await?;
        sql!(
            "INSERT INTO sessions (token_hash, staff_token_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            [token.hash(), &staff.id, now, expires_at]
        )
        .execute(&mut *tx)
        .await?;
        crate::audit::write(&mut *tx, &format!("staff:{}", staff.id), "session.open", &staff.id, "").await?;
        tx.commit().await?;
        Ok(token)
    }

    /// The staff token that this session was opened with.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] if the session or the staff token is unknown, expired or ended, without a difference.
    pub async fn session(&self, token: &str) -> Result<StaffToken> {
        Ok(sql_as!(
            "SELECT staff_tokens.* FROM sessions JOIN staff_tokens ON staff_tokens.id = sessions.staff_token_id \
             WHERE sessions.token_hash = $1 AND sessions.expires_at > $2 AND staff_tokens.revoked_at IS NULL \
             AND (staff_tokens.expires_at IS NULL OR staff_tokens.expires_at > $2)",
            [hash_token(token), now_ms()]
        )
        .fetch_one(&self.read)
        .await?)
    }

    /// Ends a session, if there is one.
    pub async fn end_session(&self, token: &str) -> Result<()> {
        let ended: Option<String> = sql_scalar!(
            "DELETE FROM sessions WHERE token_hash = $1 RETURNING staff_token_id",
            [hash_token(token)]
        )
        .fetch_optional(&self.write)
        .await?;
        if let Some(id) = ended {
            self.record(&format!("staff:{id}"), "session.end", &id, "").await?;
        }
        Ok(())
    }
}
