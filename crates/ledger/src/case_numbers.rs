//! Which ticket a partner's own case number means.
//! Invariant: a case number is looked up only together with its partner.

use crate::sql::{sql, sql_scalar};
use crate::{Ledger, Result, now_ms};

impl Ledger {
    /// Records that a partner's case number stands on a ticket. Case does not matter.
    pub async fn saw_case_number(&self, partner_id: &str, case_number: &str, ticket: &str) -> Result<()> {
        sql!(
            "INSERT INTO case_numbers (partner_id, case_number, ticket, seen_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (partner_id, case_number, ticket) DO NOTHING",
            [partner_id, case_number.to_uppercase(), ticket, now_ms()]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// The tickets of a partner with this case number, the latest first, at most ten.
    pub async fn tickets_of_case(&self, partner_id: &str, case_number: &str) -> Result<Vec<String>> {
        Ok(sql_scalar!(
            "SELECT ticket FROM case_numbers WHERE partner_id = $1 AND case_number = $2 ORDER BY seen_at DESC, ticket DESC LIMIT 10",
            [partner_id, case_number.to_uppercase()]
        )
        .fetch_all(&self.read)
        .await?)
    }
}
