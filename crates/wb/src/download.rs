//! Bytes of an upload, fetched in parallel ranges, hashed once, verified before they get a name.
//!
//! Ranges of `PIECE_BYTES` are fetched ahead by tasks of their own and handed over *in order*, so SHA-256 runs over each
//! byte exactly once, from memory, and nothing is read back. At most `parallel` + 1 pieces are held for each file.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::{Api, Content},
    cli::Transfer,
    failure::{failed, mismatch, not_found},
    names,
    output::data,
    receipt::Receipt,
};

/// Large enough that a round trip costs little, small enough to hold several in memory.
const PIECE_BYTES: u64 = 16 << 20;
/// Tries without a single new byte before giving up: about 40 s of waiting.
const TRIES_MAX: u32 = 9;
/// `name (2)`, `name (3)`, … up to this; more copies of one file are a mistake.
const SAME_NAME_MAX: u32 = 1_000;

/// Where verified bytes go.
pub(crate) enum Sink {
    /// A hidden file that has no name of its own yet.
    File(NamedTempFile),
    /// Standard output: already read by someone before the digest is known.
    Stdout,
    /// Nowhere: only the digest matters.
    Nothing,
}

impl Sink {
    fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.write_all(piece).context("write to the folder"),
            Self::Stdout => data(piece),
            Self::Nothing => Ok(()),
        }
    }
}

/// Fetches all bytes of a completed upload into `sink` and verifies them; the sink is handed back only if they are right.
///
/// # Errors
/// Status 5 when size or SHA-256 are not those of the receipt, 3 for an upload that is still open.
pub(crate) async fn fetch(
    api: &Arc<Api>,
    receipt: &Receipt,
    transfer: Transfer,
    sink: Sink,
    bar: &ProgressBar,
) -> anyhow::Result<Sink> {
    let Some((size_bytes, sha256)) = receipt.proof() else {
        return Err(not_found("the upload is not complete: there is nothing to fetch yet"));
    };
    let content = Arc::new(Content::new(api, &receipt.id, size_bytes, transfer.via_gateway));
    let mut pieces = stream::iter(ranges(size_bytes))
        .map(|(start, end)| {
            let task = fetch_piece(Arc::clone(&content), start, end, bar.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        })
        .buffered(usize::from(transfer.parallel));
    let mut state = (sink, Sha256::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("fetch")??;
        // Hashing and writing are for a thread that may block; a failed write drops the sink, and its file.
        state = spawn_blocking(move || {
            let (mut sink, mut hasher) = state;
            hasher.update(&piece);
            sink.write(&piece).map(|()| (sink, hasher))
        })
        .await??;
    }
    let (sink, hasher) = state;
    let actual = hex(&hasher.finalize());
    if !actual.eq_ignore_ascii_case(sha256) {
        return Err(mismatch(format!(
            "integrity mismatch: the receipt says SHA-256 {sha256}, the bytes have {actual}"
        )));
    }
    Ok(sink)
}

/// Consecutive ranges, first byte and the one after the last.
fn ranges(size_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..size_bytes.div_ceil(PIECE_BYTES))
        .map(move |n| (n * PIECE_BYTES, ((n + 1) * PIECE_BYTES).min(size_bytes)))
}

/// One range, going on where a connection broke off. Progress resets the patience.
async fn fetch_piece(
    content: Arc<Content>,
    start: u64,
    end: u64,
    bar: ProgressBar,
) -> anyhow::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(usize::try_from(end - start)?);
    let mut failures = 0;
    loop {
        let before = piece.len();
        let next = start + u64::try_from(before)?;
        let Err(trouble) = content.read(next, end, &mut piece, |bytes| bar.inc(bytes)).await else {
            return Ok(piece);
        };
        failures = if piece.len() > before { 1 } else { failures + 1 };
        match trouble.pause(failures) {
            Some(pause) if failures < TRIES_MAX => tokio::time::sleep(pause).await,
            _ => return Err(trouble.error),
        }
    }
}

/// SHA-256 and size of a local file.
pub(crate) fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size_bytes = 0;
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok((size_bytes, hex(&hasher.finalize()))),
            length => {
                hasher.update(&buffer[..length]);
                size_bytes += u64::try_from(length).unwrap_or(u64::MAX);
            }
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new hidden file for upload `id` in `folder`, mode 600, locked for as long as it is open. It removes itself unless it gets a name.
///
/// # Errors
/// When another `wb` is at it. A file left by a killed one is replaced.
pub(crate) fn unfinished_file(folder: &Path, id: &str) -> anyhow::Result<NamedTempFile> {
    let prefix = format!(".{}", names::plain_id(id));
    let create =
        || tempfile::Builder::new().prefix(&prefix).suffix(".part").rand_bytes(0).tempfile_in(folder);
    let path = folder.join(format!("{prefix}.part"));
    let file = match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove_stale(&path).with_context(|| format!("remove the stale `{}`", path.display()))?;
            create()
        }
        created => created,
    };
    let file = file.with_context(|| format!("create `{}`", path.display()))?;
    // File systems without locks still have the exclusive creation.
    if let Err(TryLockError::WouldBlock) = file.as_file().try_lock() {
        return Err(in_use());
    }
    Ok(file)
}

/// Removes what stands in the way, unless a living process holds it. A link is removed, never followed.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata()?.is_file()
        && let Err(TryLockError::WouldBlock) = File::open(path)?.try_lock()
    {
        return Err(in_use());
    }
    Ok(std::fs::remove_file(path)?)
}

fn in_use() -> anyhow::Error {
    failed("another `wb` is fetching this upload into the same folder")
}

/// Gives a verified file its name and makes both durable. Without `force` an existing file is never replaced.
pub(crate) fn give_name(
    file: NamedTempFile,
    folder: &Path,
    name: &str,
    force: bool,
) -> anyhow::Result<PathBuf> {
    file.as_file().sync_all().context("flush the file")?;
    let path = if force { replace(file, folder, name)? } else { first_free(file, folder, name)? };
    flush_folder(folder).context("flush the folder")?;
    Ok(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_byte_once() {
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let mut next = 0;
            for (start, end) in ranges(size) {
                assert!(start == next && end > start && end - start <= PIECE_BYTES, "{size}: {start}..{end}");
                next = end;
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn an_unfinished_file_is_exclusive_while_it_lives_and_replaced_when_stale() {
        let folder = tempfile::tempdir().unwrap();
        let alive = unfinished_file(folder.path(), "01A").unwrap();
        assert!(unfinished_file(folder.path(), "01A").is_err());
        drop(alive);
        std::fs::write(folder.path().join(".01A.part"), "left behind").unwrap();
        assert_eq!(unfinished_file(folder.path(), "01A").unwrap().as_file().metadata().unwrap().len(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = NamedTempFile::new().unwrap();
        for name in [".01A.part", "a.log"] {
            std::os::unix::fs::symlink(victim.path(), folder.path().join(name)).unwrap();
        }
        let mut file = unfinished_file(folder.path(), "01A").unwrap();
        file.write_all(b"bytes").unwrap();
        let path = give_name(file, folder.path(), "a.log", false).unwrap();
        assert_eq!(path.file_name().unwrap(), "a (2).log");
        let mut file = unfinished_file(folder.path(), "01A").unwrap();
        file.write_all(b"bytes").unwrap();
        let path = give_name(file, folder.path(), "a.log", true).unwrap();
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read(victim.path()).unwrap(), b"");
    }
}
