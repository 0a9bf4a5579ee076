//! Bytes of an upload or object, fetched in parallel ranges, hashed once, verified before they get a name.
//!
//! Ranges of `PIECE_BYTES` are fetched ahead by tasks of their own and handed over *in order*, so SHA-256 runs over each
//! byte exactly once, from memory; only what an earlier run left is read back. At most `parallel` + 1 pieces are held a file.

mod part_file;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use bucket::{Crc64, Crc64Hasher};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::part_file::{PartFile, keeps_unfinished};
use crate::{
    api::Content,
    failure::{Status, mismatch, status_of},
    output::data,
    s3::ObjectContent,
    trouble::Trouble,
};

/// Large enough that a round trip costs little, small enough to hold several in memory.
const PIECE_BYTES: u64 = 16 << 20;
/// Tries without a single new byte before giving up: about 40 s of waiting.
const TRIES_MAX: u32 = 9;
/// For reading local files.
const BUFFER_BYTES: usize = 1 << 20;

/// One file to fetch.
pub(crate) struct Item {
    /// Names the unfinished file: the same id always stands for the same bytes.
    pub(crate) id: String,
    /// As it was given: not to be trusted as a path or on a terminal.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) proof: Proof,
    pub(crate) source: Arc<Source>,
    /// What `--json` prints about it.
    pub(crate) facts: Value,
}

/// Where bytes come from.
pub(crate) enum Source {
    Gateway(Content),
    Bucket(ObjectContent),
}

impl Source {
    async fn read(
        &self,
        start: u64,
        end: u64,
        piece: &mut Vec<u8>,
        arrived: impl Fn(u64),
    ) -> Result<(), Trouble> {
        match self {
            Self::Gateway(content) => content.read(start, end, piece, arrived).await,
            Self::Bucket(content) => content.read(start, end, piece, arrived).await,
        }
    }
}

/// What vouches for the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The SHA-256 of the receipt, lower-case hex.
    Receipt(String),
    /// The SHA-256 written with the object, lower-case hex.
    Metadata(String),
    /// The store's own checksum of the whole object.
    Crc64(Crc64),
    /// Nothing does.
    Nothing,
}

impl Proof {
    /// The word for it in `--json`; none when nothing vouches.
    pub(crate) fn verified_by(&self) -> Option<&'static str> {
        match self {
            Self::Receipt(_) => Some("receipt"),
            Self::Metadata(_) => Some("metadata"),
            Self::Crc64(_) => Some("crc64nvme"),
            Self::Nothing => None,
        }
    }

    /// Says what is wrong with bytes that have these sums, if anything is.
    pub(crate) fn contradiction(&self, sums: &Sums) -> Option<String> {
        let (who, expected) = match self {
            Self::Receipt(sha256) => ("the receipt", sha256),
            Self::Metadata(sha256) => ("the object's metadata", sha256),
            Self::Crc64(crc64) => {
                return (sums.crc64 != *crc64).then(|| {
                    let (expected, actual) = (crc64.to_hex(), sums.crc64.to_hex());
                    format!(
                        "integrity mismatch: the bucket says CRC-64/NVME {expected}, the bytes have {actual}"
                    )
                });
            }
            Self::Nothing => return None,
        };
        let actual = &sums.sha256;
        (!actual.eq_ignore_ascii_case(expected))
            .then(|| format!("integrity mismatch: {who} says SHA-256 {expected}, the bytes have {actual}"))
    }
}

/// Size and checksums of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    pub(crate) size_bytes: u64,
    /// Lower-case hex.
    pub(crate) sha256: String,
    pub(crate) crc64: Crc64,
}

/// Both checksums at once: the CRC costs next to nothing beside SHA-256.
#[derive(Default)]
pub(crate) struct Hasher {
    size_bytes: u64,
    sha256: Sha256,
    crc64: Crc64Hasher,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        self.size_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.sha256.update(bytes);
        self.crc64.update(bytes);
    }

    fn sums(self) -> Sums {
        Sums { size_bytes: self.size_bytes, sha256: hex(&self.sha256.finalize()), crc64: self.crc64.value() }
    }

    /// Takes in everything that is left to read. `passed` hears of every chunk.
    fn read(&mut self, mut from: impl Read, passed: impl Fn(u64)) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                length => {
                    self.update(&buffer[..length]);
                    passed(u64::try_from(length).unwrap_or(u64::MAX));
                }
            }
        }
    }
}

/// Where verified bytes go.
pub(crate) enum Sink {
    /// A hidden file that has no name of its own yet.
    File(PartFile),
    /// Standard output: already read by someone before the digest is known.
    Stdout,
    /// Nowhere: only the digest matters.
    Nothing,
}

impl Sink {
    fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.write(piece).context("write to the folder"),
            Self::Stdout => data(piece),
            Self::Nothing => Ok(()),
        }
    }

    /// Bytes that an earlier run has left.
    fn kept_bytes(&self) -> u64 {
        if let Self::File(file) = self { file.length() } else { 0 }
    }

    fn restart(&mut self) -> io::Result<()> {
        if let Self::File(file) = self { file.restart() } else { Ok(()) }
    }

    fn discard(self) {
        if let Self::File(file) = self {
            file.discard();
        }
    }
}

