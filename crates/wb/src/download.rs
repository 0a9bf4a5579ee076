//! Downloads a file in parallel ranges and verifies it.
//!
//! Tasks fetch pieces of `PIECE_BYTES` ahead and deliver them *in order*, so each byte is hashed once, from memory. Only the
//! bytes of an interrupted run are read back. Invariant: at most `parallel` + 1 pieces per file are in memory.

pub(crate) mod part_file;

use std::io;
use std::sync::Arc;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use self::part_file::PartFile;
use crate::checksum::{FileDigests, Hasher, Proof};
use crate::exit::{Status, mismatch, status_of};
use crate::item::Item;
use crate::output::{Output, data};
use crate::source::Source;

/// Large enough to make round trips cheap, small enough to hold several in memory.
const PIECE_BYTES: u64 = 16 << 20;
/// Attempts without a new byte before giving up: about 40 s of waiting.
const ATTEMPTS_MAX: u32 = 9;

/// Where the bytes go.
pub(crate) enum Sink {
    /// A hidden partial file.
    File(PartFile),
    /// Standard output: the bytes are out before they can be verified.
    Stdout,
    /// Nowhere: the bytes are only verified.
    Nothing,
}

impl Sink {
    fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.write(piece).context("cannot write the file"),
            Self::Stdout => data(piece),
            Self::Nothing => Ok(()),
        }
    }

    /// Bytes from an interrupted run.
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

/// Downloads `item` into `sink`, with a progress bar, and verifies it. Returns the sink only if the bytes are right.
///
/// # Errors
/// Status 5 if the bytes do not match. Then, and if the file no longer exists, the partial file is deleted.
pub(crate) async fn fetch(
    item: &Item,
    parallel: u8,
    sink: Sink,
    output: &Output,
) -> anyhow::Result<(Sink, FileDigests)> {
    let bar = output.bar(&item.name, item.size_bytes);
    let fetched = fetch_shown(item, parallel, sink, &bar).await;
    bar.finish_and_clear();
    fetched
}

async fn fetch_shown(
    item: &Item,
    parallel: u8,
    mut sink: Sink,
    bar: &ProgressBar,
) -> anyhow::Result<(Sink, FileDigests)> {
    // Bytes that cannot be verified must at least come from a single run.
    if sink.kept_bytes() > item.size_bytes || item.proof == Proof::Nothing {
        sink.restart()?;
    }
    loop {
        let kept_bytes = sink.kept_bytes();
        let (back, sums) = pull(item, parallel, sink, bar).await?;
        let Some(reason) = item.proof.mismatch(&sums) else {
            return Ok((back, sums));
        };
        if kept_bytes == 0 {
            back.discard();
            return Err(mismatch(reason));
        }
        // The partial file may have been damaged, for example by a power failure: start over.
        sink = back;
        sink.restart()?;
        bar.set_position(0);
    }
}

/// Downloads everything after the bytes that the sink already has.
async fn pull(
    item: &Item,
    parallel: u8,
    sink: Sink,
    bar: &ProgressBar,
) -> anyhow::Result<(Sink, FileDigests)> {
    let start = sink.kept_bytes();
    let progress = bar.clone();
    let mut state = spawn_blocking(move || {
        let mut hasher = Hasher::default();
        if let Sink::File(file) = &sink {
            let passed = |bytes| progress.inc(bytes);
            hasher.read(file.reader()?, passed).context("cannot read the partial file")?;
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
        let piece = match piece.context("the download task failed").flatten() {
            Ok(piece) => piece,
            Err(error) => {
                if matches!(status_of(&error), Status::Mismatch | Status::NotFound) {
                    state.0.discard();
                }
                return Err(error);
            }
        };
        // Hashing and writing block. A failed write drops the sink.
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

/// Consecutive ranges from `start` to the end, as the first byte and the one after the last.
fn ranges(start: u64, size_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..size_bytes.saturating_sub(start).div_ceil(PIECE_BYTES))
        .map(move |n| (start + n * PIECE_BYTES, (start + (n + 1) * PIECE_BYTES).min(size_bytes)))
}

/// Fetches one range. Continues where a connection broke; only attempts without progress count as failures.
async fn fetch_piece(source: Arc<Source>, start: u64, end: u64, bar: ProgressBar) -> anyhow::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(usize::try_from(end - start)?);
    let mut failures = 0;
    loop {
        let before = piece.len();
        let next = start + u64::try_from(before)?;
        let Err(failed) = source.read(next, end, &mut piece, |bytes| bar.inc(bytes)).await else {
            return Ok(piece);
        };
        failures = if piece.len() > before { 1 } else { failures + 1 };
        match failed.pause(failures) {
            Some(pause) if failures < ATTEMPTS_MAX => tokio::time::sleep(pause).await,
            _ => return Err(failed.error),
        }
    }
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
}
