//! The end of an upload: whether it is the first of its kind, and what is queued once it rests.
//! Invariant: of equal files one is the original; `complete` is final, and its jobs are queued in the same transaction.

use sqlx::Row as _;

use crate::links::link_lives;
use crate::uploads::upload;
use crate::{
    Destination, Error, JobKind, Ledger, Result, Side, State, audit, digests, hash_token, new_id, now_ms,
};

/// A file that ends with the link, ticket, name and SHA-256 of one within this time, ms, is that one, sent again.
pub const SAME_FILE_MS: i64 = 24 * 60 * 60 * 1000;

/// What identifies link, ticket, name and SHA-256 (hex) together.
pub fn dedupe_key(link_id: &str, ticket: &str, name: &str, sha256: &str) -> String {
    hash_token(&[link_id, ticket, name, sha256].join("\n"))
}

/// What is known when the last byte has arrived.
#[derive(Debug, Clone)]
pub struct Completing<'a> {
    /// Upload.
    pub id: &'a str,
    /// Epoch of the append that ends it.
    pub epoch: i64,
    /// Bytes in all.
    pub size: i64,
    /// SHA-256, hex.
    pub sha256: &'a str,
    /// MD5, hex, where somebody asked for it.
    pub md5: Option<&'a str>,
    /// CRC-64/NVME of the whole, hex.
    pub crc64: &'a str,
    /// Where it belongs.
    pub destination: Destination,
    /// Client digests that were compared.
    pub checked: &'a [&'a str],
    /// Identifies link, ticket, name and SHA-256 together.
    pub dedupe_key: &'a str,
    /// A claim on `dedupe_key` before this time no longer counts, ms.
    pub claims_since: i64,
    /// No attempt to publish runs after this, ms.
    pub attempts_until: i64,
}

/// Whether an upload that ends is the first of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    /// It is: publish it.
    Ours,
    /// This upload was there before.
    Other(String),
}

/// What `complete` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It is complete now; its jobs are queued.
    Now,
    /// It was complete already.
    Before,
    /// Nothing changed: a file that it speaks of as a side file has come since it was read. Compare the two, then say again
    /// that it is complete.
    Overtaken,
}

impl Ledger {
    /// Records that every byte has arrived, with its digest, and whether the file is the first of its kind.
    /// With [`Original::Other`] nothing changes: the caller drops its copy.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, or the link was revoked or its partner
    /// disabled.
    pub async fn begin_completing(&self, end: &Completing<'_>) -> Result<Original> {
        let now = now_ms();
        // In turn: whoever claims next sees not only the claim but also the state of its upload.
        let mut tx = self.begin_in_turn(end.dedupe_key).await?;
        let original: String = sqlx::query(
            "INSERT INTO originals (dedupe_key, upload_id, claimed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (dedupe_key) DO UPDATE SET \
               upload_id = CASE WHEN originals.claimed_at < $4 OR NOT EXISTS (SELECT 1 FROM uploads \
                 WHERE uploads.id = originals.upload_id AND uploads.state IN ('completing', 'complete')) \
                 THEN excluded.upload_id ELSE originals.upload_id END, \
               claimed_at = CASE WHEN originals.claimed_at < $4 OR NOT EXISTS (SELECT 1 FROM uploads \
                 WHERE uploads.id = originals.upload_id AND uploads.state IN ('completing', 'complete')) \
                 THEN excluded.claimed_at ELSE originals.claimed_at END \
             RETURNING upload_id",
        )
        .bind(end.dedupe_key)
        .bind(end.id)
        .bind(now)
        .bind(end.claims_since)
        .fetch_one(&mut *tx)
        .await?
        .try_get("upload_id")?;
        if original != end.id {
            tx.rollback().await?;
            return Ok(Original::Other(original));
        }
        let done = sqlx::query(concat!(
            "UPDATE uploads SET state = 'completing', length_bytes = $3, sha256 = $4, crc64 = $5, destination = $6, \
             checked = $7, dedupe_key = $8, updated_at = $9, \
             attempts_until = CASE WHEN attempts_until < $10 THEN $10 ELSE attempts_until END, md5 = $11 \
             WHERE id = $1 AND epoch = $2 AND state = 'open' AND ",
            link_lives!()
        ))
        .bind(end.id)
        .bind(end.epoch)
        .bind(end.size)
        .bind(end.sha256)
        .bind(end.crc64)
        .bind(end.destination.name())
        .bind(end.checked.join(","))
        .bind(end.dedupe_key)
        .bind(now)
        .bind(end.attempts_until)
        .bind(end.md5)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        Ok(Original::Ours)
    }

    /// Takes back that every byte has arrived: its last bytes, which were never durable, could not be stored, and its sender
    /// goes on from the tail. Only of one that has no parts and may be resumed. Whoever may still be storing it has lost it.
    /// Says whether it did.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reopen(&self, id: &str, epoch: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE uploads SET state = 'open', epoch = epoch + 1, sha256 = NULL, md5 = NULL, crc64 = NULL, destination = NULL, \
             checked = '', dedupe_key = NULL, updated_at = $3 \
             WHERE id = $1 AND epoch = $2 AND state = 'completing' AND multipart_id IS NULL AND resumable = 1",
        )
        .bind(id)
        .bind(epoch)
        .bind(now_ms())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Records that the object is durable at its final key, what it says as a side file, whether it is what side files said
    /// of it, and what is to be done next, in one transaction.
    ///
    /// # Errors
    /// [`Error::Superseded`] when it is neither completing under this epoch nor complete.
    pub async fn complete(&self, id: &str, epoch: i64, side: Option<&Side<'_>>) -> Result<Completed> {
        // In turn: of a file and its side file, whichever is complete later sees the other.
        let mut tx = self.begin_in_turn(&self.link_of(id).await?).await?;
        let now = now_ms();
        let row = sqlx::query(
            "UPDATE uploads SET state = 'complete', delivery = 'pending', offset_bytes = length_bytes, \
             sha256_state = NULL, completed_at = $2, updated_at = $2 \
             WHERE id = $1 AND epoch = $3 AND state = 'completing' RETURNING *",
        )
        .bind(id)
        .bind(now)
        .bind(epoch)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            tx.rollback().await?;
            return match self.upload(id).await?.state {
                State::Complete => Ok(Completed::Before),
                _ => Err(Error::Superseded),
            };
        };
        let done = upload(&row)?;
        for kind in [JobKind::Deliver, JobKind::Receipt] {
            sqlx::query(
                "INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at) \
                 VALUES ($1, $2, $3, $4, $5, 0, 0, $5)",
            )
            .bind(new_id())
            .bind(kind.name())
            .bind(id)
            .bind(&done.ticket)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        audit::write(&mut *tx, &format!("link:{}", done.link_id), "upload.complete", id, "").await?;
        if digests::settle(&mut tx, &done, side).await? {
            tx.rollback().await?;
            return Ok(Completed::Overtaken);
        }
        tx.commit().await?;
        Ok(Completed::Now)
    }
}
