//! Parts: reserved before they are sent, committed in order after they are stored.
//! Invariant: the offset is the gap-free prefix of committed parts and the tail after them, and moves only under the epoch
//! that owns it.

use crate::quota::link_lives;
use crate::sql::{sql, sql_as};
use crate::tails::{TailCommit, move_over_tail};
use crate::timeout::Connection;
use crate::{Error, Ledger, Result, now_ms};

/// A stored part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1, without gaps.
    pub number: i64,
    pub offset: i64,
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: String,
    pub etag: String,
}

/// A part number about to be sent.
#[derive(Debug, Clone)]
pub struct Reservation<'a> {
    pub upload_id: &'a str,
    pub epoch: i64,
    pub number: i64,
    pub offset: i64,
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: &'a str,
    /// No attempt to send it runs after this, unless [`Ledger::heartbeat`] moves it, ms.
    pub deadline: i64,
    /// No attempt of any kind on the bucket runs after this, ms.
    pub attempts_until: i64,
}

/// The next part in order, which the bucket has stored.
#[derive(Debug, Clone)]
pub struct PartCommit<'a> {
    pub upload_id: &'a str,
    pub epoch: i64,
    pub number: i64,
    /// Must be the end of the committed parts.
    pub offset: i64,
    pub size: i64,
    pub etag: &'a str,
    /// Running SHA-256 after it.
    pub sha256_state: &'a str,
    /// CRC-64/NVME of the file up to the end of this part, hex.
    pub crc64_prefix: &'a str,
}

/// Where the part numbers of an upload continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Number of the last committed part; 0 before the first.
    pub last: i64,
    /// Until when, ms, a writer of another epoch may still have a later part in flight; a past time if none.
    pub doubtful_until: i64,
}

impl Ledger {
    /// Reserves a part number, with the deadline of the attempt, before it is sent.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, the part is already stored, the link was revoked, or its
    /// partner was disabled.
    pub async fn reserve_part(&self, part: &Reservation<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
        let ours = sql!(
            concat!(
                "UPDATE uploads SET attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END, \
                 updated_at = $4 WHERE id = $1 AND epoch = $2 AND state = 'open' AND ",
                link_lives!()
            ),
            [part.upload_id, part.epoch, part.attempts_until, now_ms()]
        )
        .execute(&mut *tx)
        .await?;
        if ours.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        let reserved = sql!(
            "INSERT INTO parts (upload_id, number, epoch, offset_bytes, size_bytes, crc64, etag, deadline) \
             VALUES ($1, $2, $3, $4, $5, $6, NULL, $7) ON CONFLICT (upload_id, number) DO UPDATE SET \
             epoch = excluded.epoch, offset_bytes = excluded.offset_bytes, size_bytes = excluded.size_bytes, \
             crc64 = excluded.crc64, etag = NULL, deadline = excluded.deadline WHERE parts.etag IS NULL",
            [part.upload_id, part.number, part.epoch, part.offset, part.size, part.crc64, part.deadline]
        )
        .execute(&mut *tx)
        .await?;
        if reserved.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Moves the offset over parts in order and the pieces of a tail after them, all in one transaction.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, or a part or piece is not the next one.
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

    /// Records that no uncommitted part of this epoch is in flight after `until`, ms; 0 when none is in flight now.
    pub async fn release_reservations(&self, upload_id: &str, epoch: i64, until: i64) -> Result<()> {
        sql!(
            "UPDATE parts SET deadline = $3 WHERE upload_id = $1 AND epoch = $2 AND etag IS NULL AND deadline > $3",
            [upload_id, epoch, until]
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Records that somebody works on an open or completing upload, and that its parts in flight may be so until
    /// `parts_until`, ms. Returns whether the upload still has this epoch.
    pub async fn heartbeat(&self, id: &str, epoch: i64, parts_until: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sql!(
            "UPDATE uploads SET updated_at = $2 WHERE id = $1 AND epoch = $3 AND state IN ('open', 'completing')",
            [id, now_ms(), epoch]
        )
        .execute(&mut *tx)
        .await?;
        // If the upload has been taken over, the next writer waits no longer than it was told.
        if done.rows_affected() > 0 {
            sql!(
                "UPDATE parts SET deadline = $3 WHERE upload_id = $1 AND epoch = $2 AND etag IS NULL \
                 AND deadline > 0 AND deadline < $3",
                [id, epoch, parts_until]
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The part numbers of an upload, for a writer of this epoch.
    pub async fn numbers(&self, upload_id: &str, epoch: i64) -> Result<Numbers> {
        // Only later parts are read: an upload may have thousands of parts and appends.
        let (last, doubtful_until) = sql_as!(
            "SELECT last.number, (SELECT COALESCE(MAX(deadline), 0) FROM parts WHERE upload_id = $1 \
             AND number > last.number AND epoch <> $2 AND etag IS NULL) AS until \
             FROM (SELECT COALESCE((SELECT number FROM parts WHERE upload_id = $1 AND etag IS NOT NULL \
             ORDER BY number DESC LIMIT 1), 0) AS number) AS last",
            [upload_id, epoch]
        )
        .fetch_one(&self.read)
        .await?;
        Ok(Numbers { last, doubtful_until })
    }

    /// The committed parts of an upload, in order.
    pub async fn parts(&self, upload_id: &str) -> Result<Vec<Part>> {
        let rows: Vec<(i64, i64, i64, String, String)> = sql_as!(
            "SELECT number, offset_bytes, size_bytes, crc64, etag FROM parts \
             WHERE upload_id = $1 AND etag IS NOT NULL ORDER BY number",
            [upload_id]
        )
        .fetch_all(&self.read)
        .await?;
        let part = |(number, offset, size, crc64, etag)| Part { number, offset, size, crc64, etag };
        Ok(rows.into_iter().map(part).collect())
    }
}

/// Returns false if the part is not the next one, or its epoch is over.
async fn move_over_part(tx: &mut Connection, part: &PartCommit<'_>) -> Result<bool> {
    let moved = sql!(
        "UPDATE uploads SET offset_bytes = parts_bytes + $4, parts_bytes = parts_bytes + $4, sha256_state = $5, \
         crc64 = $6, updated_at = $7 \
         WHERE id = $1 AND epoch = $2 AND state = 'open' AND parts_bytes = $3 AND offset_bytes <= parts_bytes + $4",
        [part.upload_id, part.epoch, part.offset, part.size, part.sha256_state, part.crc64_prefix, now_ms()]
    )
    .execute(&mut *tx)
    .await?;
    let stored = sql!(
        "UPDATE parts SET etag = $4 WHERE upload_id = $1 AND number = $2 AND epoch = $3 AND etag IS NULL",
        [part.upload_id, part.number, part.epoch, part.etag]
    )
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() != 1 || stored.rows_affected() != 1 {
        return Ok(false);
    }
    // The part begins with the bytes of the tail.
    sql!("DELETE FROM tails WHERE upload_id = $1", [part.upload_id]).execute(&mut *tx).await?;
    Ok(true)
}
