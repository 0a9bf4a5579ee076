//! Receives a body: each frame is hashed and copied into the next part's buffer, and full parts go to the pipeline.
//! Invariants: the buffer ends where the file's hashes do. An append that waits for memory still releases its own when asked.

use std::future::poll_fn;

use bucket::Payload;
use futures_util::{Stream, StreamExt as _};

use crate::append::body_digest::BodyDigest;
use crate::append::bounds::Bounds;
use crate::append::buffer::PartBuffer;
use crate::append::pipeline::PartPipeline;
use crate::append::request::{Append, BodyError, End, Frame};
use crate::append::target::Target;
use crate::checksum::hasher::Hasher;
use crate::complete::ReceivedFile;
use crate::limits::unsigned;
use crate::memory::budget::AppendMemory;
use crate::memory::part_plan::PART_BYTES_MIN;
use crate::quota::GrowthQuota;
use crate::telemetry::AppendProgress;
use crate::{Digest, Error, Result};

/// One append, from its first frame to its last.
pub(crate) struct Receiver<'a> {
    target: &'a Target<'a>,
    pipeline: PartPipeline<'a>,
    bounds: Bounds,
    quota: GrowthQuota,
    /// Has seen exactly the first `offset` bytes of the file.
    hasher: Hasher,
    /// Bytes of the file that have been received: where the buffer ends.
    offset: u64,
    announced: Vec<Digest>,
    body_digest: BodyDigest,
    memory: AppendMemory,
    buffer: PartBuffer,
    progress: &'a mut AppendProgress,
}

impl<'a> Receiver<'a> {
    /// `hasher` has seen the bytes up to the upload's offset. `announced` are digests of the whole file.
    pub(crate) fn new(
        pipeline: PartPipeline<'a>,
        (hasher, announced): (Hasher, Vec<Digest>),
        memory: AppendMemory,
        append: &Append,
        progress: &'a mut AppendProgress,
    ) -> Self {
        let target = pipeline.target();
        let (offset, length) = (pipeline.durable(), target.upload.length.map(unsigned));
        Self {
            target,
            pipeline,
            bounds: Bounds::new(append, offset, length),
            quota: GrowthQuota::of(&target.upload),
            hasher,
            offset,
            announced,
            body_digest: BodyDigest::new(append.content.clone()),
            memory,
            buffer: PartBuffer::default(),
            progress,
        }
    }

    /// Receives the body to its end. Meanwhile it commits parts as they are stored, and releases memory when asked.
    pub(crate) async fn receive<S, F>(&mut self, mut body: S) -> Result<()>
    where
        S: Stream<Item = std::result::Result<F, BodyError>> + Unpin + Send,
        F: Into<Frame>,
    {
        let target = self.target;
        let (mut halt, asked) = (target.signals.halt(), self.memory.asked());
        loop {
            let frame = tokio::select! {
                biased;
                error = target.signals.interrupted() => return Err(error),
                outcome = self.pipeline.oldest() => {
                    self.pipeline.ended(outcome).await?;
                    continue;
                }
                () = halt.due() => return Err(self.halt().await),
                frame = poll_fn(|cx| {
                    let frame = body.poll_next_unpin(cx);
                    self.progress.waits_for_sender(frame.is_pending());
                    frame
                }) => frame,
                () = asked.notified() => {
                    self.release_memory().await?;
                    continue;
                }
            };
            let bytes = match frame.map(|frame| frame.map(Into::into)) {
                None => return Ok(()),
                Some(Ok(Frame::Bytes(bytes))) => bytes,
                Some(Ok(Frame::Digests(digests))) => {
                    self.announced.extend(digests);
                    continue;
                }
                Some(Err(error)) => return Err(self.bounds.broken(self.offset, error)),
            };
            self.progress.received(bytes.len());
            self.body_digest.update(&bytes);
            let mut rest = &bytes[self.bounds.admit(self.offset, bytes.len())?..];
            let end = self.offset + rest.len() as u64;
            self.quota.admit(target.uploads, &target.upload, end).await?;
            while !rest.is_empty() {
                let room = self.make_room().await?;
                let (now, later) = rest.split_at(rest.len().min(room));
                self.hasher.update(now);
                self.buffer.fill(now);
                self.offset += now.len() as u64;
                rest = later;
            }
        }
    }

    /// Returns how many bytes fit in the buffer, at least one. A full part is cut only now that a byte follows it: a file that
    /// ends with it needs no multipart upload. When memory runs short, a part is cut early if it is large enough.
    async fn make_room(&mut self) -> Result<usize> {
        loop {
            let missing = self.part_bytes().saturating_sub(self.gathered());
            let room = usize::try_from(missing).unwrap_or(usize::MAX).min(self.buffer.room());
            if room > 0 {
                return Ok(room);
            }
            if missing == 0 {
                self.cut().await?;
            } else if let Some(buffer) = self.memory.try_buffer() {
                self.buffer.add(buffer);
            } else if self.gathered() >= PART_BYTES_MIN {
                self.cut().await?;
            } else {
                self.wait_for_memory().await?;
            }
        }
    }

    /// Waits for as much memory again as the append has, or for what is missing of the smallest part: an append that has
    /// nearly a part completes it soon. If buffers were granted one by one, many appends would fill up side by side and none
    /// could send a part.
    async fn wait_for_memory(&mut self) -> Result<()> {
        let missing = self.bounds.length().map_or(u64::MAX, |length| length.saturating_sub(self.offset));
        let missing = missing.min(PART_BYTES_MIN.saturating_sub(self.gathered()));
        let wanted = missing.min(self.buffer.len());
        let asked = self.memory.asked();
        tokio::select! {
            biased;
            error = self.target.signals.interrupted() => Err(error),
            () = self.memory.reserve(wanted) => Ok(()),
            () = asked.notified() => self.release_memory().await,
        }
    }

