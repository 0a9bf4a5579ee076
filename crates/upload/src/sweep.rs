//! Clears what cancelled and removed uploads left in a bucket, and multipart uploads that nobody goes on with. Touches
//! only what the ledger has a row for; anything else is reported (`leaks.rs`) and left alone.

use ledger::{State, Upload, now_ms};

use crate::engine::Uploads;
use crate::leaks::Leaks;
use crate::{Error, Result};

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Unfinished uploads whose time to be resumed was over: ended, and cleared with the rest.
    pub expired: u64,
    /// Uploads whose leftovers were cleared for certain.
    pub cleared: u64,
    /// Uploads cleared once whose last request to the bucket may still be under way: looked at again next time.
    pub waiting: u64,
    /// Uploads that could not be cleared, and buckets that could not be looked at.
    pub failed: u64,
    /// Multipart uploads and pieces of ours that nobody goes on with, as a lost answer leaves one: dropped.
    pub stray: u64,
    /// What lies under our prefixes that this ledger did not make.
    pub leaks: Leaks,
}

/// Rows looked at in one go.
const PAGE: i64 = 500;

impl Uploads {
    /// Clears what is left of every upload that ended, and looks through the buckets for what the ledger does not know;
    /// with `dry_run` only counts.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] when the ledger does not answer.
    pub async fn sweep(&self, dry_run: bool) -> Result<Swept> {
        let mut swept = self.sweep_ended(dry_run).await?;
        self.look_through_buckets(dry_run, &mut swept).await?;
        Ok(swept)
    }

    /// Looks through the buckets alone: drops what is ours and ended, tells of what the ledger does not know.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] when the ledger does not answer.
    pub async fn look(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        self.look_through_buckets(false, &mut swept).await?;
        Ok(swept)
    }

    /// Clears what is left of every upload that ended: asks the buckets for nothing that is not in the ledger.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] when the ledger does not answer.
    pub async fn sweep_ended(&self, dry_run: bool) -> Result<Swept> {
        let mut swept = Swept::default();
        self.expire(dry_run, &mut swept).await?;
        let mut after = String::new();
        loop {
            let page = self.0.ledger.unswept(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after.clone_from(&last.id);
            for upload in &page {
                if dry_run {
                    swept.waiting += 1;
                    continue;
                }
                match Box::pin(self.clear(upload)).await {
                    Ok(true) => swept.cleared += 1,
                    Ok(false) => swept.waiting += 1,
                    Err(error) => {
                        tracing::warn!(upload.id, error = %error, "sweep upload");
                        swept.failed += 1;
                    }
                }
            }
        }
    }

    /// Ends uploads whose time to be resumed is over. An append under way may end: by then it is complete, or expired.
    async fn expire(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for upload in self.0.ledger.left(now_ms(), self.begun_before()).await? {
            if !self.has_expired(&upload) || self.is_kept_alive(&upload) {
                continue;
            }
            if dry_run || self.end_idle(&upload, "failed", "expired").await? {
                swept.expired += 1;
            }
        }
        Ok(())
    }

    /// Clears one upload in the background, right after it ended.
    pub(crate) fn clear_later(&self, id: String) {
        let uploads = self.clone();
        self.spawn(async move {
            let cleared = match uploads.0.ledger.upload(&id).await {
                Ok(upload) => uploads.clear(&upload).await.map(drop),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = cleared {
                tracing::info!(upload.id = id, error = %error, "clear upload; the next sweep tries again");
            }
        });
    }

    /// Deletes everything under the upload's key, or of one that is complete its tail alone. True when nothing can come
    /// after it.
    async fn clear(&self, upload: &Upload) -> Result<bool> {
        // No request was ever made for it: there is nothing to look for.
        let untouched = upload.attempts_until <= upload.created_at;
        let certain = untouched || upload.attempts_until < now_ms();
        if !untouched {
            self.clear_bucket(upload).await?;
        }
        if certain {
            self.0.ledger.swept(&upload.id, upload.state).await?;
        }
        Ok(certain)
    }

    async fn clear_bucket(&self, upload: &Upload) -> Result<()> {
        let (bucket, key) = (self.bucket(upload)?, &upload.object_key);
        let receipt_key = bucket::layout::receipt_key(key);
        // No receipt is ever written for one that was cancelled.
        if upload.state == State::Cancelled && bucket.is_listed(&receipt_key).await? {
            let why =
                "it has a receipt, so this ledger is older than the bucket: run `weighbridge sweep --adopt`";
            return Err(Error::Internal(why.into()));
        }
        if upload.tails_written > 0 {
            Box::pin(self.clear_tails(upload)).await?;
        }
        if upload.state == State::Complete {
            return Ok(());
        }
        for (found, multipart_id) in bucket.multiparts(key).await? {
            if found == *key {
                bucket.abort_multipart(key, &multipart_id).await?;
            }
        }
        if let Some(multipart_id) = &upload.multipart_id {
            bucket.abort_multipart(key, multipart_id).await?;
        }
        bucket.delete(key).await?;
        Ok(bucket.delete(&receipt_key).await?)
    }
}
