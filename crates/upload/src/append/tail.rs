//! The tail: bytes after the last part that are too few for a part, stored as small objects until a part replaces them.
//! Invariant: the ledger replaces a tail before its objects are deleted; many small appends write their bytes once, and
//! the bytes are read back once.

use bucket::{Bucket, Crc64, Metadata, Payload};
use futures_util::StreamExt as _;
use ledger::{Tail, TailCommit, Upload};

use crate::append::buffer::PartBuffer;
use crate::append::part_lease::call_deadline;
use crate::append::target::Target;
use crate::limits::{signed, unsigned};
use crate::memory::budget::{AppendMemory, Permit};
use crate::uploads::Uploads;
use crate::{Error, Result, lost};

/// Pieces of one tail; the next one replaces them all. At 64 KiB each they are nearly a part.
#[cfg(not(test))]
const PIECES_MAX: usize = 64;
#[cfg(test)]
const PIECES_MAX: usize = 4;

/// The tail that an append finds and adds to.
pub(crate) struct StoredTail<'a> {
    target: &'a Target<'a>,
    /// Pieces stored after the last part that was cut.
    pieces: Vec<Tail>,
    /// How many of them, the last ones, are not committed yet.
    uncommitted: usize,
    /// Pieces that the next commit replaces.
    replaced: Vec<Tail>,
    /// Pieces stored by this append.
    written: u64,
    /// The running SHA-256 after the last piece.
    sha256_state: String,
    /// Whether the next part's buffer begins with the tail's bytes.
    is_loaded: bool,
}

impl<'a> StoredTail<'a> {
    pub(crate) fn new(target: &'a Target<'a>, pieces: Vec<Tail>) -> Self {
        let (replaced, sha256_state) = (Vec::new(), String::new());
        Self { target, pieces, uncommitted: 0, replaced, written: 0, sha256_state, is_loaded: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pieces.len() >= PIECES_MAX
    }

    /// The byte after it in the file.
    pub(crate) fn end(&self) -> Option<u64> {
        self.pieces.last().map(|tail| unsigned(tail.offset) + unsigned(tail.size))
    }

    /// Bytes that are in the bucket and not in the next part's buffer.
    pub(crate) fn unloaded_bytes(&self) -> u64 {
        if self.is_loaded { 0 } else { self.pieces.iter().map(|tail| unsigned(tail.size)).sum() }
    }

    /// Reads all pieces. If one of them is not what was stored, the permit's memory is released.
    pub(crate) async fn read(&self, memory: &AppendMemory, mut permit: Permit) -> Result<PartBuffer> {
        let (target, mut buffer) = (self.target, PartBuffer::default());
        for tail in &self.pieces {
            let damaged = || Error::Damaged(format!("{} is not what was stored", tail.key));
            let read = lost::read_tail(target.bucket, &target.upload.id, tail).await?;
            let mut frames = Box::pin(read.stream());
            let (mut bytes, mut crc64) = (0, bucket::Crc64Hasher::new());
            while let Some(frame) = frames.next().await {
                let frame = frame?;
                crc64.update(&frame);
                bytes += frame.len() as u64;
                let mut rest = &frame[..];
                while !rest.is_empty() {
                    if buffer.room() == 0 {
                        buffer.add(memory.buffer_of(&mut permit).ok_or_else(damaged)?);
                    }
                    let (now, later) = rest.split_at(rest.len().min(buffer.room()));
                    buffer.fill(now);
                    rest = later;
                }
            }
            if bytes != unsigned(tail.size) || Crc64::from_hex(&tail.crc64) != Some(crc64.value()) {
                return Err(damaged());
            }
        }
        Ok(buffer)
    }

    /// The next part's buffer begins with the tail now.
    pub(crate) fn loaded(&mut self) {
        self.is_loaded = true;
    }

    /// Stores a piece that ends at `end` in the file. If the tail was loaded, the piece replaces it.
    pub(crate) async fn store(&mut self, payload: &Payload, end: u64, sha256_state: String) -> Result<()> {
        let (target, offset) = (self.target, end - payload.len());
        // A piece that replaces others begins where the first of them does: the counter makes its key unique.
        let (id, epoch) = (&target.upload.id, target.epoch);
        let key = format!("{}{offset:020}-{epoch}-{}", prefix(target.bucket, id), self.written);
        self.written += 1;
        let metadata: Metadata = vec![("upload-id", id.clone())];
        let mut retry = target.uploads.storage_retry();
        loop {
            target.uploads.0.ledger.tail_begun(id, epoch, call_deadline()).await?;
            let put = target.bucket.put(&key, "application/octet-stream", &metadata, payload).await;
            match put.map_err(Error::from) {
                Ok(()) => break,
                Err(error) if retry.again("tail", &error, target.signals.retries_over()).await => {}
                Err(error) => return Err(error),
            }
        }
        self.replace();
        let (offset, size, crc64) = (signed(offset), signed(payload.len()), payload.crc64().to_hex());
        self.pieces.push(Tail { offset, size, crc64, key });
        self.uncommitted += 1;
        self.sha256_state = sha256_state;
        Ok(())
    }

    /// Something stored replaces the tail, if it begins with it.
    pub(crate) fn replace(&mut self) {
        if std::mem::take(&mut self.is_loaded) {
            self.delete_uncommitted();
            self.replaced.append(&mut self.pieces);
        }
    }

    /// Deletes pieces that no offset covers, nor will.
    pub(crate) fn delete_uncommitted(&mut self) {
        let uncommitted = self.pieces.split_off(self.pieces.len() - std::mem::take(&mut self.uncommitted));
        self.target.uploads.delete_tails(self.target.bucket, uncommitted);
    }

    /// What the ledger has to record.
    pub(crate) fn commits(&self) -> Vec<TailCommit<'_>> {
        let uncommitted = &self.pieces[self.pieces.len() - self.uncommitted..];
        let commit = |(at, tail)| TailCommit {
            upload_id: &self.target.upload.id,
            epoch: self.target.epoch,
            tail,
            sha256_state: &self.sha256_state,
            replaces: at == 0 && !self.replaced.is_empty(),
        };
        uncommitted.iter().enumerate().map(commit).collect()
    }

    /// The ledger has recorded it: what it replaces is deleted.
    pub(crate) fn committed(&mut self) {
        self.uncommitted = 0;
        self.target.uploads.delete_tails(self.target.bucket, std::mem::take(&mut self.replaced));
    }
}

/// Where the pieces of an upload's tail lie, hidden from every listing.
fn prefix(bucket: &Bucket, upload_id: &str) -> String {
    bucket::layout::tail_prefix(bucket.prefix(), upload_id)
}

impl Uploads {
    /// Deletes replaced pieces in the background. If the process dies before, they are deleted when the upload ends.
    fn delete_tails(&self, bucket: &Bucket, tails: Vec<Tail>) {
        if tails.is_empty() {
            return;
        }
        let bucket = bucket.clone();
        self.spawn(async move {
            for tail in tails {
                if let Err(error) = bucket.delete(&tail.key).await {
                    tracing::debug!(error = %error, "cannot delete a piece of a tail; it is deleted when the upload ends");
                }
            }
        });
    }

    /// Deletes every piece of an upload's tail.
    pub(crate) async fn clear_tails(&self, upload: &Upload) -> Result<()> {
        let bucket = self.bucket(upload)?;
        let prefix = prefix(bucket, &upload.id);
        let mut next = None;
        loop {
            let page = bucket.list(&prefix, next.as_deref()).await?;
            for object in page.objects {
                bucket.delete(&object.key).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }
}
