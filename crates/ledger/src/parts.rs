//! Parts: reserved before they are sent, committed in order after they are stored.
//! Invariant: the offset is the gap-free prefix of committed parts and the tail after them, and moves only under the epoch
//! that owns it.

use sqlx::Row as _;

use crate::links::link_lives;
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
    /// No attempt to send it runs after this, ms.
    pub deadline: i64,
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
        .bind(part.deadline)
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

    /// Moves the offset over a stored part: part and offset in one transaction.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours or the part is not the next one.
    pub async fn commit_part(&self, part: &PartCommit<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
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
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        // The part begins with whatever tail there was.
        sqlx::query("DELETE FROM tails WHERE upload_id = $1").bind(part.upload_id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
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
