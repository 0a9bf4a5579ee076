//! Uploads: created, taken over by appends, cancelled, removed.
//! Invariant: an offset only grows, and only under the epoch that holds the upload; `complete` is final.

use sqlx::{FromRow as _, Row as _};

use crate::sql::{sql, sql_as};
use crate::{Error, Ledger, Result, Room, Upload, asks, audit, holds, now_ms};

/// The fields of a new [`Upload`].
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// From [`crate::new_id`].
    pub id: String,
    pub link_id: String,
    pub partner_id: String,
    pub ticket: String,
    pub name: String,
    pub content_type: String,
    pub bucket: String,
    pub object_key: String,
    /// Size of the file, where known.
    pub length: Option<i64>,
    pub resumable: bool,
    pub begins_with_body: bool,
    pub announced: String,
    pub tus_metadata: Option<String>,
    pub ask: Option<String>,
}

/// The start of an append.
#[derive(Debug, Clone)]
pub struct Appending {
    pub epoch: i64,
    pub upload: Upload,
    /// Running SHA-256 at the offset; none at 0.
    pub sha256_state: Option<String>,
}

impl Ledger {
    /// Records a new upload before anything of it exists in a bucket.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the link has no room for it.
    pub async fn create_upload(&self, new: &NewUpload, room: Room) -> Result<()> {
        let now = now_ms();
        // An upload of unknown length needs room for one byte.
        let others_max = room.unfinished_bytes.saturating_sub(new.length.unwrap_or(1));
        // In turn: of two uploads on one link, the later counts the earlier.
        let mut tx = self.begin_in_turn(&new.link_id).await?;
        let done = sql!(
            "INSERT INTO uploads (id, link_id, partner_id, ticket, name, content_type, bucket, object_key, state, \
             epoch, offset_bytes, length_bytes, checked, created_at, updated_at, attempts_until, resumable, announced, \
             tus_metadata, begins_with_body, ask) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'open', 0, 0, $9, '', $10, $10, $10, $13, $14, $15, $16, $17 \
             WHERE (SELECT COUNT(*) FROM uploads WHERE link_id = $2 AND state = 'open') < $11 \
             AND (SELECT CAST(COALESCE(SUM(COALESCE(length_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads \
             WHERE link_id = $2 AND state IN ('open', 'completing')) <= $12",
            [
                &new.id, &new.link_id, &new.partner_id, &new.ticket, &new.name, &new.content_type,
                &new.bucket, &new.object_key, new.length, now, room.open, others_max,
                i64::from(new.resumable), &new.announced, &new.tus_metadata, i64::from(new.begins_with_body),
                &new.ask,
            ]
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    pub async fn upload(&self, id: &str) -> Result<Upload> {
        Ok(sql_as!("SELECT * FROM uploads WHERE id = $1", [id]).fetch_one(&self.read).await?)
    }

    /// Takes over the upload at `offset`, or further on if an older writer has moved it since. Increments its epoch, so that
    /// every older writer is refused from now on, and records its length if that was unknown.
    ///
    /// # Errors
    /// [`Error::Superseded`] when it is not open, or has not reached that offset.
    pub async fn begin_append(&self, id: &str, offset: i64, length: Option<i64>) -> Result<Appending> {
        let row = sql!(
            "UPDATE uploads SET epoch = epoch + 1, updated_at = $3, length_bytes = COALESCE(length_bytes, $4) \
             WHERE id = $1 AND state = 'open' AND offset_bytes >= $2 RETURNING *",
            [id, offset, now_ms(), length]
        )
        .fetch_optional(&self.write)
        .await?
        .ok_or(Error::Superseded)?;
        let upload = Upload::from_row(&row)?;
        Ok(Appending { epoch: upload.epoch, upload, sha256_state: row.try_get("sha256_state")? })
    }

    /// Records the multipart upload that holds the parts.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn set_multipart(&self, id: &str, epoch: i64, multipart_id: &str) -> Result<()> {
        let done = sql!(
            "UPDATE uploads SET multipart_id = $3, updated_at = $4 WHERE id = $1 AND epoch = $2 AND state = 'open'",
            [id, epoch, multipart_id, now_ms()]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// Records, before an attempt on the bucket, that it may run until `until`, ms.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn extend_attempts(&self, id: &str, epoch: i64, until: i64) -> Result<()> {
        let done = sql!(
            "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END \
             WHERE id = $1 AND epoch = $2 AND state IN ('open', 'completing')",
            [id, epoch, until]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// Cancels an upload that is open or completing; with an epoch, only if the upload still has it. What it left in a bucket
    /// waits for [`Ledger::unswept`]. Returns whether it was cancelled.
    pub async fn cancel(&self, id: &str, epoch: Option<i64>, actor: &str, why: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE uploads SET state = 'cancelled', epoch = epoch + 1, updated_at = $3 \
             WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR epoch = $2) AND state IN ('open', 'completing')",
            [id, epoch, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        audit::write(&mut *tx, actor, "upload.cancel", id, why).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a complete upload from every listing; its object waits for [`Ledger::unswept`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not complete; [`Error::Conflict`] when its ticket has a hold.
    pub async fn remove(&self, id: &str, actor: &str) -> Result<()> {
        let ticket = self.upload(id).await?.ticket;
        let mut tx = self.begin_in_turn(&holds::turn(&ticket)).await?;
        if holds::is_held(&mut tx, &ticket).await? {
            tx.rollback().await?;
            return Err(Error::Conflict(format!("ticket {ticket} has a hold")));
        }
        let done = sql!(
            "UPDATE uploads SET state = 'removed', swept_at = NULL, expires_at = NULL, updated_at = $2 \
             WHERE id = $1 AND state = 'complete'",
            [id, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::NotFound);
        }
        sql!("DELETE FROM originals WHERE upload_id = $1", [id]).execute(&mut *tx).await?;
        sql!("DELETE FROM jobs WHERE upload_id = $1", [id]).execute(&mut *tx).await?;
        asks::missing_again(&mut tx, id).await?;
        audit::write(&mut *tx, actor, "upload.remove", id, "").await?;
        tx.commit().await?;
        Ok(())
    }
}
