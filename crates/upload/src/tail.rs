//! The tail: bytes after the last part that are too few for one, kept as small objects of their own until a part takes
//! their place. Invariant: a tail is replaced in the ledger before its objects go; many small appends each write their own
//! bytes once, and are read back once.

use bucket::{Bucket, Crc64, Metadata};
use futures_util::StreamExt as _;
use ledger::{Tail, Upload};

use crate::budget::Grant;
use crate::engine::{Uploads, signed, unsigned};
use crate::part::Part;
use crate::plan::PART_BYTES_MIN;
use crate::receiving::{Receiving, Stored, deadline};
use crate::{Error, Result, lost};

/// Pieces of one tail; the next takes their place. At 64 KiB each they are nearly a part.
#[cfg(not(test))]
const PIECES_MAX: usize = 64;
#[cfg(test)]
const PIECES_MAX: usize = 4;

impl Uploads {
    /// Where the pieces of an upload's tail lie. Hidden from every listing.
    pub(crate) fn tail_prefix(bucket: &Bucket, upload_id: &str) -> String {
        bucket::layout::tail_prefix(bucket.prefix(), upload_id)
    }

    /// Deletes pieces that a part has replaced, in the background. What is left by a death in between goes when the upload
    /// ends.
    pub(crate) fn forget_tails(&self, bucket: &Bucket, tails: Vec<Tail>) {
        if tails.is_empty() {
            return;
        }
        let bucket = bucket.clone();
        self.spawn(async move {
            for tail in tails {
                if let Err(error) = bucket.delete(&tail.key).await {
                    tracing::debug!(error = %error, "delete a piece of a tail; it goes when the upload ends");
                }
            }
        });
    }

    /// Deletes every piece of an upload's tail.
    pub(crate) async fn clear_tails(&self, upload: &Upload) -> Result<()> {
        let bucket = self.bucket(upload)?;
        let prefix = Self::tail_prefix(bucket, &upload.id);
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

impl Receiving<'_> {
    /// Puts the stored tail before what was gathered since, in memory of its own. One that comes back as something else is read
    /// again, and refused for now when that does not help: only one that is gone ends its upload.
    pub(crate) async fn load_tail(&mut self) -> Result<()> {
        if self.tail_loaded || self.tails.is_empty() {
            return Ok(());
        }
        let bytes = self.tails.iter().map(|tail| unsigned(tail.size)).sum();
        let mut patience = self.uploads.patience();
        let front = loop {
            let grant = tokio::select! {
                biased;
                () = self.evicted.cancelled() => return Err(self.give_way().await),
                grant = self.account.for_tail(bytes) => grant,
            };
            match self.read_tails(grant).await {
                Err(error) if patience.again("tail-read", &error, self.hurry.comes()).await => {}
                other => break other?,
            }
        };
        self.part.put_in_front(front);
        self.tail_loaded = true;
        Ok(())
    }

    /// All pieces of the stored tail. Their memory goes back when one of them is not what was stored.
    async fn read_tails(&self, mut grant: Grant) -> Result<Part> {
        let mut front = Part::default();
        for tail in &self.tails {
            self.read_tail(tail, &mut front, &mut grant).await?;
        }
        Ok(front)
    }

    async fn read_tail(&self, tail: &Tail, into: &mut Part, grant: &mut Grant) -> Result<()> {
        let not_ours = || Error::Damaged(format!("{} is not what was stored", tail.key));
        let read = lost::read_tail(self.bucket, &self.upload.id, tail).await?;
        let mut frames = Box::pin(read.stream());
        let (mut bytes, mut crc64) = (0, bucket::Crc64Hasher::new());
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            crc64.update(&frame);
            bytes += frame.len() as u64;
            let mut rest = &frame[..];
            while !rest.is_empty() {
                if into.room() == 0 {
                    into.add_piece(self.account.piece_of(grant).ok_or_else(not_ours)?);
                }
                let (now, later) = rest.split_at(rest.len().min(into.room()));
                into.fill(now);
                rest = later;
            }
        }
        let is_whole = bytes == unsigned(tail.size) && Crc64::from_hex(&tail.crc64) == Some(crc64.value());
        if is_whole { Ok(()) } else { Err(not_ours()) }
    }

