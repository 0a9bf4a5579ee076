//! What the unfinished uploads of a link may hold, and which must stop because their link was revoked.
//! Invariant: an announced length counts in full from its announcement; without one, the durable bytes count.

use crate::sql::{sql, sql_as};
use crate::{Ledger, Result, Upload};

/// What the unfinished uploads of a link hold, or may hold, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Number of open uploads.
    pub open: i64,
    /// Announced lengths, or else durable bytes.
    pub unfinished_bytes: i64,
}

/// A condition on a row of `uploads`: neither its link is revoked nor its partner disabled. An expired link may finish what
/// it began.
macro_rules! link_lives {
    () => {
        "NOT EXISTS (SELECT 1 FROM links JOIN partners ON partners.id = links.partner_id \
         WHERE links.id = uploads.link_id AND (links.revoked_at IS NOT NULL OR partners.disabled_at IS NOT NULL))"
    };
}
pub(crate) use link_lives;

impl Ledger {
    /// What the link holds now, without the upload `except`.
    pub async fn link_holds(&self, link_id: &str, except: Option<&str>) -> Result<Room> {
        let (open, unfinished_bytes) = sql_as!(
            "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'open' THEN 1 ELSE 0 END), 0) AS BIGINT), \
             CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads \
             WHERE link_id = $1 AND state IN ('open', 'completing') AND (CAST($2 AS TEXT) IS NULL OR id <> $2)",
            [link_id, except]
        )
        .fetch_one(&self.read)
        .await?;
        Ok(Room { open, unfinished_bytes })
    }

    /// Records the length of an open upload that had none. Returns false, and records nothing, if the unfinished uploads of its
    /// link would then hold more than `max` bytes.
    pub async fn announce_length(&self, upload: &Upload, length: i64, max: i64) -> Result<bool> {
        // In turn: of two uploads on one link, the later counts the earlier.
        let mut tx = self.begin_in_turn(&upload.link_id).await?;
        let done = sql!(
            "UPDATE uploads SET length_bytes = COALESCE(length_bytes, $2) WHERE id = $1 \
             AND (SELECT CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads \
             WHERE link_id = $3 AND state IN ('open', 'completing') AND id <> $1) <= $4",
            [&upload.id, length, &upload.link_id, max.saturating_sub(length)]
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// IDs of open uploads whose link was revoked or whose partner was disabled.
    pub async fn withdrawn_uploads(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT id FROM uploads WHERE state = 'open' AND NOT ",
            link_lives!(),
            " ORDER BY id LIMIT 1000"
        ))
        .fetch_all(&self.read)
        .await?)
    }
}
