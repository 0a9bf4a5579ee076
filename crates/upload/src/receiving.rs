//! The byte path: frames are gathered into parts and hashed once, parts are stored a few at a time and committed in
//! order. Memory is bounded where a piece is taken (`memory.rs`); an offset becomes durable in
//! `Receiving::commit` and, for what is too little for a part, in `Receiving::store_tail`.

use std::collections::VecDeque;
use std::time::Duration;

use bucket::{Bucket, Crc64, Payload};
use futures_util::{Stream, StreamExt as _};
use ledger::{PartCommit, Reservation, Tail, TailCommit, Upload, now_ms};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::append::{BodyError, Frame};
use crate::budget::Account;
use crate::engine::{Uploads, signed, unsigned};
use crate::hash::Hasher;
use crate::lease::Lease;
use crate::part::Part;
use crate::patience::Hurry;
use crate::plan::PARTS_MAX;
use crate::room::Growth;
use crate::tail::tail_end;
use crate::{Digest, Error, Result, lost};

/// Parts of one append that are being stored at a time; the next byte is read when the oldest is done.
const PARTS_IN_FLIGHT_MAX: usize = 4;
/// The ledger gives a statement up well before this.
const LEDGER_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the last bytes of a part may be on the line after its request was given up here, ms.
const LATE_MS: i64 = 10_000;
/// How often to look whether an older writer, on another node, is done with the part number that comes next.
const DOUBT_POLL: Duration = Duration::from_millis(250);

/// One append under way.
pub(crate) struct Receiving<'a> {
    pub(crate) uploads: &'a Uploads,
    pub(crate) upload: Upload,
    pub(crate) bucket: &'a Bucket,
    pub(crate) epoch: i64,
    pub(crate) account: Account,
    pub(crate) evicted: CancellationToken,
    /// Cancelled when an upload that may be resumed should end, because the gateway does.
    pub(crate) stopping: CancellationToken,
    /// Why it asks its bucket no more than once.
    pub(crate) hurry: Hurry,
    pub(crate) lease: Lease,
    pub(crate) hasher: Hasher,
    /// Digests of the whole file that its sender's requests name.
    pub(crate) announced: Vec<Digest>,
    /// Digests of this body alone, and its running hashes until they are compared: it counts as a whole or not at all.
    pub(crate) content: Vec<Digest>,
    pub(crate) content_hasher: Option<Hasher>,
    /// Parts of such a body that are stored: they are committed together, with whatever comes after them.
    pub(crate) held: Vec<Stored>,
    /// Of the committed parts.
    pub(crate) crc64: Crc64,
    /// Parts cut so far.
    pub(crate) number: i64,
    /// Whether an older writer may still have the next part number on its way.
    pub(crate) doubtful: bool,
    /// Bytes received, committed or not.
    pub(crate) offset: u64,
    /// Bytes committed: the offset in the ledger.
    pub(crate) durable: u64,
    pub(crate) begun_at: u64,
    /// Bytes of this body, where announced.
    pub(crate) body_bytes: Option<u64>,
    /// Bytes at the beginning of the body that are durable already.
    pub(crate) passed_over: u64,
    pub(crate) max_bytes: u64,
    pub(crate) length: Option<u64>,
    /// Pieces of the tail that are stored after the last part that was cut.
    pub(crate) tails: Vec<Tail>,
    /// So many of them, the last, are not committed yet.
    pub(crate) uncommitted: usize,
    /// Pieces whose place something else takes with the next commit.
    pub(crate) superseded: Vec<Tail>,
    /// Pieces stored by this append, and the running SHA-256 after the last.
    pub(crate) tails_stored: u64,
    pub(crate) tails_sha256: String,
    /// Whether `part` begins with the tail that is stored.
    pub(crate) tail_loaded: bool,
    pub(crate) part: Part,
    pub(crate) growth: Growth,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// A part could not be stored: nothing after it counts.
    pub(crate) failed: bool,
}

pub(crate) struct InFlight {
    part: Stored,
    storing: AbortOnDropHandle<Result<String>>,
}

/// A part, with the bucket's tag once it is stored.
pub(crate) struct Stored {
    number: i64,
    offset: i64,
    size: u64,
    crc64: Crc64,
    sha256_state: String,
    etag: String,
}

impl Stored {
    /// The byte after it in the file.
    pub(crate) fn end(&self) -> u64 {
        unsigned(self.offset) + self.size
    }
}