    /// Makes everything received durable: what is enough goes as a part, the rest as a tail. So does a whole part whose
    /// number another may still have on its way, where it can be read back: nobody waits for that here.
    pub(crate) async fn rest(&mut self) -> Result<()> {
        let fits = self.gathered() <= self.uploads.0.budget.tail_bytes_max();
        if self.gathered() >= PART_BYTES_MIN && !(self.doubtful && fits) {
            self.cut().await?;
        }
        self.spool().await?;
        self.let_go().await;
        Ok(())
    }

    /// Stores less than a part, and gives its memory back. It counts at once, or with the whole body where that has a digest.
    pub(crate) async fn spool(&mut self) -> Result<()> {
        self.settle().await?;
        self.store_tail().await?;
        if self.content_hasher.is_none() { self.commit().await } else { Ok(()) }
    }

    /// What of a broken append may be kept is kept.
    pub(crate) async fn keep(&mut self, error: &Error) {
        self.hurry.ending.cancel();
        let whole =
            self.upload.resumable && error.keeps_what_came() && self.content.is_empty() && !self.failed;
        if whole {
            match self.rest().await {
                Ok(()) => return,
                Err(error) => tracing::warn!(error = %error, "keep what came; its sender sends it again"),
            }
        }
        self.let_go().await;
        if !self.content.is_empty() {
            self.forget_uncommitted();
        }
    }

    /// Deletes what was stored for a body that counts as a whole or not at all, and does not count, or is in a part by now.
    fn forget_uncommitted(&mut self) {
        let uncommitted = self.tails.split_off(self.tails.len() - std::mem::take(&mut self.uncommitted));
        self.uploads.forget_tails(self.bucket, uncommitted);
    }

    /// Something stored takes the place of the tail that it begins with.
    pub(crate) fn supersede_tail(&mut self) {
        if std::mem::take(&mut self.tail_loaded) {
            self.forget_uncommitted();
            self.superseded.append(&mut self.tails);
        }
    }

    /// Stores what was gathered after the last part.
    async fn store_tail(&mut self) -> Result<()> {
        let after_parts = || self.held.last().map_or(self.durable, Stored::end);
        if self.offset == self.tails.last().map_or_else(after_parts, tail_end) {
            self.account.stored(false);
            return Ok(());
        }
        if self.tails.len() >= PIECES_MAX {
            self.load_tail().await?;
        }
        let payload = self.take_part();
        let offset = self.offset - payload.len();
        // What takes the place of several pieces begins where the first of them does: it has a key of its own.
        let prefix = Uploads::tail_prefix(self.bucket, &self.upload.id);
        let key = format!("{prefix}{offset:020}-{}-{}", self.epoch, self.tails_stored);
        self.tails_stored += 1;
        self.tails_sha256 = self.hasher.save();
        let metadata: Metadata = vec![("upload-id", self.upload.id.clone())];
        let mut patience = self.uploads.patience();
        loop {
            self.uploads.0.ledger.tail_begun(&self.upload.id, self.epoch, deadline()).await?;
            let put = self.bucket.put(&key, "application/octet-stream", &metadata, &payload).await;
            match put.map_err(Error::from) {
                Ok(()) => break,
                Err(error) if patience.again("tail", &error, self.hurry.comes()).await => {}
                Err(error) => return Err(error),
            }
        }
        let tail = Tail {
            offset: signed(offset),
            size: signed(payload.len()),
            crc64: payload.crc64().to_hex(),
            key,
        };
        self.account.stored(false);
        self.supersede_tail();
        self.tails.push(tail);
        self.uncommitted += 1;
        Ok(())
    }
}

/// The byte after it in the file.
pub(crate) fn tail_end(tail: &Tail) -> u64 {
    unsigned(tail.offset) + unsigned(tail.size)
}
