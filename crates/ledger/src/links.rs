//! What a link holds while its uploads are not complete, and the uploads that must stop because it was withdrawn.
//! Invariant: an announced length counts from when it is, an unannounced one as far as it is durable.

use sqlx::Row as _;

use crate::{Ledger, Result, Upload};

/// What the uploads of a link that are not complete hold, or may hold, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Uploads open.
    pub open: i64,
    /// Bytes: announced lengths as a whole, else what is durable.
    pub unfinished_bytes: i64,
}

/// A condition on a row of `uploads`: its link, or its partner, may still send. An expired link may finish what it began.
macro_rules! link_lives {
    () => {
        "NOT EXISTS (SELECT 1 FROM links JOIN partners ON partners.id = links.partner_id \
         WHERE links.id = uploads.link_id AND (links.revoked_at IS NOT NULL OR partners.disabled_at IS NOT NULL))"
    };
}
pub(crate) use link_lives;

impl Ledger {
    /// What the link holds now; without the upload `except`, where one is given.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn link_holds(&self, link_id: &str, except: Option<&str>) -> Result<Room> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'open' THEN 1 ELSE 0 END), 0) AS BIGINT) AS open_uploads, \
             CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) AS unfinished_bytes FROM uploads \
             WHERE link_id = $1 AND state IN ('open', 'completing') AND (CAST($2 AS TEXT) IS NULL OR id <> $2)",
        )
        .bind(link_id)
        .bind(except)
        .fetch_one(&self.read)
        .await?;
        Ok(Room { open: row.try_get("open_uploads")?, unfinished_bytes: row.try_get("unfinished_bytes")? })
    }

    /// Records the length of an open upload that had none, where its link's unfinished uploads hold at most `max` bytes with it.
    /// False when they would hold more.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn announce_length(&self, upload: &Upload, length: i64, max: i64) -> Result<bool> {
        // In turn: of two on one link, the later counts the earlier.
        let mut tx = self.begin_in_turn(&upload.link_id).await?;
        let done = sqlx::query(
            "UPDATE uploads SET length_bytes = COALESCE(length_bytes, $2) WHERE id = $1 \
             AND (SELECT CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads \
             WHERE link_id = $3 AND state IN ('open', 'completing') AND id <> $1) <= $4",
        )
        .bind(&upload.id)
        .bind(length)
        .bind(&upload.link_id)
        .bind(max.saturating_sub(length))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Open uploads whose link was revoked, or whose partner was disabled, since they began.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn withdrawn_uploads(&self) -> Result<Vec<String>> {
        let rows = sqlx::query(concat!(
            "SELECT id FROM uploads WHERE state = 'open' AND NOT ",
            link_lives!(),
            " ORDER BY id LIMIT 1000"
        ))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }
}
