//! Completing an upload: is it a duplicate, and which jobs follow.
//! Invariant: of equal files one is the original; `complete` is final, and its jobs are queued in the same transaction.

use crate::quota::link_lives;
use crate::sql::{sql, sql_as, sql_scalar};
use crate::{
    Destination, Error, JobKind, Ledger, Result, SideFileRecord, State, Upload, asks, audit, hash_token,
    jobs, now_ms, side_files,
};

/// A file with the link, ticket, name and SHA-256 of one that completed within this time, ms, is a duplicate of it.
pub const SAME_FILE_MS: i64 = 24 * 60 * 60 * 1000;

/// Identifies link, ticket, name and SHA-256 (hex) together.
pub fn dedupe_key(link_id: &str, ticket: &str, name: &str, sha256: &str) -> String {
    hash_token(&[link_id, ticket, name, sha256].join("\n"))
}

/// The facts when the last byte has arrived.
#[derive(Debug, Clone)]
pub struct Completion<'a> {
    pub id: &'a str,
    pub epoch: i64,
    pub size: i64,
    pub sha256: &'a str,
    /// Hex, where a digest or a side file asked for it.
    pub md5: Option<&'a str>,
    /// CRC-64/NVME of the whole, hex.
    pub crc64: &'a str,
    pub destination: Destination,
    /// Client digests that matched.
    pub checked: &'a [&'a str],
    /// From [`dedupe_key`].
    pub dedupe_key: &'a str,
    /// A claim on `dedupe_key` from before this time, ms, has expired.
    pub claims_since: i64,
    /// No attempt to publish the object runs after this, ms.
    pub attempts_until: i64,
}

/// Whether this file was sent before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dedupe {
    /// It was not: publish it.
    First,
    /// It was, as the upload with this ID.
    DuplicateOf(String),
}

/// The result of [`Ledger::complete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// The upload is complete now, and its jobs are queued.
    Now,
    /// It was complete before.
    Before,
    /// Nothing changed: the file that this side file is about has completed since the side file was read. Compare the two,
    /// then complete it again.
    Stale,
}