/// Fetches all bytes of `item` into `sink` and verifies them; the sink is handed back only if they are right.
///
/// # Errors
/// Status 5 when the bytes are not those that were promised; then, and when there are none any more, nothing is kept.
pub(crate) async fn fetch(
    item: &Item,
    parallel: u8,
    mut sink: Sink,
    bar: &ProgressBar,
) -> anyhow::Result<(Sink, Sums)> {
    // What nothing vouches for must at least come out of one run.
    if sink.kept_bytes() > item.size_bytes || item.proof == Proof::Nothing {
        sink.restart()?;
    }
    loop {
        let kept_bytes = sink.kept_bytes();
        let (back, sums) = pull(item, parallel, sink, bar).await?;
        let Some(contradiction) = item.proof.contradiction(&sums) else {
            return Ok((back, sums));
        };
        if kept_bytes == 0 {
            back.discard();
            return Err(mismatch(contradiction));
        }
        // What was left may have been damaged since, for example by a power cut: once more, from the beginning.
        sink = back;
        sink.restart()?;
        bar.set_position(0);
    }
}

/// Everything from where the sink stands to the end.
async fn pull(item: &Item, parallel: u8, sink: Sink, bar: &ProgressBar) -> anyhow::Result<(Sink, Sums)> {
    let start = sink.kept_bytes();
    let progress = bar.clone();
    let mut state = spawn_blocking(move || {
        let mut hasher = Hasher::default();
        if let Sink::File(file) = &sink {
            let passed = |bytes| progress.inc(bytes);
            hasher.read(file.reader()?, passed).context("read what an earlier run has left")?;
        }
        anyhow::Ok((sink, hasher))
    })
    .await??;
    bar.reset_eta();
    let mut pieces = stream::iter(ranges(start, item.size_bytes))
        .map(|(start, end)| {
            let task = fetch_piece(Arc::clone(&item.source), start, end, bar.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        })
        .buffered(usize::from(parallel));
    while let Some(piece) = pieces.next().await {
        let piece = match piece.context("fetch").flatten() {
            Ok(piece) => piece,
            Err(error) => {
                if matches!(status_of(&error), Status::Mismatch | Status::NotFound) {
                    state.0.discard();
                }
                return Err(error);
            }
        };
        // Hashing and writing are for a thread that may block; a failed write drops the sink.
        state = spawn_blocking(move || {
            let (mut sink, mut hasher) = state;
            hasher.update(&piece);
            sink.write(&piece).map(|()| (sink, hasher))
        })
        .await??;
    }
    let (sink, hasher) = state;
    Ok((sink, hasher.sums()))
}

/// Consecutive ranges from `start` to the end, first byte and the one after the last.
fn ranges(start: u64, size_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..size_bytes.saturating_sub(start).div_ceil(PIECE_BYTES))
        .map(move |n| (start + n * PIECE_BYTES, (start + (n + 1) * PIECE_BYTES).min(size_bytes)))
}

/// One range, going on where a connection broke off. Progress resets the patience.
async fn fetch_piece(source: Arc<Source>, start: u64, end: u64, bar: ProgressBar) -> anyhow::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(usize::try_from(end - start)?);
    let mut failures = 0;
    loop {
        let before = piece.len();
        let next = start + u64::try_from(before)?;
        let Err(trouble) = source.read(next, end, &mut piece, |bytes| bar.inc(bytes)).await else {
            return Ok(piece);
        };
        failures = if piece.len() > before { 1 } else { failures + 1 };
        match trouble.pause(failures) {
            Some(pause) if failures < TRIES_MAX => tokio::time::sleep(pause).await,
            _ => return Err(trouble.error),
        }
    }
}

/// Size and checksums of a local file.
pub(crate) fn sums_of(path: &Path) -> io::Result<Sums> {
    let mut hasher = Hasher::default();
    hasher.read(File::open(path)?, |_| ())?;
    Ok(hasher.sums())
}

/// Lower-case hex.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_byte_once() {
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            for begin in [0, 1, 1_000, PIECE_BYTES, size].into_iter().filter(|begin| *begin <= size) {
                let mut next = begin;
                for (start, end) in ranges(begin, size) {
                    assert!(
                        start == next && end > start && end - start <= PIECE_BYTES,
                        "{size}: {start}..{end}"
                    );
                    next = end;
                }
                assert_eq!(next, size);
            }
        }
    }

    #[test]
    fn proofs_accept_their_bytes_only() {
        let sums = |bytes: &[u8]| {
            let mut hasher = Hasher::default();
            hasher.update(bytes);
            hasher.sums()
        };
        let (right, wrong) = (sums(b"right"), sums(b"wrong"));
        for proof in [
            Proof::Receipt(right.sha256.clone()),
            Proof::Metadata(right.sha256.to_uppercase()),
            Proof::Crc64(right.crc64),
        ] {
            assert_eq!(proof.contradiction(&right), None, "{proof:?}");
            let text = proof.contradiction(&wrong).unwrap();
            assert!(text.starts_with("integrity mismatch") && proof.verified_by().is_some(), "{text}");
        }
        assert_eq!((Proof::Nothing.contradiction(&wrong), Proof::Nothing.verified_by()), (None, None));
    }
}
