//! Start: rebuilds the index from the files on disk and removes the leftovers of a crash.
//! Invariant: only files that nothing durable refers to, and uploads past the lifecycle rule, are removed; a record that cannot be read stops the start.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tokio_util::task::TaskTracker;

use super::files::{self, Files};
use super::index::{BucketIndex, Index, Object, Upload, lock};
use super::records::{Bucket, Manifest, Part, UploadRecord};
use super::state::{ABORT_AFTER_DAYS, Inner, PUBLISH_LOCKS, Store, now_ms};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Store {
    /// Opens the store in a folder, creating it if needed. One process at a time; the caller holds the lock.
    ///
    /// # Errors
    /// When the folder cannot be used, or a record in it cannot be read.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let files = Files::create(dir).with_context(|| format!("create the folders of {}", dir.display()))?;
        let mut index = Index::default();
        for record in records::<Bucket>(&files.buckets)? {
            index.buckets.insert(record.name.clone(), BucketIndex::new(record));
        }
        let (mut used, ended) = load_objects(&mut index, &files)?;
        load_uploads(&mut index, &files, &ended)?;
        let last_stamp = load_parts(&index, &files, &mut used)?;
        let inner = Inner {
            files,
            index: Mutex::new(index),
            publish: (0..PUBLISH_LOCKS).map(|_| Mutex::new(())).collect(),
            stamp: AtomicU64::new(last_stamp),
        };
        Ok(Self { inner: Arc::new(inner), tasks: TaskTracker::new() })
    }
}

/// Every record of a folder.
fn records<T: DeserializeOwned>(folder: &Path) -> anyhow::Result<Vec<T>> {
    let names = files::names(folder).with_context(|| format!("list {}", folder.display()))?;
    let read = |name: String| {
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("understand {}", path.display()))
    };
    names.into_iter().map(read).collect()
}

/// The files that objects refer to, and the uploads that became objects.
fn load_objects(index: &mut Index, files: &Files) -> anyhow::Result<(HashSet<String>, HashSet<String>)> {
    let mut used = HashSet::new();
    let mut ended = HashSet::new();
    for manifest in records::<Manifest>(&files.objects)? {
        used.extend(manifest.pieces.iter().map(|piece| piece.blob.clone()));
        ended.extend(manifest.upload_id.clone());
        let bucket = index.buckets.get_mut(&manifest.bucket);
        let bucket =
            bucket.with_context(|| format!("an object lies in the unknown bucket {}", manifest.bucket))?;
        let key = manifest.key.clone();
        bucket.objects.insert(key, Arc::new(Object::new(manifest, files.blobs.clone())));
    }
    Ok((used, ended))
}

fn load_uploads(index: &mut Index, files: &Files, ended: &HashSet<String>) -> anyhow::Result<()> {
    for record in records::<UploadRecord>(&files.uploads)? {
        // Either the process ended between publishing the object and removing this record, or the lifecycle rule ends the
        // upload: its parts are orphans from now on.
        let is_old = record.started_ms < now_ms() - i64::from(ABORT_AFTER_DAYS) * DAY_MS;
        if is_old || ended.contains(&record.id) {
            files::remove(&files.uploads, &format!("{}.json", record.id))?;
            continue;
        }
        let bucket = index.buckets.get_mut(&record.bucket);
        let bucket =
            bucket.with_context(|| format!("an upload lies in the unknown bucket {}", record.bucket))?;
        bucket.uploads.insert((record.key.clone(), record.id.clone()), Arc::new(Upload::new(record)));
    }
    Ok(())
}

/// Puts parts into their uploads and removes orphans. Returns the latest stamp.
fn load_parts(index: &Index, files: &Files, used: &mut HashSet<String>) -> anyhow::Result<u64> {
    let uploads: std::collections::HashMap<String, Arc<Upload>> = index
        .buckets
        .values()
        .flat_map(|bucket| &bucket.uploads)
        .map(|((_, id), upload)| (id.clone(), upload.clone()))
        .collect();
    let mut last_stamp = 0;
    for name in files::names(&files.blobs)? {
        let part = Part::from_file_name(&name);
        if let Some((_, part)) = &part {
            last_stamp = last_stamp.max(part.stamp);
        }
        if used.contains(&name) {
            continue;
        }
        let orphan = match part {
            Some((id, part)) if let Some(upload) = uploads.get(id) => {
                lock(&upload.state).place(part).map(|unused| unused.file_name(id))
            }
            _ => Some(name),
        };
        if let Some(orphan) = orphan {
            files::remove_quietly(&files.blobs.join(orphan));
        }
    }
    Ok(last_stamp)
}
