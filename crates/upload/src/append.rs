//! The byte path: frames are gathered into parts and hashed once, parts are stored a few at a time and committed in
//! order. Memory is bounded where a piece is taken (`Receiving::make_room`); an offset becomes durable in
//! `Receiving::commit_oldest`.

use std::collections::VecDeque;
use std::time::Duration;

use bucket::{Bucket, Crc64, Payload};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use ledger::{Appending, PartCommit, Reservation, Upload, now_ms};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::budget::Allowance;
use crate::engine::{Uploads, busy, signed, unsigned};
use crate::hash::Hasher;
use crate::part::Part;
use crate::plan::{PART_BYTES_MIN, PARTS_MAX};
use crate::room::Growth;
use crate::{Digest, Error, Result};

/// Parts of one append that are being stored at a time; the next byte is read when the oldest is done.
const PARTS_IN_FLIGHT_MAX: usize = 4;

/// The ledger gives a statement up well before this.
const LEDGER_WAIT_MAX: Duration = Duration::from_secs(60);

/// What a request says of the bytes it brings.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Where they begin in the file.
    pub offset: u64,
    /// Bytes of the whole file, where announced.
    pub length: Option<u64>,
    /// Largest file this request may make.
    pub max_bytes: u64,
    /// Digests of the whole file, where announced.
    pub digests: Vec<Digest>,
}

/// What a body is made of.
#[derive(Debug, Clone)]
pub enum Frame {
    /// Bytes of the file.
    Bytes(Bytes),
    /// Digests of the whole file, announced at its end. Those that are not computed are not compared.
    Digests(Vec<Digest>),
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// The connection broke.
    Interrupted,
    /// The sender was slower than the minimum rate.
    TooSlow,
    /// The body is not what its headers say.
    Malformed(String),
}

impl Uploads {
    /// The append itself: [`Uploads::append`] without what is told of it.
    pub(crate) async fn take_in<S>(&self, id: &str, append: &Append, body: S) -> Result<Upload>
    where
        S: Stream<Item = std::result::Result<Frame, BodyError>> + Unpin + Send,
    {
        let Some(allowance) = self.0.budget.admit(append.length).await else {
            // Only one that no append has begun: another may be under way.
            self.give_up(id, 0, &busy()).await;
            return Err(busy());
        };
        let place = self.take_over(id).await;
        let mut epoch = None;
        let result = async {
            let mut receiving = self.begin(id, append, allowance, place.evicted().clone()).await?;
            epoch = Some(receiving.epoch);
            receiving.receive(body).await?;
            self.finish(&mut receiving, append).await
        }
        .await;
        let result = match result {
            Err(Error::Superseded) => Err(self.why_superseded(id).await),
            other => other,
        };
        match (&result, epoch) {
            (Ok(_), _) => self.0.completed.notify_one(),
            // Whoever took over has the upload now.
            (Err(Error::Superseded), _) if place.evicted().is_cancelled() => {}
            (Err(_), None) => {}
            (Err(error), Some(epoch)) => self.give_up(id, epoch, error).await,
        }
        result
    }

    /// The ledger refuses a writer whose link was revoked as it refuses one that was replaced: this tells them apart.
    async fn why_superseded(&self, id: &str) -> Error {
        let withdrawn = async {
            let link = self.0.ledger.link(&self.0.ledger.upload(id).await?.link_id).await?;
            let partner = self.0.ledger.partner(&link.partner_id).await?;
            Ok::<_, ledger::Error>(link.revoked_at.is_some() || partner.disabled_at.is_some())
        };
        if withdrawn.await.unwrap_or(false) { Error::Revoked } else { Error::Superseded }
    }

