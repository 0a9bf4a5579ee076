//! Partners: organisations that send files.

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result, now_ms};

/// An organisation whose people send files.
#[derive(Debug, Clone)]
pub struct Partner {
    /// The short name from the configuration.
    pub id: String,
    pub name: String,
    /// Its organisation in the desk.
    pub organization_id: Option<i64>,
    pub created_at: i64,
    /// When it was disabled, ms. Its links do not work any more.
    pub disabled_at: Option<i64>,
}

impl Ledger {
    /// Adds a partner, or updates its name and organisation.
    pub async fn put_partner(&self, id: &str, name: &str, organization_id: Option<i64>) -> Result<Partner> {
        sql!(
            "INSERT INTO partners (id, name, organization_id, created_at, disabled_at) VALUES ($1, $2, $3, $4, NULL) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, organization_id = excluded.organization_id",
            [id, name, organization_id, now_ms()]
        )
        .execute(&self.write)
        .await?;
        self.partner(id).await
    }

    pub async fn partner(&self, id: &str) -> Result<Partner> {
        Ok(sql_as!("SELECT * FROM partners WHERE id = $1", [id]).fetch_one(&self.read).await?)
    }

    pub async fn partners(&self) -> Result<Vec<Partner>> {
        Ok(sqlx::query_as("SELECT * FROM partners ORDER BY id").fetch_all(&self.read).await?)
    }

    /// Disables a partner, or enables it again.
    pub async fn set_partner_disabled(&self, id: &str, disabled_at: Option<i64>) -> Result<()> {
        let done = sql!("UPDATE partners SET disabled_at = $2 WHERE id = $1", [id, disabled_at])
            .execute(&self.write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(crate::Error::NotFound);
        }
        let action = if disabled_at.is_some() { "partner.disable" } else { "partner.enable" };
        self.record("operator", action, id, "").await
    }
}

from_row!(Partner { id, name, organization_id, created_at, disabled_at });
