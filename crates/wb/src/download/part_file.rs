//! The hidden file that bytes wait in until they are verified: `.ID.part`, mode 600, locked for as long as it is open.
//! Invariant: it holds a gap-free beginning of the file, and one that somebody else could have written to is never used.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::{NamedTempFile, TempPath};

use crate::{failure::failed, names};

/// `name (2)`, `name (3)`, … up to this; more copies of one file are a mistake.
const SAME_NAME_MAX: u32 = 1_000;
/// Another `wb` may finish, or remove a file of its own, while we look: more turns than this are not bad luck.
const OPEN_TRIES_MAX: usize = 10;
const SUFFIX: &str = ".part";

/// An unfinished file. It stays when it is dropped with bytes in it, so that a later run goes on behind them.
pub(crate) struct PartFile {
    file: NamedTempFile,
    length: u64,
}

impl PartFile {
    /// The file for `id` in `folder`: what an earlier run has left, or a new one.
    ///
    /// # Errors
    /// When another `wb` is at it, or the folder cannot be written to.
    pub(crate) fn open(folder: &Path, id: &str) -> anyhow::Result<Self> {
        let path = path_of(folder, id);
        for _ in 0..OPEN_TRIES_MAX {
            let found = match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take_up(&path)?,
                created => Some(created.with_context(|| format!("create `{}`", path.display()))?),
            };
            if let Some(file) = found {
                return Ok(file);
            }
        }
        Err(in_use())
    }

    /// Bytes in it.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// From its beginning; what is written next goes behind its end only after all has been read.
    pub(super) fn reader(&self) -> io::Result<impl Read> {
        let mut file = self.file.as_file();
        file.rewind()?;
        Ok(file)
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.file.disable_cleanup(true);
        Ok(())
    }

    /// Forgets every byte.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.as_file().set_len(0)?;
        self.file.as_file().rewind()?;
        self.length = 0;
        self.file.disable_cleanup(false);
        Ok(())
    }

    /// Removes the file.
    pub(super) fn discard(mut self) {
        self.file.disable_cleanup(false);
    }

    /// Gives a verified file its name and makes both durable. Without `force` an existing file is never replaced.
    pub(crate) fn give_name(self, folder: &Path, name: &str, force: bool) -> anyhow::Result<PathBuf> {
        self.file.as_file().sync_all().context("flush the file")?;
        let path =
            if force { replace(self.file, folder, name)? } else { first_free(self.file, folder, name)? };
        flush_folder(folder).context("flush the folder")?;
        Ok(path)
    }
}

/// Whether a folder holds unfinished files with something in them.
pub(crate) fn keeps_unfinished(folder: &Path) -> bool {
    let is_unfinished = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let length = entry.metadata().ok()?.len();
        Some(name.starts_with('.') && name.ends_with(SUFFIX) && length > 0)
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|e| is_unfinished(e) == Some(true)))
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
    // File systems without locks still have the exclusive creation.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let file = NamedTempFile::from_parts(file, TempPath::try_from_path(path)?);
    Ok(PartFile { file, length: 0 })
}

/// What is there already, if it is ours and nobody works on it. Anything else of that name is removed, a link never followed.
fn take_up(path: &Path) -> anyhow::Result<Option<PartFile>> {
    let there = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        there => there?,
    };
    if there.is_file()
        && let Ok(file) = File::options().read(true).write(true).open(path)
    {
        let lock = file.try_lock();
        if let Err(TryLockError::WouldBlock) = lock {
            return Err(in_use());
        }
        // Without a lock two of us could write into one file.
        if lock.is_ok() && is_ours_alone(&file, path) {
            let length = file.metadata()?.len();
            let mut file = NamedTempFile::from_parts(file, TempPath::try_from_path(path)?);
            file.disable_cleanup(length > 0);
            return Ok(Some(PartFile { file, length }));
        }
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove the stale `{}`", path.display()))
        }
        _ => Ok(None),
    }
}

/// Whether the open file is still what stands at `path` (its former holder may have given it a name), has no other name,
/// and only we can write to it.
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

/// Elsewhere that cannot be told, so every run begins anew.
#[cfg(not(unix))]
fn is_ours_alone(_file: &File, _path: &Path) -> bool {
    false
}

fn in_use() -> anyhow::Error {
    failed("another `wb` is fetching this upload into the same folder")
}

fn replace(file: NamedTempFile, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    file.persist(&path).with_context(|| format!("write `{}`", path.display()))?;
    Ok(path)
}

fn first_free(mut file: NamedTempFile, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for number in 1..=SAME_NAME_MAX {
        let path = folder.join(names::numbered(name, number));
        file = match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => taken.file,
            Err(other) => return Err(other.error).with_context(|| format!("write `{}`", path.display())),
        };
    }
    Err(failed(format!("`{name}` is there {SAME_NAME_MAX} times already")))
}

/// A rename is durable only with its folder; where folders cannot be opened there is nothing to do.
fn flush_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_exclusive_while_open_and_goes_on_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let mut alive = PartFile::open(folder.path(), "01A").unwrap();
        assert!(PartFile::open(folder.path(), "01A").is_err());
        alive.write(b"half").unwrap();
        drop(alive);
        assert!(keeps_unfinished(folder.path()));
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
        assert!(!keeps_unfinished(folder.path()));
    }

    #[test]
    fn an_empty_or_discarded_one_leaves_nothing() {
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
    fn what_others_could_have_written_is_not_used() {
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
