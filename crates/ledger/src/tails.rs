//! The tail of an unfinished upload: bytes after the last committed part, as small objects of their own.
//! Invariant: tails follow the committed parts without a gap, and the offset is the end of the last one; a part that is
//! committed takes their place in the same transaction.

use sqlx::Row as _;

use crate::bounded::Connection;
use crate::links::link_lives;
use crate::{Error, Ledger, Result, now_ms};

/// One piece of a tail that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Its first byte in the file.
    pub offset: i64,
    /// Bytes.
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: String,
    /// Where it lies.
    pub key: String,
}

/// A piece that the bucket has stored, next in order.
#[derive(Debug, Clone)]
pub struct TailCommit<'a> {
    /// Upload.
    pub upload_id: &'a str,
    /// Epoch that stored it.
    pub epoch: i64,
    /// The piece.
    pub tail: &'a Tail,
    /// Running SHA-256 after it.
    pub sha256_state: &'a str,
    /// Whether it takes the place of every piece that is there; else it comes after them.
    pub replaces: bool,
}

impl Ledger {
    /// Says that a piece is about to be stored, by an attempt that may run until then, ms.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn tail_begun(&self, upload_id: &str, epoch: i64, until: i64) -> Result<()> {
        let done = sqlx::query(
            "UPDATE uploads SET tails_written = tails_written + 1, \
             attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END \
             WHERE id = $1 AND epoch = $2 AND state = 'open'",
        )
        .bind(upload_id)
        .bind(epoch)
        .bind(until)
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// The tail of an upload, in order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn tails(&self, upload_id: &str) -> Result<Vec<Tail>> {
        let rows = sqlx::query(
            "SELECT offset_bytes, size_bytes, crc64, object_key FROM tails WHERE upload_id = $1 ORDER BY offset_bytes",
        )
        .bind(upload_id)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Tail {
                    offset: row.try_get("offset_bytes")?,
                    size: row.try_get("size_bytes")?,
                    crc64: row.try_get("crc64")?,
                    key: row.try_get("object_key")?,
                })
            })
            .collect()
    }

    /// Says that nothing of this epoch's reservations that were not committed is on its way after `until`, ms; 0 where
    /// nothing is any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn release_reservations(&self, upload_id: &str, epoch: i64, until: i64) -> Result<()> {
        sqlx::query(
            "UPDATE parts SET deadline = $3 WHERE upload_id = $1 AND epoch = $2 AND etag IS NULL AND deadline > $3",
        )
            .bind(upload_id)
            .bind(epoch)
            .bind(until)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

/// Says whether the piece fitted, under its epoch.
pub(crate) async fn move_over_tail(tx: &mut Connection, commit: &TailCommit<'_>) -> Result<bool> {
    let TailCommit { upload_id, epoch, tail, sha256_state, replaces } = *commit;
    let moved = sqlx::query(concat!(
        "UPDATE uploads SET offset_bytes = $4, sha256_state = $5, updated_at = $6 \
         WHERE id = $1 AND epoch = $2 AND state = 'open' AND offset_bytes <= $4 \
         AND CASE WHEN $7 = 1 THEN parts_bytes ELSE offset_bytes END = $3 AND ",
        link_lives!()
    ))
    .bind(upload_id)
    .bind(epoch)
    .bind(tail.offset)
    .bind(tail.offset + tail.size)
    .bind(sha256_state)
    .bind(now_ms())
    .bind(i64::from(replaces))
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    if replaces {
        sqlx::query("DELETE FROM tails WHERE upload_id = $1").bind(upload_id).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO tails (upload_id, offset_bytes, size_bytes, crc64, object_key) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(upload_id)
    .bind(tail.offset)
    .bind(tail.size)
    .bind(&tail.crc64)
    .bind(&tail.key)
    .execute(&mut *tx)
    .await?;
    Ok(true)
}
