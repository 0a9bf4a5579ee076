//! Objects: publish, look up, delete.
//! Invariant: a condition on the present object and the change it guards happen under one lock.

use std::sync::Arc;

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::files::{self, Staged};
use super::index::Object;
use super::receive::Received;
use super::records::{Attributes, Manifest, Piece};
use super::state::{Inner, Store, internal, now_ms, to_json};

/// The condition of a write on the present object (`If-None-Match: *`, `If-Match`).
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    None,
    Absent,
    /// Any object at all, or the one with this ETag.
    Present(Option<String>),
}

impl Condition {
    fn check(&self, present: Option<&Arc<Object>>) -> S3Result<()> {
        let failed =
            || s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
        match (self, present) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present(None), Some(_)) => Ok(()),
            (Self::Present(_), None) => Err(no_such_key()),
            (Self::Absent, Some(_)) => Err(failed()),
            (Self::Present(Some(etag)), Some(object)) => {
                if *etag == object.manifest.etag {
                    Ok(())
                } else {
                    Err(failed())
                }
            }
        }
    }
}

impl Store {
    /// Publishes a received body as an object.
    pub(crate) async fn put(
        &self,
        bucket: String,
        key: String,
        attributes: Attributes,
        condition: Condition,
        received: Received,
    ) -> S3Result<Arc<Object>> {
        self.blocking(move |inner| {
            let blob = files::random_id::<16>();
            let manifest = Manifest {
                bucket,
                key,
                // 40 digits, so that no client takes it for the MD5 that we do not compute.
                etag: files::random_id::<20>(),
                size: received.size,
                crc64nvme: received.sums.crc64nvme,
                checksum: received.sums.checksum,
                modified_ms: now_ms(),
                attributes,
                pieces: vec![Piece { blob: blob.clone(), size: received.size }],
                upload_id: None,
            };
            received.staged.publish(&blob).map_err(internal)?;
            inner.publish(manifest, &condition).inspect_err(|error| {
                // After a failed flush the manifest may be there or not; the next start knows whether the blob is needed.
                if *error.code() != S3ErrorCode::InternalError {
                    files::remove_quietly(&inner.files.blobs.join(&blob));
                }
            })
        })
        .await
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        self.inner.index().bucket(bucket)?.objects.get(key).cloned().ok_or_else(no_such_key)
    }

    /// Deletes an object; one that does not exist is deleted already.
    pub(crate) async fn delete(&self, bucket: String, key: String) -> S3Result<()> {
        self.blocking(move |inner| inner.delete(&bucket, &key)).await
    }
}

impl Inner {
    /// Makes the object durable, then visible. Its pieces must be flushed already. On an error nothing is published.
    pub(super) fn publish(&self, manifest: Manifest, condition: &Condition) -> S3Result<Arc<Object>> {
        let name = files::manifest_name(&manifest.bucket, &manifest.key);
        let staged = Staged::with_bytes(&self.files.objects, &to_json(&manifest)?).map_err(internal)?;
        let _order = self.publish_lock(&name);
        {
            let index = self.index();
            condition.check(index.bucket(&manifest.bucket)?.objects.get(&manifest.key))?;
        }
        staged.publish(&name).map_err(internal)?;
        let object = Arc::new(Object::new(manifest, self.files.blobs.clone()));
        let before = {
            let mut index = self.index();
            let bucket = index.bucket_mut(&object.manifest.bucket)?;
            bucket.objects.insert(object.manifest.key.clone(), object.clone())
        };
        if let Some(before) = before {
            before.bury();
        }
        Ok(object)
    }

    fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let name = files::manifest_name(bucket, key);
        let _order = self.publish_lock(&name);
        if !self.index().bucket(bucket)?.objects.contains_key(key) {
            return Ok(());
        }
        files::remove(&self.files.objects, &name).map_err(internal)?;
        let before = self.index().bucket_mut(bucket)?.objects.remove(key);
        if let Some(before) = before {
            before.bury();
        }
        Ok(())
    }
}

fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}
