//! Clears what cancelled and removed uploads left in a bucket, and multipart uploads that nobody goes on with. Touches
//! only keys of uploads in the ledger; multipart uploads that the ledger does not know are counted and left alone.

use bucket::Bucket;
use ledger::{State, Upload, now_ms};

use crate::Result;
use crate::engine::Uploads;

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
    /// Multipart uploads of ours that nobody goes on with, as a lost answer leaves one: dropped.
    pub stray: u64,
    /// Multipart uploads in our buckets that this ledger did not make.
    pub foreign: u64,
}

/// Rows looked at in one go.
const PAGE: i64 = 500;

impl Uploads {
    /// Clears what is left of every cancelled or removed upload; with `dry_run` only counts.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] when the ledger does not answer.
    pub async fn sweep(&self, dry_run: bool) -> Result<Swept> {
        let mut swept = Swept::default();
        self.expire(dry_run, &mut swept).await?;
        let mut after = String::new();
        loop {
            let page = self.0.ledger.unswept(&after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for upload in &page {
                if dry_run {
                    swept.waiting += 1;
                    continue;
                }
                match self.clear(upload).await {
                    Ok(true) => swept.cleared += 1,
                    Ok(false) => swept.waiting += 1,
                    Err(error) => {
                        tracing::warn!(upload.id, error = %error, "sweep upload");
                        swept.failed += 1;
                    }
                }
            }
        }
        Box::pin(self.sweep_tails(dry_run, &mut swept)).await?;
        for (name, bucket) in self.0.buckets.all() {
            if let Err(error) = self.multiparts(bucket, dry_run, &mut swept).await {
                tracing::warn!(bucket = name, error = %error, "look for multipart uploads");
                swept.failed += 1;
            }
        }
        Ok(swept)
    }

    /// Ends uploads whose time to be resumed is over, whoever still sends them.
    async fn expire(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for upload in self.0.ledger.unmoved(State::Open, now_ms()).await? {
            if !upload.resumable || self.expires_at(&upload) > now_ms() {
                continue;
            }
            if !dry_run {
                self.cancel(&upload.id).await?;
            }
            swept.expired += 1;
        }
        Ok(())
    }

    /// Clears what is left of the tails of complete uploads.
    async fn sweep_tails(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.0.ledger.complete_with_tails(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for upload in &page {
                if dry_run {
                    swept.waiting += 1;
                    continue;
                }
                match self.clear(upload).await {
                    Ok(true) => swept.cleared += 1,
                    Ok(false) => swept.waiting += 1,
                    Err(error) => {
                        tracing::warn!(upload.id, error = %error, "sweep the tail of an upload");
                        swept.failed += 1;
                    }
                }
            }
        }
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
        if upload.tails_written > 0 {
            Box::pin(self.clear_tails(upload)).await?;
        }
        if !untouched && upload.state != State::Complete {
            let bucket = self.bucket(upload)?;
            for (key, multipart_id) in bucket.multiparts(&upload.object_key).await? {
                if key == upload.object_key {
                    bucket.abort_multipart(&key, &multipart_id).await?;
                }
            }
            if let Some(multipart_id) = &upload.multipart_id {
                bucket.abort_multipart(&upload.object_key, multipart_id).await?;
            }
            bucket.delete(&upload.object_key).await?;
            bucket.delete(&format!("{}.receipt.json", upload.object_key)).await?;
        }
        if certain {
            self.0.ledger.swept(&upload.id).await?;
        }
        Ok(certain)
    }

    /// Drops multipart uploads of uploads that have ended, and counts those under our prefix whose key holds no upload
    /// id of this ledger.
    async fn multiparts(&self, bucket: &Bucket, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for (key, multipart_id) in bucket.multiparts(bucket.prefix()).await? {
            // A probe's own: the next probe removes what one that died left.
            if bucket::is_probe(bucket.prefix(), &key) {
                continue;
            }
            let id =
                key.strip_prefix(bucket.prefix()).and_then(|rest| rest.split('/').nth(1)).unwrap_or_default();
            match self.0.ledger.upload(id).await {
                Ok(upload) if upload.object_key != key => swept.foreign += 1,
                Ok(upload) if matches!(upload.state, State::Open | State::Completing) => {}
                Ok(_) => {
                    if !dry_run {
                        bucket.abort_multipart(&key, &multipart_id).await?;
                    }
                    swept.stray += 1;
                }
                Err(ledger::Error::NotFound) => swept.foreign += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