    async fn begin(
        &self,
        id: &str,
        append: &Append,
        allowance: Allowance,
        evicted: CancellationToken,
    ) -> Result<Receiving<'_>> {
        let Appending { epoch, upload, sha256_state } =
            match self.0.ledger.begin_append(id, signed(append.offset)).await {
                Err(ledger::Error::Superseded) => {
                    let upload = self.0.ledger.upload(id).await?;
                    return Err(if upload.state == ledger::State::Open {
                        Error::OffsetMismatch { expected: upload.offset }
                    } else {
                        Error::Gone
                    });
                }
                other => other?,
            };
        let by_side_files = self.announced_by_side_files(&upload).await?;
        let hasher = match &sha256_state {
            None => {
                let headers = append.digests.iter().map(|digest| digest.algorithm);
                Hasher::new(headers.chain(by_side_files.iter().map(|digest| digest.algorithm)))
            }
            Some(saved) => Hasher::restore(saved)
                .ok_or_else(|| Error::Internal("the saved SHA-256 state cannot be read".into()))?,
        };
        let crc64 = upload.crc64.as_deref().and_then(Crc64::from_hex).unwrap_or(Crc64::EMPTY);
        Ok(Receiving {
            uploads: self,
            bucket: self.bucket(&upload)?,
            epoch,
            allowance,
            evicted,
            hasher,
            announced: append.digests.clone(),
            crc64,
            number: signed(self.0.ledger.parts(id).await?.len() as u64),
            offset: append.offset,
            begun_at: append.offset,
            max_bytes: append.max_bytes,
            length: append.length,
            part: Part::default(),
            growth: Growth::of(&upload),
            in_flight: VecDeque::new(),
            upload,
        })
    }

    /// Cancels what a failed append leaves. Publishing that may yet succeed is left to recovery.
    async fn give_up(&self, id: &str, epoch: i64, error: &Error) {
        let may_yet_complete = matches!(error, Error::Unavailable(_))
            && self
                .0
                .ledger
                .upload(id)
                .await
                .is_ok_and(|u| u.state == ledger::State::Completing && u.multipart_id.is_some());
        if may_yet_complete {
            return;
        }
        match self.0.ledger.cancel(id, Some(epoch)).await {
            Ok(true) => self.clear_later(id.to_owned()),
            Ok(false) => {}
            // Recovery cancels what nobody works on once the ledger is back.
            Err(failure) => tracing::warn!(upload.id = id, error = %failure, "cancel upload"),
        }
    }
}

/// One append under way.
pub(crate) struct Receiving<'a> {
    pub(crate) uploads: &'a Uploads,
    pub(crate) upload: Upload,
    pub(crate) bucket: &'a Bucket,
    pub(crate) epoch: i64,
    allowance: Allowance,
    evicted: CancellationToken,
    pub(crate) hasher: Hasher,
    /// Digests of the whole file that its sender's requests name.
    pub(crate) announced: Vec<Digest>,
    /// Of the committed bytes.
    pub(crate) crc64: Crc64,
    /// Parts cut so far.
    number: i64,
    /// Bytes received, committed or not.
    pub(crate) offset: u64,
    begun_at: u64,
    max_bytes: u64,
    length: Option<u64>,
    pub(crate) part: Part,
    growth: Growth,
    in_flight: VecDeque<InFlight>,
}

struct InFlight {
    number: i64,
    offset: i64,
    size: u64,
    crc64: Crc64,
    sha256_state: String,
    stored: AbortOnDropHandle<Result<String>>,
}

/// The bucket's tag for a part, or why there is none.
type Stored = std::result::Result<Result<String>, tokio::task::JoinError>;

