//! The partial file, `.ID.part`, with mode 600 and locked while it is open.
//! Invariants: it contains the beginning of the file, without gaps; one that somebody else could have written is never used.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::{NamedTempFile, TempPath};

use crate::exit::failed;
use crate::names;

/// Limit for `name (2)`, `name (3)`, …
const SAME_NAME_MAX: u32 = 1_000;
/// Another `wb` may finish or remove its file at the same time, but not this often.
const OPEN_ATTEMPTS_MAX: usize = 10;
const SUFFIX: &str = ".part";

/// A partial file. If it has any bytes, it survives a drop, so that a later run can resume.
pub(crate) struct PartFile {
    file: NamedTempFile,
    length: u64,
}

impl PartFile {
    /// Opens the partial file of an earlier run, or creates a new one.
    ///
    /// # Errors
    /// If another `wb` is using it, or the folder is not writable.
    pub(crate) fn open(folder: &Path, id: &str) -> anyhow::Result<Self> {
        let path = path_of(folder, id);
        for _ in 0..OPEN_ATTEMPTS_MAX {
            let found = match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => reopen(&path)?,
                created => Some(created.with_context(|| format!("cannot create `{}`", path.display()))?),
            };
            if let Some(file) = found {
                return Ok(file);
            }
        }
        Err(in_use())
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads from the beginning. Must be read to the end before the next write.
    pub(super) fn reader(&self) -> io::Result<impl Read> {
        let mut file = self.file.as_file();
        file.rewind()?;
        Ok(file)
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.length += piece.len() as u64;
        self.file.disable_cleanup(true);
        Ok(())
    }

    /// Truncates the file.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.as_file().set_len(0)?;
        self.file.as_file().rewind()?;
        self.length = 0;
        self.file.disable_cleanup(false);
        Ok(())
    }

    /// Deletes the file.
    pub(super) fn discard(mut self) {
        self.file.disable_cleanup(false);
    }

    /// Renames a verified file and makes it durable. Replaces an existing file only with `force`.
    pub(crate) fn give_name(self, folder: &Path, name: &str, force: bool) -> anyhow::Result<PathBuf> {
        self.file.as_file().sync_all().context("cannot flush the file")?;
        let path =
            if force { replace(self.file, folder, name)? } else { first_free(self.file, folder, name)? };
        flush_folder(folder).context("cannot flush the folder")?;
        Ok(path)
    }
}

/// Whether a folder has partial files that are not empty.
pub(crate) fn has_partial_files(folder: &Path) -> bool {
    let is_partial = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let length = entry.metadata().ok()?.len();
        Some(name.starts_with('.') && name.ends_with(SUFFIX) && length > 0)
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|e| is_partial(e) == Some(true)))
}

fn path_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!(".{}{SUFFIX}", names::plain_id(id)))
}

fn create(path: &Path) -> io::Result<PartFile> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // On a file system without locks, the exclusive creation has to do.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let file = NamedTempFile::from_parts(file, TempPath::try_from_path(path)?);
    Ok(PartFile { file, length: 0 })
}

/// Opens an existing file if it is ours and not in use. Anything else with that name is removed; links are not followed.
fn reopen(path: &Path) -> anyhow::Result<Option<PartFile>> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if found.is_file()
        && let Ok(file) = File::options().read(true).write(true).open(path)
    {
        let lock = file.try_lock();
        if let Err(TryLockError::WouldBlock) = lock {
            return Err(in_use());
        }
        // Without a lock, two processes could write to the file.
        if lock.is_ok() && is_ours_alone(&file, path) {
            let length = file.metadata()?.len();
            let mut file = NamedTempFile::from_parts(file, TempPath::try_from_path(path)?);
            file.disable_cleanup(length > 0);
            return Ok(Some(PartFile { file, length }));
        }
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the stale `{}`", path.display()))
        }
        _ => Ok(None),
    }
}

/// Whether the open file is still at `path` (another process may have renamed it), has no other link, and only we can write
/// to it.
#[cfg(unix)]
fn is_ours_alone(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
        && open.nlink() == 1
        && open.mode() & 0o077 == 0
        && open.uid() == rustix::process::geteuid().as_raw()
}

/// On other systems we cannot tell, so every run starts over.
#[cfg(not(unix))]
fn is_ours_alone(_file: &File, _path: &Path) -> bool {
    false
}

fn in_use() -> anyhow::Error {
    failed("another `wb` is downloading this file to the same folder: wait for it, or choose another folder")
}

fn replace(file: NamedTempFile, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    file.persist(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn first_free(mut file: NamedTempFile, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for number in 1..=SAME_NAME_MAX {
        let path = folder.join(names::numbered(name, number));
        file = match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => taken.file,
            Err(other) => {
                return Err(other.error).with_context(|| format!("cannot write `{}`", path.display()));
            }
        };
    }
    Err(failed(format!(
        "there are already {SAME_NAME_MAX} copies of `{name}`: remove some, or choose another folder"
    )))
}

/// A rename is durable only after its folder is flushed, where folders can be opened.
fn flush_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_exclusive_while_open_and_can_be_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let mut alive = PartFile::open(folder.path(), "01A").unwrap();
        assert!(PartFile::open(folder.path(), "01A").is_err());
        alive.write(b"half").unwrap();
        drop(alive);
        assert!(has_partial_files(folder.path()));
        let mut again = PartFile::open(folder.path(), "01A").unwrap();
        assert_eq!(again.length(), 4);
        let mut read = String::new();
        again.reader().unwrap().read_to_string(&mut read).unwrap();
        again.write(b" and half").unwrap();
        let path = again.give_name(folder.path(), "a.log", false).unwrap();
        assert_eq!(
            (read.as_str(), std::fs::read_to_string(path).unwrap().as_str()),
            ("half", "half and half")
        );
        assert!(!has_partial_files(folder.path()));
    }

    #[test]
    fn an_empty_or_discarded_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(PartFile::open(folder.path(), "01A").unwrap());
        let mut file = PartFile::open(folder.path(), "01A").unwrap();
        file.write(b"bytes").unwrap();
        file.discard();
        let mut file = PartFile::open(folder.path(), "01A").unwrap();
        file.write(b"bytes").unwrap();
        file.restart().unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_others_could_have_written_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join(".01A.part");
        let plant = |mode| {
            std::fs::write(&part, "planted").unwrap();
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        plant(0o666);
        assert_eq!(PartFile::open(folder.path(), "01A").unwrap().length(), 0);
        plant(0o600);
        std::fs::hard_link(&part, folder.path().join("other name")).unwrap();
        assert_eq!(PartFile::open(folder.path(), "01A").unwrap().length(), 0);
        assert_eq!(std::fs::read(folder.path().join("other name")).unwrap(), b"planted");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = NamedTempFile::new().unwrap();
        for name in [".01A.part", "a.log"] {
            symlink(victim.path(), folder.path().join(name)).unwrap();
        }
        for (force, expected) in [(false, "a (2).log"), (true, "a.log")] {
            let mut file = PartFile::open(folder.path(), "01A").unwrap();
            file.write(b"bytes").unwrap();
            let path = file.give_name(folder.path(), "a.log", force).unwrap();
            assert_eq!(path.file_name().unwrap(), expected);
            assert!(path.symlink_metadata().unwrap().is_file());
        }
        assert_eq!(std::fs::read(victim.path()).unwrap(), b"");
    }
}
