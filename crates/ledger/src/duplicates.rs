//! Duplicates: uploads that were dropped because the file was sent before. Their senders may have lost the first answer.

use crate::sql::sql;
use crate::{Ledger, Result, Upload, audit, now_ms};

impl Ledger {
    /// Cancels an upload as a duplicate of `original`. Returns false when the upload no longer has this epoch, or `original` is
    /// no longer complete.
    pub async fn cancel_duplicate(&self, id: &str, epoch: i64, original: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE uploads SET state = 'cancelled', epoch = epoch + 1, updated_at = $3 \
             WHERE id = $1 AND epoch = $2 AND state IN ('open', 'completing') \
             AND EXISTS (SELECT 1 FROM uploads AS original WHERE original.id = $4 AND original.state = 'complete')",
            [id, epoch, now_ms(), original]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        sql!("INSERT INTO duplicates (upload_id, original_id) VALUES ($1, $2)", [id, original])
            .execute(&mut *tx)
            .await?;
        let why = format!("the same file as {original}");
        audit::write(&mut *tx, "gateway", "upload.cancel", id, &why).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The upload of which this one is a duplicate, if it is one.
    pub async fn original_of(&self, id: &str) -> Result<Option<Upload>> {
        let original = sqlx::query_as(
            "SELECT * FROM uploads WHERE id = (SELECT original_id FROM duplicates WHERE upload_id = $1)",
        );
        Ok(original.bind(id).fetch_optional(&self.read).await?)
    }
}
