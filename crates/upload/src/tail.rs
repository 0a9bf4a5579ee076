//! The tail: bytes after the last part that are too few for one, kept as small objects of their own until a part takes
//! their place. Invariant: a tail is replaced in the ledger before its objects go; many small appends each write their own
//! bytes once, and are read back once.

use bucket::{Bucket, Crc64, Metadata};
use futures_util::StreamExt as _;
use ledger::{Tail, Upload};

use crate::append::{Append, End};
use crate::engine::{Uploads, signed, unsigned};
use crate::plan::PART_BYTES_MIN;
use crate::receiving::{Receiving, Stored, deadline};
use crate::{Error, Result};

/// Pieces of one tail; the next append gathers them. At 64 KiB each they are nearly a part.
const PIECES_MAX: usize = 64;

impl Uploads {
    /// Where the pieces of an upload's tail lie. Hidden from every listing.
    pub(crate) fn tail_prefix(bucket: &Bucket, upload_id: &str) -> String {
        format!("{}.weighbridge/{upload_id}/", bucket.prefix())
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
    /// Reads the tail back where this append is to go on in it; a small one only adds a piece.
    pub(crate) async fn prepare_tail(&mut self, append: &Append) -> Result<()> {
        let tail_bytes: u64 = self.tails.iter().map(|tail| unsigned(tail.size)).sum();
        let Some(body_bytes) = append.body_bytes else { return self.load_tail().await };
        let end = append.offset.saturating_add(body_bytes);
        let goes_on = match append.end {
            End::Body => false,
            End::Length => self.length.is_none_or(|length| end < length),
            End::Later => true,
        };
        let new = body_bytes.saturating_sub(self.passed_over);
        let stays_small = tail_bytes.saturating_add(new) < PART_BYTES_MIN;
        if goes_on && stays_small && self.tails.len() < PIECES_MAX { Ok(()) } else { self.load_tail().await }
    }

    /// Puts the stored tail before what was gathered.
    async fn load_tail(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.tail_loaded, true) {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.part).finish().to_bytes();
        for tail in self.tails.clone() {
            self.gather_tail(&tail).await?;
        }
        self.gather(&gathered).await
    }

    /// Adds bytes to the part that were hashed before.
    async fn gather(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.part.room() == 0 {
                self.make_room().await?;
            }
            let (now, later) = rest.split_at(rest.len().min(self.part.room()));
            self.part.fill(now);
            rest = later;
        }
        Ok(())
    }

    /// Gathers a piece of the tail as it comes back. One that is lost or damaged ends the upload: its sender was told that
    /// these bytes are durable, and no more of the same could make that true again.
    async fn gather_tail(&mut self, tail: &Tail) -> Result<()> {
        let bucket = self.bucket;
        let read = async {
            let mut frames = Box::pin(bucket.read(&tail.key, None).await?.stream());
            let (mut bytes, mut crc64) = (0, bucket::Crc64Hasher::new());
            while let Some(frame) = frames.next().await {
                let frame = frame?;
                crc64.update(&frame);
                bytes += frame.len() as u64;
                self.gather(&frame).await?;
            }
            let is_whole =
                bytes == unsigned(tail.size) && Crc64::from_hex(&tail.crc64) == Some(crc64.value());
            if is_whole { Ok(()) } else { Err(Error::Internal("it is not what was stored".into())) }
        };
        match read.await {
            Err(Error::Internal(reason)) => {
                tracing::error!(
                    key = tail.key,
                    reason,
                    "the tail of an upload is lost; its sender begins again"
                );
                Err(Error::Gone)
            }
            other => other,
        }
    }

    /// Makes everything received durable: what is enough goes as a part, the rest as a tail. So does a whole part whose
    /// number another may still have on its way: nobody waits for that here.
    pub(crate) async fn rest(&mut self) -> Result<()> {
        if self.part.len() >= PART_BYTES_MIN && !self.doubtful {
            self.cut().await?;
        }
        self.settle().await?;
        self.store_tail().await?;
        self.let_go().await;
        Ok(())
    }

    /// What of a broken append may be kept is kept.
    pub(crate) async fn keep(&mut self, error: &Error) {
        let whole =
            self.upload.resumable && error.keeps_what_came() && self.content.is_empty() && !self.failed;
        if whole {
            match self.rest().await {
                Ok(()) => return,
                Err(error) => tracing::warn!(error = %error, "keep what came; its sender sends it again"),
            }
        }
        self.let_go().await;
    }

    /// Stores what was gathered after the last part, and moves the offset over it and whatever is held before it.
    async fn store_tail(&mut self) -> Result<()> {
        let reached = self.held.last().map_or(self.durable, Stored::end);
        if self.offset == reached {
            return self.commit(None).await;
        }
        let payload = std::mem::take(&mut self.part).finish();
        let offset = self.offset - payload.len();
        let key =
            format!("{}{:020}-{}", Uploads::tail_prefix(self.bucket, &self.upload.id), offset, self.epoch);
        self.uploads.0.ledger.tail_begun(&self.upload.id, self.epoch, deadline()).await?;
        let metadata: Metadata = vec![("upload-id", self.upload.id.clone())];
        self.bucket.put(&key, "application/octet-stream", &metadata, &payload).await?;
        let tail = Tail {
            offset: signed(offset),
            size: signed(payload.len()),
            crc64: payload.crc64().to_hex(),
            key,
        };
        self.commit(Some(&tail)).await?;
        self.tails.push(tail);
        Ok(())
    }
}