    /// Stores what was gathered and releases its memory, if others still wait for it.
    async fn release_memory(&mut self) -> Result<()> {
        if !self.memory.is_asked() {
            Ok(())
        } else if self.gathered() >= PART_BYTES_MIN {
            self.cut().await
        } else {
            self.spool().await
        }
    }

    /// Bytes of the next part so far, in memory and in the tail before that.
    fn gathered(&self) -> u64 {
        self.buffer.len() + self.pipeline.tail.unloaded_bytes()
    }

    fn part_bytes(&self) -> u64 {
        let begin = self.offset - self.gathered();
        let plan = self.target.uploads.0.part_plan;
        plan.part_bytes(self.pipeline.next_number(), begin, self.bounds.length())
    }

    /// Sends what was gathered as a part, after waiting for a place in the pipeline.
    async fn cut(&mut self) -> Result<()> {
        if self.pipeline.is_full() {
            return Err(Error::TooLarge { max: self.offset - self.gathered() });
        }
        self.pipeline.wait_for_older_writer().await?;
        self.load_tail().await?;
        self.pipeline.ready().await?;
        let payload = self.buffer.take();
        self.memory.stored(true);
        self.progress.part_cut();
        self.pipeline.send(payload, self.offset, self.hasher.save());
        Ok(())
    }

    /// Puts the stored tail before what was gathered since. A tail that is read back damaged is read again, and the request
    /// fails for now if that does not help: only a tail that is gone ends its upload.
    async fn load_tail(&mut self) -> Result<()> {
        let bytes = self.pipeline.tail.unloaded_bytes();
        if bytes == 0 {
            return Ok(());
        }
        let target = self.target;
        let mut retry = target.uploads.storage_retry();
        let front = loop {
            let permit = tokio::select! {
                biased;
                () = target.signals.superseded.cancelled() => return Err(Error::Superseded),
                permit = self.memory.for_tail(bytes) => permit,
            };
            match self.pipeline.tail.read(&self.memory, permit).await {
                Err(error) if retry.again("tail-read", &error, target.signals.retries_over()).await => {}
                other => break other?,
            }
        };
        self.buffer.put_in_front(front);
        self.pipeline.tail.loaded();
        Ok(())
    }

    /// Stores what was gathered in the tail, and releases its memory.
    async fn spool(&mut self) -> Result<()> {
        self.pipeline.drain().await?;
        let end = self.offset;
        if !self.pipeline.has_stored(end) {
            if self.pipeline.tail.is_full() {
                self.load_tail().await?;
            }
            self.pipeline.tail.store(&self.buffer.take(), end, self.hasher.save()).await?;
        }
        self.memory.stored(false);
        self.pipeline.commit().await
    }

    /// The body has ended. Whether its file has, too.
    pub(crate) fn ends_file(&self, end: End) -> Result<bool> {
        self.body_digest.compare()?;
        self.bounds.ends_file(end, self.offset)
    }

    /// Makes everything received durable: as a part if it is large enough, else in the tail. A whole part goes to the tail, too,
    /// if an older writer may still be sending its number and it can be read back: nobody waits for that here.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let fits = self.gathered() <= self.target.uploads.budget().tail_bytes_max();
        if self.gathered() >= PART_BYTES_MIN && !(self.pipeline.has_older_writer() && fits) {
            self.cut().await?;
        }
        self.spool().await?;
        self.pipeline.commit_body().await?;
        self.pipeline.close().await;
        Ok(())
    }

    /// Ends a failed append: what it received is made durable where the error allows that.
    pub(crate) async fn flush_on_error(&mut self, error: &Error) {
        let target = self.target;
        target.signals.ending.cancel();
        let is_all_or_nothing = self.body_digest.is_all_or_nothing();
        if target.upload.resumable
            && error.keeps_received_bytes()
            && !is_all_or_nothing
            && !self.pipeline.has_failed()
        {
            match self.flush().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error = %error, "cannot store what was received; the client sends it again");
                }
            }
        }
        self.pipeline.close().await;
        // What the ledger may have recorded stays; it is cleared when the upload ends.
        if is_all_or_nothing && !self.pipeline.has_uncertain_commit() {
            self.pipeline.tail.delete_uncommitted();
        }
    }

    /// Makes what was received durable, and ends as if a newer append had taken over: its sender may come any moment.
    async fn halt(&mut self) -> Error {
        self.flush_on_error(&Error::Draining).await;
        self.target.signals.superseded.cancel();
        Error::Superseded
    }

    /// The file has ended: compares its digests, stores its last part and commits them all.
    pub(crate) async fn finish(&mut self) -> Result<ReceivedFile<'a>> {
        let (target, digests) = (self.target, self.hasher.clone().finish());
        let checked = target.uploads.compare_digests(&target.upload, &self.announced, &digests).await?;
        let whole = if self.pipeline.has_parts() {
            if self.gathered() > 0 {
                self.cut().await?;
            }
            self.pipeline.drain().await?;
            self.pipeline.commit_body().await?;
            None
        } else {
            self.load_tail().await?;
            self.memory.stored(true);
            Some(self.buffer.take())
        };
        Ok(ReceivedFile {
            target,
            size: self.offset,
            digests,
            checked,
            crc64: whole.as_ref().map_or(self.pipeline.crc64(), Payload::crc64),
            whole,
            durable: self.pipeline.durable(),
            has_tail: target.upload.tails_written > 0 || !self.pipeline.tail.is_empty(),
        })
    }
}
