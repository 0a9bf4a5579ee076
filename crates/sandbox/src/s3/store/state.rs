//! The state of the store: its folders, the index in memory, and the locks around them.
//! Invariant: the index never runs ahead of the disk; a change goes to the disk first.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use s3s::{S3Error, S3Result, s3_error};
use tokio_util::task::TaskTracker;

use super::files::{self, Files};
use super::index::{BucketIndex, Index, lock};
use super::records::Bucket;

/// The one region of the server, and the one that bucket locations name.
pub(crate) const REGION: &str = "us-east-1";

/// The one lifecycle rule of every bucket: a start removes incomplete multipart uploads that are older than this.
pub(crate) const ABORT_AFTER_DAYS: i32 = 7;

/// Publishing takes one of these locks by the key's hash, so that disk and index change in the same order without one slow
/// flush holding up every other key.
pub(super) const PUBLISH_LOCKS: usize = 64;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    pub(super) inner: Arc<Inner>,
    pub(super) tasks: TaskTracker,
}

/// The store as the blocking threads see it.
pub(crate) struct Inner {
    pub(super) files: Files,
    pub(super) index: Mutex<Index>,
    pub(super) publish: Vec<Mutex<()>>,
    pub(super) stamp: AtomicU64,
}

impl Store {
    /// Waits until the last write that was begun is through. Nothing may be begun after.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs file work on a blocking thread. It runs to its end when the client has gone.
    pub(super) async fn blocking<T, F>(&self, work: F) -> S3Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> S3Result<T> + Send + 'static,
    {
        let inner = self.inner.clone();
        self.tasks.spawn_blocking(move || work(&inner)).await.map_err(S3Error::internal_error)?
    }

    /// Creates a bucket; `false` if there is one of that name already.
    pub(crate) async fn create_bucket(&self, name: String) -> S3Result<bool> {
        self.blocking(move |inner| inner.create_bucket(name)).await
    }

    /// All buckets by name.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        self.inner.index().buckets.values().map(|bucket| bucket.record.clone()).collect()
    }

    pub(crate) fn bucket_exists(&self, name: &str) -> S3Result<()> {
        self.inner.index().bucket(name).map(|_| ())
    }
}

impl Inner {
    fn create_bucket(&self, name: String) -> S3Result<bool> {
        // The name becomes a file name, so this check also keeps it inside its folder.
        if !s3s::path::check_bucket_name(&name) {
            return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
        }
        let mut index = self.index();
        if index.buckets.contains_key(&name) {
            return Ok(false);
        }
        let record = Bucket { name: name.clone(), created_ms: now_ms() };
        files::write(&self.files.buckets, &format!("{name}.json"), &to_json(&record)?).map_err(internal)?;
        index.buckets.insert(name, BucketIndex::new(record));
        Ok(true)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// A stamp later than every other of this store.
    pub(super) fn next_stamp(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let before = self.stamp.fetch_max(now, Ordering::Relaxed);
        if before < now { now } else { self.stamp.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    pub(super) fn publish_lock(&self, manifest_name: &str) -> MutexGuard<'_, ()> {
        let number = manifest_name.bytes().take(2).fold(0, |sum, byte| sum * 16 + usize::from(byte));
        lock(&self.publish[number % self.publish.len()])
    }
}

pub(super) fn internal(error: io::Error) -> S3Error {
    S3Error::internal_error(error)
}

pub(super) fn to_json<T: serde::Serialize>(record: &T) -> S3Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(S3Error::internal_error)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
