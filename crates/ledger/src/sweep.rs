//! What a sweep looks for: abandoned uploads, and ended ones that may have left something in a bucket.
//! Invariant: an upload counts as swept only when nothing of it can arrive in the bucket any more.

use crate::sql::{sql, sql_as, sql_scalar};
use crate::{Ledger, Result, State, Upload, audit, now_ms};

impl Ledger {
    /// Uploads that may have something left in a bucket, oldest first: cancelled and removed ones, and complete ones with
    /// pieces of a tail.
    pub async fn unswept(&self, after: &str, limit: i64) -> Result<Vec<Upload>> {
        // The second line must equal the condition of the index `uploads_unswept`.
        Ok(sql_as!(
            "SELECT * FROM uploads WHERE \
             swept_at IS NULL AND (state = 'cancelled' OR state = 'removed' OR tails_written > 0) \
             AND state <> 'open' AND state <> 'completing' AND id > $1 ORDER BY id LIMIT $2",
            [after, limit]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Records that nothing of the upload is left, and deletes its parts; unless it has left `state`, and more has to go. `proof`
    /// goes into the audit.
    pub async fn swept(&self, id: &str, state: State, proof: Option<&str>) -> Result<()> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE uploads SET swept_at = $2 WHERE id = $1 AND state = $3 AND swept_at IS NULL",
            [id, now_ms(), state.name()]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() > 0 {
            sql!("DELETE FROM parts WHERE upload_id = $1", [id]).execute(&mut *tx).await?;
            if let Some(proof) = proof {
                audit::write(&mut *tx, "gateway", "upload.delete", id, proof).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Number and bytes of cancelled and removed uploads that have not been cleared since `before`, ms: for metrics.
    pub async fn unswept_counts(&self, before: i64) -> Result<(i64, i64)> {
        let counts = sql_as!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(offset_bytes), 0) AS BIGINT) FROM uploads WHERE \
             swept_at IS NULL AND (state = 'cancelled' OR state = 'removed' OR tails_written > 0) \
             AND (state = 'cancelled' OR state = 'removed') AND updated_at <= $1",
            [before]
        )
        .fetch_one(&self.read)
        .await?;
        Ok(counts)
    }

    /// IDs of open uploads begun at or before this time, ms, whose resume window is over.
    pub async fn overdue(&self, begun_before: i64) -> Result<Vec<String>> {
        Ok(sql_scalar!(
            "SELECT id FROM uploads WHERE state = 'open' AND resumable = 1 AND created_at <= $1 ORDER BY id LIMIT 1000",
            [begun_before]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Open uploads without progress since `before`, ms, that nobody will resume, oldest first: those that cannot be resumed
    /// or whose resume window is over (begun at or before `begun_before`, ms), those whose address no sender knows, and those
    /// whose last byte has arrived.
    pub async fn abandoned_uploads(&self, before: i64, begun_before: i64) -> Result<Vec<Upload>> {
        Ok(sql_as!(
            "SELECT * FROM uploads WHERE state = 'open' AND updated_at <= $1 AND (resumable = 0 OR created_at <= $2 \
             OR (begins_with_body = 1 AND epoch <= 1 AND offset_bytes = 0) \
             OR (offset_bytes > 0 AND offset_bytes = length_bytes)) ORDER BY id LIMIT 1000",
            [before, begun_before]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Uploads in `state` without progress since `before`, ms, oldest first.
    pub async fn idle_uploads(&self, state: State, before: i64) -> Result<Vec<Upload>> {
        Ok(sql_as!(
            "SELECT * FROM uploads WHERE state = $1 AND updated_at <= $2 ORDER BY id LIMIT 1000",
            [state.name(), before]
        )
        .fetch_all(&self.read)
        .await?)
    }
}
