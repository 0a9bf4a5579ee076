//! The content of the store in memory: buckets, objects, and multipart uploads in progress.
//! Invariant: an object's files live as long as a reader holds it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::{S3Error, S3Result, s3_error};

use super::files;
use super::records::{Bucket, Manifest, Part, Piece, UploadRecord};

#[derive(Default)]
pub(super) struct Index {
    pub(super) buckets: BTreeMap<String, BucketIndex>,
}

pub(super) struct BucketIndex {
    pub(super) record: Bucket,
    pub(super) objects: BTreeMap<String, Arc<Object>>,
    /// By key, then by upload id, which sorts by time.
    pub(super) uploads: BTreeMap<(String, String), Arc<Upload>>,
}

impl BucketIndex {
    pub(super) fn new(record: Bucket) -> Self {
        Self { record, objects: BTreeMap::new(), uploads: BTreeMap::new() }
    }
}

impl Index {
    pub(super) fn bucket(&self, name: &str) -> S3Result<&BucketIndex> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    pub(super) fn bucket_mut(&mut self, name: &str) -> S3Result<&mut BucketIndex> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }
}

fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist.")
}

/// An object in the index. Readers keep it alive: its files go with the last of them, once it is replaced or deleted.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) manifest: Manifest,
    blobs: PathBuf,
    dead: AtomicBool,
}

impl Object {
    pub(super) fn new(manifest: Manifest, blobs: PathBuf) -> Self {
        Self { manifest, blobs, dead: AtomicBool::new(false) }
    }

    /// Nothing on disk refers to it any more.
    pub(super) fn bury(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(super) fn path(&self, piece: &Piece) -> PathBuf {
        self.blobs.join(&piece.blob)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.dead.load(Ordering::Acquire) {
            for piece in &self.manifest.pieces {
                files::remove_quietly(&self.path(piece));
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) record: UploadRecord,
    pub(super) state: Mutex<Parts>,
}

#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) parts: BTreeMap<u16, Part>,
    /// Completed or aborted: other holders of this handle are too late.
    pub(super) over: bool,
}

impl Upload {
    pub(super) fn new(record: UploadRecord) -> Self {
        Self { record, state: Mutex::default() }
    }
}

impl Parts {
    /// Puts a part in its place, and hands back the one that it replaces or that is newer.
    pub(super) fn place(&mut self, part: Part) -> Option<Part> {
        match self.parts.get(&part.number) {
            Some(present) if present.stamp > part.stamp => Some(part),
            _ => self.parts.insert(part.number, part),
        }
    }
}

/// A panic elsewhere leaves nothing half done in these maps, so a poisoned lock is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
