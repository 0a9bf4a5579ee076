//! The store's files: opaque names, durable writes, removal.
//! Invariant: a file whose name does not begin with `tmp-` is complete and flushed, and so is the folder entry that names it
//! by the time the function that published it returns.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Files that were being written when the process ended carry this prefix; they are removed at the next start.
pub(super) const UNFINISHED: &str = "tmp-";

/// The folders of the store.
#[derive(Debug)]
pub(super) struct Files {
    /// Bytes of parts and of small objects.
    pub(super) blobs: PathBuf,
    /// One manifest per object.
    pub(super) objects: PathBuf,
    /// One record per multipart upload in progress.
    pub(super) uploads: PathBuf,
    /// One record per bucket.
    pub(super) buckets: PathBuf,
}

impl Files {
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        let files = Self {
            blobs: dir.join("blobs"),
            objects: dir.join("objects"),
            uploads: dir.join("uploads"),
            buckets: dir.join("buckets"),
        };
        for folder in [&files.blobs, &files.objects, &files.uploads, &files.buckets] {
            fs::create_dir_all(folder)?;
        }
        sync_folder(dir)?;
        Ok(files)
    }
}

/// A file under its temporary name; dropping it unpublished removes it.
#[derive(Debug)]
pub(super) struct Staged {
    folder: PathBuf,
    name: Option<String>,
}

impl Staged {
    pub(super) fn create(folder: &Path) -> io::Result<(Self, File)> {
        let name = format!("{UNFINISHED}{}", random_id::<16>());
        let file = File::options().write(true).create_new(true).open(folder.join(&name))?;
        Ok((Self { folder: folder.to_owned(), name: Some(name) }, file))
    }

    /// Writes and flushes a whole small file.
    pub(super) fn with_bytes(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        let (staged, mut file) = Self::create(folder)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Gives the file its final name (replacing what had it) and flushes the folder. The content must have been flushed before.
    pub(super) fn publish(mut self, name: &str) -> io::Result<()> {
        if let Some(temporary) = &self.name {
            fs::rename(self.folder.join(temporary), self.folder.join(name))?;
            self.name = None;
        }
        sync_folder(&self.folder)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            remove_quietly(&self.folder.join(name));
        }
    }
}

/// Writes, flushes and publishes a small file.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    Staged::with_bytes(folder, bytes)?.publish(name)
}

/// Removes a file for good; one that is gone already is fine.
pub(super) fn remove(folder: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(folder),
    }
}

/// Removes a file that nothing refers to any more. A failure costs only space, and the next start tries again.
pub(super) fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an unused file could not be removed");
    }
}

/// The names in a folder, unfinished files removed.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.starts_with(UNFINISHED) {
            remove_quietly(&folder.join(&name));
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes renames and removals in the folder durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder cannot be opened for flushing; the file system's own journal has to do.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// `N` random bytes in hex.
pub(super) fn random_id<const N: usize>() -> String {
    hex::encode(rand::random::<[u8; N]>())
}

/// The name of an object's manifest: a hash, so that no key can ever become a path.
pub(super) fn manifest_name(bucket: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(bucket.as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    format!("{}.json", hex::encode(hash.finalize()))
}
