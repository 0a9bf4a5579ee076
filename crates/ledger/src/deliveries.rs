//! What the jobs of an upload record about it.

use crate::sql::sql;
use crate::{Delivery, Destination, JobKind, Ledger, Result, jobs, now_ms};

impl Ledger {
    /// Records the outcome of an upload's delivery, ends its job, and queues a receipt that shows the outcome.
    pub async fn delivered(
        &self,
        upload_id: &str,
        delivery: Delivery,
        destination: Destination,
        detail: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sql!(
            "UPDATE uploads SET delivery = $2, destination = $3, delivery_detail = $4, desk_token = NULL, \
             desk_token_until = NULL, updated_at = $5 WHERE id = $1 AND state = 'complete'",
            [upload_id, delivery.name(), destination.name(), detail, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        sql!("DELETE FROM jobs WHERE kind = 'deliver' AND upload_id = $1", [upload_id])
            .execute(&mut *tx)
            .await?;
        if delivery == Delivery::Done {
            sql!("UPDATE asks SET arrival_told = 1 WHERE upload_id = $1", [upload_id])
                .execute(&mut *tx)
                .await?;
        }
        jobs::queue(&mut tx, JobKind::Receipt, upload_id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records, before a receipt is written, that the attempt may run until `until`, ms; a sweep looks again after that.
    /// Returns false when the upload is not complete, and no receipt may be written.
    pub async fn attempt_receipt(&self, upload_id: &str, until: i64) -> Result<bool> {
        let done = sql!(
            "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $2 THEN $2 ELSE attempts_until END \
             WHERE id = $1 AND state = 'complete'",
            [upload_id, until]
        )
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps the desk's token for an attachment that is in no comment yet, with its expiry, ms; or deletes it.
    pub async fn set_desk_token(&self, upload_id: &str, token: Option<(&str, i64)>) -> Result<()> {
        sql!(
            "UPDATE uploads SET desk_token = $2, desk_token_until = $3 WHERE id = $1",
            [upload_id, token.map(|(token, _)| token), token.map(|(_, until)| until)]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