/// The bucket's tag for a part, or why there is none.
type Outcome = std::result::Result<Result<String>, tokio::task::JoinError>;

impl Receiving<'_> {
    pub(crate) async fn receive<S>(&mut self, mut body: S) -> Result<()>
    where
        S: Stream<Item = std::result::Result<Frame, BodyError>> + Unpin + Send,
    {
        let (evicted, stopping) = (self.evicted.clone(), self.stopping.clone());
        let mut halting = self.uploads.halting(&self.upload.id);
        let asked = self.account.asked();
        loop {
            let stored = async {
                match self.in_flight.front_mut() {
                    Some(oldest) => (&mut oldest.storing).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = evicted.cancelled() => return Err(self.give_way().await),
                stored = stored => self.oldest_ended(stored).await?,
                () = stopping.cancelled() => return Err(Error::Draining),
                () = halting.due() => return Err(self.halt().await),
                frame = body.next() => match frame {
                    None => return Ok(()),
                    Some(Ok(Frame::Bytes(bytes))) => self.take(&bytes).await?,
                    Some(Ok(Frame::Digests(digests))) => self.announced.extend(digests),
                    Some(Err(error)) => return Err(self.broken(error)),
                },
                () = asked.notified() => self.give_back().await?,
            }
        }
    }

    /// Copies and hashes one frame, cutting parts as they fill.
    async fn take(&mut self, frame: &[u8]) -> Result<()> {
        if let Some(hasher) = &mut self.content_hasher {
            hasher.update(frame);
        }
        let known = usize::try_from(self.passed_over).unwrap_or(usize::MAX).min(frame.len());
        self.passed_over -= known as u64;
        let mut rest = &frame[known..];
        let end = self.offset.saturating_add(rest.len() as u64);
        if end > self.max_bytes {
            return Err(Error::TooLarge { max: self.max_bytes });
        }
        // Of a chunked body, only its range says where it ends.
        let actual = end.saturating_sub(self.begun_at);
        if let Some(declared) = self.body_bytes.filter(|declared| actual > *declared) {
            return Err(Error::LengthMismatch { declared, actual });
        }
        self.growth.admit(self.uploads, &self.upload, end).await?;
        // Memory was set aside for the length announced.
        if let Some(declared) = self.length.filter(|declared| end > *declared) {
            return Err(Error::LengthMismatch { declared, actual: end });
        }
        while !rest.is_empty() {
            let part_bytes = self.part_bytes();
            // A full part is cut when a byte comes after it: a file that ends with it needs no multipart upload.
            if self.gathered() >= part_bytes {
                self.cut().await?;
                continue;
            }
            if self.part.room() == 0 {
                self.make_room().await?;
            }
            let left = usize::try_from(part_bytes.saturating_sub(self.gathered())).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(self.part.room()).min(left));
            self.hasher.update(now);
            self.part.fill(now);
            self.offset += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// What was gathered for the next part, in memory and before that in the tail.
    pub(crate) fn gathered(&self) -> u64 {
        let stored: i64 = if self.tail_loaded { 0 } else { self.tails.iter().map(|tail| tail.size).sum() };
        self.part.len() + unsigned(stored)
    }

    /// What is in memory of it, as one request's body. The next part begins.
    pub(crate) fn take_part(&mut self) -> Payload {
        std::mem::take(&mut self.part).finish()
    }

    fn part_bytes(&self) -> u64 {
        let began = self.offset - self.gathered();
        self.uploads.0.plan.part_bytes(unsigned(self.number) + 1, began, self.length)
    }

    /// Sends the gathered part on its way, after waiting for a place.
    pub(crate) async fn cut(&mut self) -> Result<()> {
        if unsigned(self.number) >= PARTS_MAX {
            return Err(Error::TooLarge { max: self.offset - self.gathered() });
        }
        self.wait_for_older_writers().await?;
        self.load_tail().await?;
        let multipart_id = self.multipart().await?;
        while self.in_flight.len() >= PARTS_IN_FLIGHT_MAX {
            self.wait_oldest().await?;
        }
        self.number += 1;
        let payload = self.take_part();
        self.account.stored(true);
        self.supersede_tail();
        let (number, size) = (self.number, payload.len());
        let offset = signed(self.offset - size);
        let job = PartJob {
            id: self.upload.id.clone(),
            key: self.upload.object_key.clone(),
            epoch: self.epoch,
            number,
            offset,
            multipart_id,
        };
        let part = Stored {
            number,
            offset,
            size,
            crc64: payload.crc64(),
            sha256_state: self.hasher.save(),
            etag: String::new(),
        };
        crate::observe::part_cut();
        let (uploads, bucket, lease) = (self.uploads.clone(), self.bucket.clone(), self.lease.clone());
        let store = store_part(uploads, bucket, lease, self.hurry.clone(), job, payload);
        let storing = AbortOnDropHandle::new(tokio::spawn(store.in_current_span()));
        self.in_flight.push_back(InFlight { part, storing });
        Ok(())
    }

    /// A number that an older writer, on another node or dead, may still have on its way is not sent: that one's part
    /// could arrive after ours. It says when it is done, or its deadline passes.
    async fn wait_for_older_writers(&mut self) -> Result<()> {
        while self.doubtful {
            let numbers = self.uploads.0.ledger.numbers(&self.upload.id, self.epoch).await?;
            if numbers.doubtful_until <= now_ms() {
                self.doubtful = false;
                break;
            }
            tokio::select! {
                biased;
                () = self.evicted.cancelled() => return Err(self.give_way().await),
                () = self.stopping.cancelled() => return Err(Error::Draining),
                () = tokio::time::sleep(DOUBT_POLL) => {}
            }
        }
        Ok(())
    }

    /// The multipart upload, opened when the first part is cut. The ledger knows of the attempt before it is made.
    async fn multipart(&mut self) -> Result<String> {
        if let Some(id) = &self.upload.multipart_id {
            return Ok(id.clone());
        }
        let ledger = &self.uploads.0.ledger;
        let metadata = crate::complete::metadata(&self.upload, None);
        let mut patience = self.uploads.patience();
        let id = loop {
            ledger.extend_attempts(&self.upload.id, self.epoch, deadline()).await?;
            let (key, content_type) = (&self.upload.object_key, &self.upload.content_type);
            match self.bucket.create_multipart(key, content_type, &metadata).await.map_err(Error::from) {
                Ok(id) => break id,
                Err(error) if patience.again("multipart", &error, self.hurry.comes()).await => {}
                Err(error) => return Err(error),
            }
        };
        ledger.set_multipart(&self.upload.id, self.epoch, &id).await?;
        self.upload.multipart_id = Some(id.clone());
        Ok(id)
    }

    /// Waits until every part is stored and committed.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.wait_oldest().await?;
        }
        Ok(())
    }

    async fn wait_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.in_flight.front_mut() else { return Ok(()) };
        let stored = (&mut oldest.storing).await;
        self.oldest_ended(stored).await
    }

    /// Ends for a newer append. That one sends the numbers that follow: none of ours may arrive after them.
    pub(crate) async fn give_way(&mut self) -> Error {
        self.let_go().await;
        Error::Superseded
    }

    /// Waits for everything on its way, commits what may be committed, and says that no number of ours is on its way.
    pub(crate) async fn let_go(&mut self) {
        self.hurry.ending.cancel();
        if self.failed || self.settle().await.is_err() {
            for part in self.in_flight.drain(..) {
                self.failed |= !matches!(part.storing.await, Ok(Ok(_)));
            }
        }
        // What failed was given up by us, and may still arrive for a moment.
        let until = if self.failed { now_ms() + LATE_MS } else { 0 };
        let ledger = &self.uploads.0.ledger;
        if let Err(error) = ledger.release_reservations(&self.upload.id, self.epoch, until).await {
            tracing::warn!(error = %error, "release part numbers; their deadline passes");
        }
    }

    async fn oldest_ended(&mut self, stored: Outcome) -> Result<()> {
        let Some(InFlight { mut part, .. }) = self.in_flight.pop_front() else { return Ok(()) };
        match stored.unwrap_or_else(|error| Err(Error::Internal(format!("store part: {error}")))) {
            Ok(etag) => part.etag = etag,
            Err(error) => {
                self.failed = true;
                return Err(error);
            }
        }
        self.held.push(part);
        // A body with a digest of its own counts when all of it has come.
        if self.content_hasher.is_none() { self.commit().await } else { Ok(()) }
    }

    /// Moves the durable offset over what is stored: the parts held, and the tail after them.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.held);
        let tails = &self.tails[self.tails.len() - self.uncommitted..];
        if parts.is_empty() && tails.is_empty() {
            return Ok(());
        }
        let mut crc64 = self.crc64;
        let prefixes: Vec<_> = parts
            .iter()
            .map(|part| {
                crc64 = crc64.then(part.crc64, part.size);
                crc64.to_hex()
            })
            .collect();
        let (upload_id, epoch) = (self.upload.id.as_str(), self.epoch);
        let commits: Vec<_> = parts
            .iter()
            .zip(&prefixes)
            .map(|(part, crc64_prefix)| PartCommit {
                upload_id,
                epoch,
                number: part.number,
                offset: part.offset,
                size: signed(part.size),
                etag: &part.etag,
                sha256_state: &part.sha256_state,
                crc64_prefix,
            })
            .collect();
        let in_ledger = |at: usize, tail| TailCommit {
            upload_id,
            epoch,
            tail,
            sha256_state: &self.tails_sha256,
            replaces: at == 0 && !self.superseded.is_empty(),
        };
        let tail_commits: Vec<_> = tails.iter().enumerate().map(|(at, tail)| in_ledger(at, tail)).collect();
        let end = tails.last().map(tail_end).or(parts.last().map(Stored::end)).unwrap_or(self.durable);
        if let Err(error) = self.uploads.0.ledger.commit(&commits, &tail_commits).await {
            self.failed |= !parts.is_empty();
            return Err(error.into());
        }
        self.crc64 = crc64;
        self.uncommitted = 0;
        let before = std::mem::replace(&mut self.durable, end);
        metrics::counter!("weighbridge_committed_bytes_total").increment(self.durable - before);
        let superseded = std::mem::take(&mut self.superseded);
        self.uploads.forget_tails(self.bucket, superseded);
        Ok(())
    }

    /// The whole body has come: compares it with what its request announced. From now on it counts.
    pub(crate) fn compare_content(&mut self) -> Result<()> {
        let Some(hasher) = &self.content_hasher else { return Ok(()) };
        for actual in hasher.clone().finish() {
            let announced = self.content.iter().find(|digest| digest.algorithm == actual.algorithm);
            if let Some(announced) = announced.filter(|announced| **announced != actual) {
                return Err(Error::ContentMismatch {
                    algorithm: actual.algorithm,
                    announced: announced.hex.clone(),
                    actual: actual.hex,
                });
            }
        }
        self.content_hasher = None;
        Ok(())
    }

    fn broken(&self, error: BodyError) -> Error {
        let received = self.offset - self.begun_at.min(self.offset);
        match error {
            BodyError::Interrupted => Error::Interrupted { received },
            BodyError::TooSlow => Error::TooSlow { received },
            BodyError::Malformed(text) => Error::Malformed(text),
        }
    }
}