impl Receiving<'_> {
    async fn receive<S>(&mut self, mut body: S) -> Result<()>
    where
        S: Stream<Item = std::result::Result<Frame, BodyError>> + Unpin + Send,
    {
        let evicted = self.evicted.clone();
        loop {
            let stored = async {
                match self.in_flight.front_mut() {
                    Some(oldest) => (&mut oldest.stored).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = evicted.cancelled() => return Err(self.give_way().await),
                stored = stored => self.commit_oldest(stored).await?,
                frame = body.next() => match frame {
                    None => return Ok(()),
                    Some(Ok(Frame::Bytes(bytes))) => self.take(&bytes).await?,
                    Some(Ok(Frame::Digests(digests))) => self.announced.extend(digests),
                    Some(Err(error)) => return Err(self.broken(error)),
                },
            }
        }
    }

    /// Copies and hashes one frame, cutting parts as they fill.
    async fn take(&mut self, frame: &[u8]) -> Result<()> {
        let end = self.offset.saturating_add(frame.len() as u64);
        if end > self.max_bytes {
            return Err(Error::TooLarge { max: self.max_bytes });
        }
        self.growth.admit(self.uploads, &self.upload, end).await?;
        // Memory was set aside for the length announced.
        if let Some(declared) = self.length.filter(|declared| end > *declared) {
            return Err(Error::LengthMismatch { declared, actual: end });
        }
        let mut rest = frame;
        while !rest.is_empty() {
            let part_bytes = self.part_bytes();
            // A full part is cut when a byte comes after it: a file that ends with it needs no multipart upload.
            if self.part.len() >= part_bytes {
                self.cut().await?;
                continue;
            }
            if self.part.room() == 0 {
                self.make_room().await?;
            }
            let left = usize::try_from(part_bytes - self.part.len()).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(self.part.room()).min(left));
            self.hasher.update(now);
            self.part.fill(now);
            self.offset += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Takes another piece of the budget. When it runs short, what was gathered goes as a short part, if it may.
    async fn make_room(&mut self) -> Result<()> {
        let piece = match self.allowance.try_piece() {
            Some(piece) => piece,
            None => {
                if self.part.len() >= PART_BYTES_MIN {
                    self.cut().await?;
                }
                tokio::select! {
                    biased;
                    () = self.evicted.cancelled() => return Err(self.give_way().await),
                    piece = self.allowance.piece() => piece,
                }
            }
        };
        self.part.add_piece(piece);
        Ok(())
    }

    fn part_bytes(&self) -> u64 {
        let began = self.offset - self.part.len();
        self.uploads.0.plan.part_bytes(unsigned(self.number) + 1, began, self.length)
    }

    /// Sends the gathered part on its way, after waiting for a place.
    pub(crate) async fn cut(&mut self) -> Result<()> {
        if unsigned(self.number) >= PARTS_MAX {
            return Err(Error::TooLarge { max: self.offset - self.part.len() });
        }
        let multipart_id = self.multipart().await?;
        while self.in_flight.len() >= PARTS_IN_FLIGHT_MAX {
            self.wait_oldest().await?;
        }
        self.number += 1;
        let payload = std::mem::take(&mut self.part).finish();
        let (number, size) = (self.number, payload.len());
        let offset = signed(self.offset - size);
        crate::observe::part_cut();
        self.in_flight.push_back(InFlight {
            number,
            offset,
            size,
            crc64: payload.crc64(),
            sha256_state: self.hasher.save(),
            stored: AbortOnDropHandle::new(tokio::spawn(
                store_part(
                    self.uploads.clone(),
                    self.bucket.clone(),
                    PartJob {
                        id: self.upload.id.clone(),
                        key: self.upload.object_key.clone(),
                        epoch: self.epoch,
                        number,
                        offset,
                        multipart_id,
                    },
                    payload,
                )
                .in_current_span(),
            )),
        });
        Ok(())
    }

    /// The multipart upload, opened when the first part is cut. The ledger knows of the attempt before it is made.
    async fn multipart(&mut self) -> Result<String> {
        if let Some(id) = &self.upload.multipart_id {
            return Ok(id.clone());
        }
        let ledger = &self.uploads.0.ledger;
        ledger.extend_attempts(&self.upload.id, self.epoch, deadline()).await?;
        let metadata = crate::complete::metadata(&self.upload, None);
        let id = self
            .bucket
            .create_multipart(&self.upload.object_key, &self.upload.content_type, &metadata)
            .await?;
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
        let stored = (&mut oldest.stored).await;
        self.commit_oldest(stored).await
    }

    /// Ends for a newer append. That one sends the numbers that follow: none of ours may arrive after them.
    async fn give_way(&mut self) -> Error {
        if self.settle().await.is_err() {
            for part in self.in_flight.drain(..) {
                let _ = part.stored.await;
            }
        }
        Error::Superseded
    }

    /// Moves the durable offset over the oldest part: it is stored, and everything before it is.
    async fn commit_oldest(&mut self, stored: Stored) -> Result<()> {
        let Some(part) = self.in_flight.pop_front() else { return Ok(()) };
        let etag = stored.unwrap_or_else(|error| Err(Error::Internal(format!("store part: {error}"))))?;
        let crc64 = self.crc64.then(part.crc64, part.size);
        self.uploads
            .0
            .ledger
            .commit_part(&PartCommit {
                upload_id: &self.upload.id,
                epoch: self.epoch,
                number: part.number,
                offset: part.offset,
                size: signed(part.size),
                etag: &etag,
                sha256_state: &part.sha256_state,
                crc64_prefix: &crc64.to_hex(),
            })
            .await?;
        self.crc64 = crc64;
        metrics::counter!("weighbridge_committed_bytes_total").increment(part.size);
        Ok(())
    }

    fn broken(&self, error: BodyError) -> Error {
        let received = self.offset - self.begun_at;
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

/// Reserves the part's number, then sends it. Returns the bucket's tag.
async fn store_part(uploads: Uploads, bucket: Bucket, job: PartJob, payload: Payload) -> Result<String> {
    let reservation = Reservation {
        upload_id: &job.id,
        epoch: job.epoch,
        number: job.number,
        offset: job.offset,
        size: signed(payload.len()),
        crc64: &payload.crc64().to_hex(),
        deadline: deadline(),
    };
    uploads.0.ledger.reserve_part(&reservation).await?;
    Ok(bucket.put_part(&job.key, &job.multipart_id, job.number, &payload).await?)
}

/// When the longest call to a bucket has ended that begins as soon as the ledger knows of it, ms.
pub(crate) fn deadline() -> i64 {
    now_ms() + i64::try_from((LEDGER_WAIT_MAX + Bucket::CALL_TIMEOUT).as_millis()).unwrap_or(i64::MAX)
}
