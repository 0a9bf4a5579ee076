//! Parts: reserved before they are sent, committed in order after they are stored.
//! Invariant: the offset is the gap-free prefix of committed parts and the tail after them, and moves only under the epoch
//! that owns it.

use sqlx::Row as _;

use crate::bounded::Connection;
use crate::links::link_lives;
use crate::tails::{TailCommit, move_over_tail};
use crate::{Error, Ledger, Result, now_ms};

/// A part that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1, without gaps.
    pub number: i64,
    /// Its first byte in the file.
    pub offset: i64,
    /// Bytes.
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: String,
    /// The bucket's tag for it.
    pub etag: String,
}

/// A part number about to be sent.
#[derive(Debug, Clone)]
pub struct Reservation<'a> {
    /// Upload.
    pub upload_id: &'a str,
    /// Epoch that sends it.
    pub epoch: i64,
    /// Part number.
    pub number: i64,
    /// Its first byte in the file.
    pub offset: i64,
    /// Bytes.
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: &'a str,
    /// No attempt to send it runs after this, unless [`Ledger::keep_upload`] moves it, ms.
    pub deadline: i64,
    /// No attempt of any kind on the bucket runs after this, ms.
    pub attempts_until: i64,
}

/// A part that the bucket has stored, next in order.
#[derive(Debug, Clone)]
pub struct PartCommit<'a> {
    /// Upload.
    pub upload_id: &'a str,
    /// Epoch that sent it.
    pub epoch: i64,
    /// Part number.
    pub number: i64,
    /// Its first byte, which must be the end of the parts before.
    pub offset: i64,
    /// Bytes.
    pub size: i64,
    /// The bucket's tag for it.
    pub etag: &'a str,
    /// Running SHA-256 after it.
    pub sha256_state: &'a str,
    /// CRC-64/NVME of the file up to its end, hex.
    pub crc64_prefix: &'a str,
}

/// How far the parts of an upload have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Number of the last committed part; 0 before the first.
    pub last: i64,
    /// Until when, ms, a writer of another epoch may still have a later part on its way; a time past if none.
    pub doubtful_until: i64,
}

impl Ledger {
    /// Reserves a part number, with the deadline of the attempt, before it is sent.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, the part is stored already, or the link was
    /// revoked or its partner disabled.
    pub async fn reserve_part(&self, part: &Reservation<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
        let ours = sqlx::query(concat!(
            "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END, \
             updated_at = $4 WHERE id = $1 AND epoch = $2 AND state = 'open' AND ",
            link_lives!()
        ))
        .bind(part.upload_id)
        .bind(part.epoch)
        .bind(part.attempts_until)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        if ours.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        let reserved = sqlx::query(
            "INSERT INTO parts (upload_id, number, epoch, offset_bytes, size_bytes, crc64, etag, deadline) \
             VALUES ($1, $2, $3, $4, $5, $6, NULL, $7) ON CONFLICT (upload_id, number) DO UPDATE SET \
             epoch = excluded.epoch, offset_bytes = excluded.offset_bytes, size_bytes = excluded.size_bytes, \
             crc64 = excluded.crc64, etag = NULL, deadline = excluded.deadline WHERE parts.etag IS NULL",
        )
        .bind(part.upload_id)
        .bind(part.number)
        .bind(part.epoch)
        .bind(part.offset)
        .bind(part.size)
        .bind(part.crc64)
        .bind(part.deadline)
        .execute(&mut *tx)
        .await?;
        if reserved.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Moves the offset over what is stored next, parts in order and pieces of a tail after them: all of it in one
    /// transaction, or nothing.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, or something is not what comes next.
    pub async fn commit(&self, parts: &[PartCommit<'_>], tails: &[TailCommit<'_>]) -> Result<()> {
        let mut tx = self.begin().await?;
        for part in parts {
            if !move_over_part(&mut tx, part).await? {
                tx.rollback().await?;
                return Err(Error::Superseded);
            }
        }
        for tail in tails {
            if !move_over_tail(&mut tx, tail).await? {
                tx.rollback().await?;
                return Err(Error::Superseded);
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Where the numbers of an upload's parts go on, for a writer of this epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn numbers(&self, upload_id: &str, epoch: i64) -> Result<Numbers> {
        // Only what comes after the last one is looked at: an upload may have thousands of parts and of appends.
        let row = sqlx::query(
            "SELECT last.number, (SELECT COALESCE(MAX(deadline), 0) FROM parts WHERE upload_id = $1 \
             AND number > last.number AND epoch <> $2 AND etag IS NULL) AS until \
             FROM (SELECT COALESCE((SELECT number FROM parts WHERE upload_id = $1 AND etag IS NOT NULL \
             ORDER BY number DESC LIMIT 1), 0) AS number) AS last",
        )
        .bind(upload_id)
        .bind(epoch)
        .fetch_one(&self.read)
        .await?;
        Ok(Numbers { last: row.try_get("number")?, doubtful_until: row.try_get("until")? })
    }

    /// The committed parts of an upload, in order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn parts(&self, upload_id: &str) -> Result<Vec<Part>> {
        let rows = sqlx::query(
            "SELECT number, offset_bytes, size_bytes, crc64, etag FROM parts \
             WHERE upload_id = $1 AND etag IS NOT NULL ORDER BY number",
        )
        .bind(upload_id)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Part {
                    number: row.try_get("number")?,
                    offset: row.try_get("offset_bytes")?,
                    size: row.try_get("size_bytes")?,
                    crc64: row.try_get("crc64")?,
                    etag: row.try_get("etag")?,
                })
            })
            .collect()
    }
}

/// Part and offset together; says whether it was the next one, under its epoch.
async fn move_over_part(tx: &mut Connection, part: &PartCommit<'_>) -> Result<bool> {
    let moved = sqlx::query(
        "UPDATE uploads SET offset_bytes = parts_bytes + $4, parts_bytes = parts_bytes + $4, sha256_state = $5, \
         crc64 = $6, updated_at = $7 \
         WHERE id = $1 AND epoch = $2 AND state = 'open' AND parts_bytes = $3 AND offset_bytes <= parts_bytes + $4",
    )
    .bind(part.upload_id)
    .bind(part.epoch)
    .bind(part.offset)
    .bind(part.size)
    .bind(part.sha256_state)
    .bind(part.crc64_prefix)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    let stored = sqlx::query(
        "UPDATE parts SET etag = $4 WHERE upload_id = $1 AND number = $2 AND epoch = $3 AND etag IS NULL",
    )
    .bind(part.upload_id)
    .bind(part.number)
    .bind(part.epoch)
    .bind(part.etag)
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() != 1 || stored.rows_affected() != 1 {
        return Ok(false);
    }
    // The part begins with whatever tail there was.
    sqlx::query("DELETE FROM tails WHERE upload_id = $1").bind(part.upload_id).execute(&mut *tx).await?;
    Ok(true)
}