struct PartJob {
    id: String,
    key: String,
    epoch: i64,
    number: i64,
    offset: i64,
    multipart_id: String,
}

/// Reserves the part's number, then sends it, and both again while the bucket is away. Returns the bucket's tag.
async fn store_part(
    uploads: Uploads,
    bucket: Bucket,
    lease: Lease,
    hurry: Hurry,
    job: PartJob,
    payload: Payload,
) -> Result<String> {
    let mut patience = uploads.patience();
    loop {
        let asked = Instant::now();
        let reservation = Reservation {
            upload_id: &job.id,
            epoch: job.epoch,
            number: job.number,
            offset: job.offset,
            size: signed(payload.len()),
            crc64: &payload.crc64().to_hex(),
            deadline: lease.until_ms(),
            attempts_until: deadline(),
        };
        uploads.0.ledger.reserve_part(&reservation).await?;
        let sent = async {
            match bucket.put_part(&job.key, &job.multipart_id, job.number, &payload).await {
                Err(bucket::Error::NotFound(_)) => {
                    Err(lost::parts(&bucket, &job.id, &job.key, &job.multipart_id).await)
                }
                other => Ok(other?),
            }
        };
        match lease.hold(asked, sent).await {
            Err(error) if patience.again("part", &error, hurry.comes()).await => {}
            other => return other,
        }
    }
}

/// When the longest call to a bucket has ended that begins as soon as the ledger knows of it, ms.
pub(crate) fn deadline() -> i64 {
    now_ms() + i64::try_from((LEDGER_WAIT_MAX + Bucket::CALL_TIMEOUT).as_millis()).unwrap_or(i64::MAX)
}