impl Ledger {
    /// Records that every byte has arrived, with the digest. With [`Dedupe::DuplicateOf`] nothing changes, and the caller
    /// drops its copy.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the epoch is no longer ours, the link was revoked, or its partner was disabled.
    pub async fn begin_completing(&self, end: &Completion<'_>) -> Result<Dedupe> {
        let now = now_ms();
        // In turn: the next claimant sees not only the claim but also the state of its upload.
        let mut tx = self.begin_in_turn(end.dedupe_key).await?;
        let original: String = sql_scalar!(
            "INSERT INTO originals (dedupe_key, upload_id, claimed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (dedupe_key) DO UPDATE SET \
               upload_id = CASE WHEN originals.claimed_at < $4 OR NOT EXISTS (SELECT 1 FROM uploads \
                 WHERE uploads.id = originals.upload_id AND uploads.state IN ('completing', 'complete')) \
                 THEN excluded.upload_id ELSE originals.upload_id END, \
               claimed_at = CASE WHEN originals.claimed_at < $4 OR NOT EXISTS (SELECT 1 FROM uploads \
                 WHERE uploads.id = originals.upload_id AND uploads.state IN ('completing', 'complete')) \
                 THEN excluded.claimed_at ELSE originals.claimed_at END \
             RETURNING upload_id",
            [end.dedupe_key, end.id, now, end.claims_since]
        )
        .fetch_one(&mut *tx)
        .await?;
        if original != end.id {
            tx.rollback().await?;
            return Ok(Dedupe::DuplicateOf(original));
        }
        let done = sql!(
            concat!(
                "UPDATE uploads SET state = 'completing', length_bytes = $3, sha256 = $4, crc64 = $5, destination = $6, \
                 checked = $7, dedupe_key = $8, updated_at = $9, \
                 attempts_until = CASE WHEN attempts_until < $10 THEN $10 ELSE attempts_until END, md5 = $11 \
                 WHERE id = $1 AND epoch = $2 AND state = 'open' AND ",
                link_lives!()
            ),
            [
                end.id, end.epoch, end.size, end.sha256, end.crc64, end.destination.name(),
                end.checked.join(","), end.dedupe_key, now, end.attempts_until, end.md5,
            ]
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        Ok(Dedupe::First)
    }

    /// Opens a completing upload again: its last bytes could not be stored, and its sender resumes from the tail. Only an
    /// upload without parts that may be resumed; a writer that may still be storing it loses it. Returns whether it did.
    pub async fn reopen(&self, id: &str, epoch: i64) -> Result<bool> {
        let done = sql!(
            "UPDATE uploads SET state = 'open', epoch = epoch + 1, sha256 = NULL, md5 = NULL, crc64 = NULL, destination = NULL, \
             checked = '', dedupe_key = NULL, updated_at = $3 \
             WHERE id = $1 AND epoch = $2 AND state = 'completing' AND multipart_id IS NULL AND resumable = 1",
            [id, epoch, now_ms()]
        )
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Records in one transaction that the object is durable at its final key, what it says as a side file, whether it
    /// matches the side files about it, and its jobs.
    ///
    /// # Errors
    /// [`Error::Superseded`] when it is neither completing under this epoch nor complete.
    pub async fn complete(
        &self,
        id: &str,
        epoch: i64,
        side: Option<&SideFileRecord<'_>>,
    ) -> Result<Completed> {
        // In turn: of a file and its side file, the one that completes later sees the other.
        let mut tx = self.begin_in_turn(&self.link_of(id).await?).await?;
        let now = now_ms();
        let completed: Option<Upload> = sql_as!(
            "UPDATE uploads SET state = 'complete', delivery = 'pending', offset_bytes = length_bytes, \
             sha256_state = NULL, completed_at = $2, updated_at = $2 \
             WHERE id = $1 AND epoch = $3 AND state = 'completing' RETURNING *",
            [id, now, epoch]
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(upload) = completed else {
            tx.rollback().await?;
            return match self.upload(id).await?.state {
                State::Complete => Ok(Completed::Before),
                _ => Err(Error::Superseded),
            };
        };
        for kind in [JobKind::Deliver, JobKind::Receipt] {
            jobs::queue(&mut tx, kind, id).await?;
        }
        audit::write(&mut *tx, &format!("link:{}", upload.link_id), "upload.complete", id, "").await?;
        asks::arrived(&mut tx, &upload, upload.ask.as_deref()).await?;
        if side_files::apply(&mut tx, &upload, side).await? {
            tx.rollback().await?;
            return Ok(Completed::Stale);
        }
        tx.commit().await?;
        Ok(Completed::Now)
    }

    /// Records that `original` was sent again as `copy`, with its MD5 if that was computed: what it says as a side file, and
    /// whether it matches the side files about it. [`Completed::Stale`] as for [`Ledger::complete`].
    pub async fn settle_again(
        &self,
        original: &str,
        copy: &str,
        md5: Option<&str>,
        side: Option<&SideFileRecord<'_>>,
    ) -> Result<Completed> {
        let mut tx = self.begin_in_turn(&self.link_of(original).await?).await?;
        let upload =
            sql_as!("UPDATE uploads SET md5 = COALESCE(md5, $2) WHERE id = $1 RETURNING *", [original, md5])
                .fetch_one(&mut *tx)
                .await?;
        let choice: Option<String> = sql_scalar!("SELECT ask FROM uploads WHERE id = $1", [copy])
            .fetch_optional(&mut *tx)
            .await?
            .flatten();
        asks::arrived(&mut tx, &upload, choice.as_deref()).await?;
        if side_files::apply(&mut tx, &upload, side).await? {
            tx.rollback().await?;
            return Ok(Completed::Stale);
        }
        tx.commit().await?;
        Ok(Completed::Before)
    }

    /// The link of an upload, which never changes: its uploads complete in turn.
    pub(crate) async fn link_of(&self, id: &str) -> Result<String> {
        let link = sql_scalar!("SELECT link_id FROM uploads WHERE id = $1", [id]);
        Ok(link.fetch_one(&self.read).await?)
    }
}
