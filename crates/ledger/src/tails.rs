//! The tail of an unfinished upload: bytes after the last committed part, as small objects of their own.
//! Invariant: tails follow the committed parts without a gap, and the offset is the end of the last one; a part that is
//! committed replaces them in the same transaction.

use crate::quota::link_lives;
use crate::sql::{sql, sql_as};
use crate::timeout::Connection;
use crate::{Error, Ledger, Result, now_ms};

/// A stored piece of a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    pub offset: i64,
    pub size: i64,
    /// CRC-64/NVME, hex.
    pub crc64: String,
    pub key: String,
}

/// The next piece in order, which the bucket has stored.
#[derive(Debug, Clone)]
pub struct TailCommit<'a> {
    pub upload_id: &'a str,
    pub epoch: i64,
    pub tail: &'a Tail,
    /// Running SHA-256 after it.
    pub sha256_state: &'a str,
    /// Whether it replaces every earlier piece; otherwise it follows them.
    pub replaces: bool,
}

impl Ledger {
    /// Records, before a piece is stored, that the attempt may run until `until`, ms.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours.
    pub async fn tail_begun(&self, upload_id: &str, epoch: i64, until: i64) -> Result<()> {
        let done = sql!(
            "UPDATE uploads SET tails_written = tails_written + 1, \
             attempts_until = CASE WHEN attempts_until < $3 THEN $3 ELSE attempts_until END \
             WHERE id = $1 AND epoch = $2 AND state = 'open'",
            [upload_id, epoch, until]
        )
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 { Err(Error::Superseded) } else { Ok(()) }
    }

    /// The tail of an upload, in order.
    pub async fn tails(&self, upload_id: &str) -> Result<Vec<Tail>> {
        let rows: Vec<(i64, i64, String, String)> = sql_as!(
            "SELECT offset_bytes, size_bytes, crc64, object_key FROM tails WHERE upload_id = $1 ORDER BY offset_bytes",
            [upload_id]
        )
        .fetch_all(&self.read)
        .await?;
        let tail = |(offset, size, crc64, key)| Tail { offset, size, crc64, key };
        Ok(rows.into_iter().map(tail).collect())
    }
}

/// Returns false if the piece is not the next one, or its epoch is over.
pub(crate) async fn move_over_tail(tx: &mut Connection, commit: &TailCommit<'_>) -> Result<bool> {
    let TailCommit { upload_id, epoch, tail, sha256_state, replaces } = *commit;
    let moved = sql!(
        concat!(
            "UPDATE uploads SET offset_bytes = $4, sha256_state = $5, updated_at = $6 \
         WHERE id = $1 AND epoch = $2 AND state = 'open' AND offset_bytes <= $4 \
         AND CASE WHEN $7 = 1 THEN parts_bytes ELSE offset_bytes END = $3 AND ",
            link_lives!()
        ),
        [upload_id, epoch, tail.offset, tail.offset + tail.size, sha256_state, now_ms(), i64::from(replaces)]
    )
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    if replaces {
        sql!("DELETE FROM tails WHERE upload_id = $1", [upload_id]).execute(&mut *tx).await?;
    }
    sql!(
        "INSERT INTO tails (upload_id, offset_bytes, size_bytes, crc64, object_key) VALUES ($1, $2, $3, $4, $5)",
        [upload_id, tail.offset, tail.size, &tail.crc64, &tail.key]
    )
    .execute(&mut *tx)
    .await?;
    Ok(true)
}
