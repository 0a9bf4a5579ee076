//! Clears what an upload that ended left in its bucket.
//! Invariant: only what belongs to a row of this ledger is deleted, and nothing that a receipt lies beside.

use bucket::Bucket;
use ledger::{State, Upload, now_ms};

use crate::uploads::Uploads;
use crate::{Error, Result};

impl Uploads {
    /// Clears one upload in the background, right after it ended.
    pub(crate) fn clear_later(&self, id: String) {
        let uploads = self.clone();
        self.spawn(async move {
            let cleared = match uploads.0.ledger.upload(&id).await {
                Ok(upload) => uploads.clear(&upload).await.map(drop),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = cleared {
                tracing::info!(upload.id = id, error = %error, "cannot clear upload; the next sweep tries again");
            }
        });
    }

    /// Deletes everything under the upload's key, or only its tail if it is complete. Returns whether nothing can arrive
    /// afterwards.
    pub(crate) async fn clear(&self, upload: &Upload) -> Result<bool> {
        // If no request was made for it, there is nothing to look for.
        let is_untouched = upload.state == State::Cancelled && upload.attempts_until <= upload.created_at;
        let is_certain = is_untouched || upload.attempts_until < now_ms();
        let mut versions_told = false;
        if !is_untouched {
            versions_told = self.clear_bucket(upload).await?;
        }
        if is_certain {
            let proof = (upload.state == State::Removed).then(|| proof(upload, versions_told));
            self.0.ledger.swept(&upload.id, upload.state, proof.as_deref()).await?;
        }
        Ok(is_certain)
    }

    /// Returns whether the bucket told of versions, if that was asked.
    async fn clear_bucket(&self, upload: &Upload) -> Result<bool> {
        let (bucket, key) = (self.bucket(upload)?, &upload.object_key);
        let receipt_key = bucket::layout::receipt_key(key);
        // A cancelled upload never gets a receipt.
        if upload.state == State::Cancelled && bucket.is_listed(&receipt_key).await? {
            let why =
                "it has a receipt, so this ledger is older than the bucket: run `weighbridge sweep --adopt`";
            return Err(Error::Internal(why.into()));
        }
        if upload.tails_written > 0 {
            Box::pin(self.clear_tails(upload)).await?;
        }
        if upload.state == State::Complete {
            return Ok(false);
        }
        for (found, multipart_id) in bucket.multiparts(key).await? {
            if found == *key {
                bucket.abort_multipart(key, &multipart_id).await?;
            }
        }
        if let Some(multipart_id) = &upload.multipart_id {
            bucket.abort_multipart(key, multipart_id).await?;
        }
        // A file that somebody removed may stay as an old version for as long as the operator wants to be able to restore it.
        let is_over = upload.state == State::Removed && upload.expires_at.is_some();
        let mut versions_told = is_over;
        for key in [key, &receipt_key] {
            bucket.delete(key).await?;
            if is_over {
                versions_told &= self.delete_versions(upload, bucket, key).await?;
            }
            // The proof says so.
            if upload.state == State::Removed && bucket.is_listed(key).await? {
                return Err(Error::Internal("the bucket still lists it after deleting it".into()));
            }
        }
        Ok(versions_told)
    }

    /// Deletes what a bucket with versioning keeps of a deleted key whose time is over, and names it in the audit first. Returns whether the bucket
    /// told of versions.
    async fn delete_versions(&self, upload: &Upload, bucket: &Bucket, key: &str) -> Result<bool> {
        let told = bucket.versions(key).await?;
        let versions_told = told.is_some();
        let versions = told.unwrap_or_default();
        if !versions.is_empty() {
            let named = serde_json::json!({"bucket": upload.bucket, "key": key, "versions": versions});
            self.0.ledger.record("gateway", "upload.versions", &upload.id, &named.to_string()).await?;
        }
        for version in &versions {
            bucket.delete_version(key, version).await?;
        }
        // The proof says so.
        if !versions.is_empty() && bucket.versions(key).await?.is_none_or(|left| !left.is_empty()) {
            return Err(Error::Internal("the bucket still lists versions after deleting them".into()));
        }
        Ok(versions_told)
    }
}

/// What the audit says of a removed file whose object and receipt are deleted. If the bucket did not tell of versions, it may keep
/// some.
fn proof(upload: &Upload, versions_told: bool) -> String {
    serde_json::json!({
        "bucket": upload.bucket, "key": upload.object_key, "size": upload.length, "sha256": upload.sha256, "listed": false,
        "versions_listed": if versions_told { Some(false) } else { None },
    })
    .to_string()
}
