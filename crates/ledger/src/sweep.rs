//! What ended uploads left in a bucket, and which unfinished ones have had their time.
//! Invariant: an upload counts as swept only when nothing of it can come after that.

use sqlx::Row as _;

use crate::uploads::upload;
use crate::{Ledger, Result, State, Upload, now_ms};

impl Ledger {
    /// Uploads whose leftovers have not been cleared for certain, oldest first: cancelled and removed ones, and complete
    /// ones of which a piece of a tail may still lie about.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn unswept(&self, after: &str, limit: i64) -> Result<Vec<Upload>> {
        // The second line is that of the index `uploads_unswept`, to the letter.
        let rows = sqlx::query(
            "SELECT * FROM uploads WHERE \
             swept_at IS NULL AND (state = 'cancelled' OR state = 'removed' OR tails_written > 0) \
             AND state <> 'open' AND state <> 'completing' AND id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(upload).collect()
    }

    /// Records that nothing of the upload is left, and forgets its parts; not if it is in another state by now, in which more
    /// of it has to go.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn swept(&self, id: &str, state: State) -> Result<()> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("UPDATE uploads SET swept_at = $2 WHERE id = $1 AND state = $3")
            .bind(id)
            .bind(now_ms())
            .bind(state.name())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() > 0 {
            sqlx::query("DELETE FROM parts WHERE upload_id = $1").bind(id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// How many cancelled and removed uploads could not be cleared since `before`, ms, and their bytes: for metrics.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn unswept_counts(&self, before: i64) -> Result<(i64, i64)> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS uploads, CAST(COALESCE(SUM(offset_bytes), 0) AS BIGINT) AS bytes FROM uploads WHERE \
             swept_at IS NULL AND (state = 'cancelled' OR state = 'removed' OR tails_written > 0) \
             AND (state = 'cancelled' OR state = 'removed') AND updated_at <= $1",
        )
        .bind(before)
        .fetch_one(&self.read)
        .await?;
        Ok((row.try_get("uploads")?, row.try_get("bytes")?))
    }

    /// Ids of unfinished uploads begun at or before this time, ms, that may be resumed no longer.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn overdue(&self, begun_before: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM uploads WHERE state = 'open' AND resumable = 1 AND created_at <= $1 ORDER BY id LIMIT 1000",
        )
        .bind(begun_before)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }
}
