//! The bytes and the index behind the S3 server: one file per part or small object, one manifest per object.
//! Invariant: what an answer has claimed is flushed, and the index in memory never runs ahead of the disk.
//!
//! Completing a multipart upload copies nothing: the manifest lists the parts' files. Whatever no manifest and no open upload
//! refers to is an orphan, and is removed at the next start.

mod files;
mod list;
mod object;
mod open;
mod read;
mod receive;
mod records;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use s3s::{S3Error, S3Result, s3_error};
use tokio_util::task::TaskTracker;

pub(crate) use self::list::{PAGE_MAX, Start};
pub(crate) use self::object::{Condition, Object};
pub(crate) use self::read::stream;

use self::files::Files;
use self::records::Bucket;
pub(crate) use self::records::{Attributes, Part, UploadRecord};
use self::upload::Upload;
pub(crate) use self::upload::{Complete, ListedPart};

/// Publishing takes one of these locks by the key's hash, so that disk and index change in the same order without one slow
/// flush holding up every other key.
const PUBLISH_LOCKS: usize = 64;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
    tasks: TaskTracker,
}

/// The store as the blocking threads see it.
pub(crate) struct Inner {
    files: Files,
    index: Mutex<Index>,
    publish: Vec<Mutex<()>>,
    stamp: AtomicU64,
}

#[derive(Default)]
struct Index {
    buckets: BTreeMap<String, BucketIndex>,
}

struct BucketIndex {
    record: Bucket,
    objects: BTreeMap<String, Arc<Object>>,
    /// By key, then by upload id, which sorts by time.
    uploads: BTreeMap<(String, String), Arc<Upload>>,
}

impl BucketIndex {
    fn new(record: Bucket) -> Self {
        Self { record, objects: BTreeMap::new(), uploads: BTreeMap::new() }
    }
}

impl Store {
    /// Waits until the last write that was begun is through. Nothing may be begun after.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs file work on a blocking thread. It runs to its end when the client has gone.
    async fn blocking<T, F>(&self, work: F) -> S3Result<T>
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
        // The name becomes a file name, so this check is also what keeps it inside its folder.
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

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// A stamp later than every other of this store.
    fn next_stamp(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let before = self.stamp.fetch_max(now, Ordering::Relaxed);
        if before < now { now } else { self.stamp.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    fn publish_lock(&self, manifest_name: &str) -> MutexGuard<'_, ()> {
        let number = manifest_name.bytes().take(2).fold(0, |sum, byte| sum * 16 + usize::from(byte));
        lock(&self.publish[number % self.publish.len()])
    }
}

impl Index {
    fn bucket(&self, name: &str) -> S3Result<&BucketIndex> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    fn bucket_mut(&mut self, name: &str) -> S3Result<&mut BucketIndex> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }
}

fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist.")
}

/// A panic elsewhere leaves nothing half done in these maps, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(error: io::Error) -> S3Error {
    S3Error::internal_error(error)
}

fn to_json<T: serde::Serialize>(record: &T) -> S3Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(S3Error::internal_error)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
