//! What the desk says about a partner's organisation, as last read. For support only.

use crate::sql::{from_row, sql, sql_as};
use crate::{Ledger, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationNotes {
    pub partner_id: String,
    pub organization_id: i64,
    pub notes: String,
    pub details: String,
    /// Custom fields, as a JSON object.
    pub fields: String,
    /// When the desk said so, ms.
    pub fetched_at: i64,
}

impl Ledger {
    pub async fn organization_notes(&self, partner_id: &str) -> Result<Option<OrganizationNotes>> {
        Ok(sql_as!("SELECT * FROM organization_notes WHERE partner_id = $1", [partner_id])
            .fetch_optional(&self.read)
            .await?)
    }

    pub async fn put_organization_notes(&self, notes: &OrganizationNotes) -> Result<()> {
        sql!(
            "INSERT INTO organization_notes (partner_id, organization_id, notes, details, fields, fetched_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (partner_id) DO UPDATE SET organization_id = excluded.organization_id, \
             notes = excluded.notes, details = excluded.details, fields = excluded.fields, fetched_at = excluded.fetched_at",
            [
                &notes.partner_id,
                notes.organization_id,
                &notes.notes,
                &notes.details,
                &notes.fields,
                notes.fetched_at
            ]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }
}

from_row!(OrganizationNotes { partner_id, organization_id, notes, details, fields, fetched_at });
