//! Makes what was received durable: parts are stored a few at a time and committed in order, with the tail after them.
//! Invariant: an upload's offset moves in [`PartPipeline::commit`] alone, and only over bytes that are stored. Nothing counts
//! after a part that failed.

use std::collections::VecDeque;
use std::time::Duration;

use bucket::{Crc64, Payload};
use ledger::{Numbers, PartCommit, Reservation, Tail, now_ms};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::append::part_lease::call_deadline;
use crate::append::tail::StoredTail;
use crate::append::target::Target;
use crate::limits::{signed, unsigned};
use crate::memory::part_plan::PARTS_MAX;
use crate::{Error, Result, lost, metadata};

/// Parts of one append that are stored at a time. The next byte is read when the oldest is done.
const PARTS_IN_FLIGHT_MAX: usize = 4;
/// How long the last bytes of a part may be in the network after we have aborted its request, ms.
const LATE_MS: i64 = 10_000;
/// How often to check whether an older writer, on another node, has finished with the next part number.
const OLDER_WRITER_POLL: Duration = Duration::from_millis(250);

pub(crate) struct PartPipeline<'a> {
    target: &'a Target<'a>,
    multipart_id: Option<String>,
    /// Number of the last part that was cut.
    number: i64,
    /// Whether an older writer may still be sending the next part number.
    has_older_writer: bool,
    in_flight: VecDeque<InFlight>,
    /// Parts that are stored and not committed.
    stored: Vec<StoredPart>,
    /// Whether nothing is committed before the whole body is: it has a digest of its own.
    is_held: bool,
    pub(crate) tail: StoredTail<'a>,
    /// Bytes committed: the offset in the ledger.
    durable: u64,
    /// Checksum of the committed parts.
    crc64: Crc64,
    has_failed: bool,
    /// The ledger refused a commit, or made it and its answer was lost.
    has_uncertain_commit: bool,
}

struct InFlight {
    part: StoredPart,
    storing: AbortOnDropHandle<Result<String>>,
}

/// A part, with the bucket's ETag once it is stored.
struct StoredPart {
    number: i64,
    offset: i64,
    size: u64,
    crc64: Crc64,
    sha256_state: String,
    etag: String,
}

impl StoredPart {
    /// The byte after it in the file.
    fn end(&self) -> u64 {
        unsigned(self.offset) + self.size
    }
}

/// How the task of a part ended.
pub(crate) type Outcome = std::result::Result<Result<String>, tokio::task::JoinError>;

impl<'a> PartPipeline<'a> {
    /// Continues after the parts and the tail in the ledger. `is_held` is for a body that is kept as a whole or not at all.
    pub(crate) fn new(target: &'a Target<'a>, numbers: &Numbers, tails: Vec<Tail>, is_held: bool) -> Self {
        let upload = &target.upload;
        Self {
            multipart_id: upload.multipart_id.clone(),
            number: numbers.last,
            has_older_writer: numbers.doubtful_until > now_ms(),
            in_flight: VecDeque::new(),
            stored: Vec::new(),
            is_held,
            tail: StoredTail::new(target, tails),
            durable: unsigned(upload.offset),
            crc64: upload.crc64.as_deref().and_then(Crc64::from_hex).unwrap_or(Crc64::EMPTY),
            has_failed: false,
            has_uncertain_commit: false,
            target,
        }
    }

    pub(crate) fn target(&self) -> &'a Target<'a> {
        self.target
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn crc64(&self) -> Crc64 {
        self.crc64
    }

    pub(crate) fn has_parts(&self) -> bool {
        self.multipart_id.is_some()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(crate) fn has_uncertain_commit(&self) -> bool {
        self.has_uncertain_commit
    }

    pub(crate) fn has_older_writer(&self) -> bool {
        self.has_older_writer
    }

    pub(crate) fn next_number(&self) -> u64 {
        unsigned(self.number) + 1
    }

    /// Waits until the next part number may be sent. A part of an older writer, on another node or dead, could arrive after
    /// ours under the same number: that writer says when it is done, or its deadline passes.
    pub(crate) async fn wait_for_older_writer(&mut self) -> Result<()> {
        let Target { uploads, upload, epoch, signals, .. } = self.target;
        while self.has_older_writer {
            let numbers = uploads.0.ledger.numbers(&upload.id, *epoch).await?;
            if numbers.doubtful_until <= now_ms() {
                self.has_older_writer = false;
                break;
            }
            tokio::select! {
                biased;
                error = signals.interrupted() => return Err(error),
                () = tokio::time::sleep(OLDER_WRITER_POLL) => {}
            }
        }
        Ok(())
    }

    /// Opens the multipart upload for the first part, and waits until another part may be in flight.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        if self.multipart_id.is_none() {
            self.multipart_id = Some(self.create_multipart().await?);
        }
        while self.in_flight.len() >= PARTS_IN_FLIGHT_MAX {
            self.wait_oldest().await?;
        }
        Ok(())
    }

    /// The ledger records the attempt before it is made.
    async fn create_multipart(&self) -> Result<String> {
        let Target { uploads, bucket, upload, epoch, signals, .. } = self.target;
        let ledger = &uploads.0.ledger;
        let metadata = metadata::of_object(upload, None);
        let mut retry = uploads.storage_retry();
        let id = loop {
            ledger.extend_attempts(&upload.id, *epoch, call_deadline()).await?;
            let created = bucket.create_multipart(&upload.object_key, &upload.content_type, &metadata).await;
            match created.map_err(Error::from) {
                Ok(id) => break id,
                Err(error) if retry.again("multipart", &error, signals.retries_over()).await => {}
                Err(error) => return Err(error),
            }
        };
        ledger.set_multipart(&upload.id, *epoch, &id).await?;
        Ok(id)
    }

    /// Sends the next part, which ends at `end` in the file: reserves its number in the ledger, then stores it, and does both
    /// again while the bucket is away. Call [`Self::ready`] first.
    pub(crate) fn send(&mut self, payload: Payload, end: u64, sha256_state: String) {
        self.tail.replace();
        self.number += 1;
        let (number, size, crc64) = (self.number, payload.len(), payload.crc64());
        let offset = signed(end - size);
        let Target { uploads, bucket, upload, epoch, lease, signals } = self.target;
        let (uploads, bucket, lease, signals) =
            ((*uploads).clone(), (*bucket).clone(), lease.clone(), signals.clone());
        let (id, key, epoch) = (upload.id.clone(), upload.object_key.clone(), *epoch);
        let multipart_id = self.multipart_id.clone().unwrap_or_default();
        let store = async move {
            let mut retry = uploads.storage_retry();
            loop {
                let asked = Instant::now();
                let reservation = Reservation {
                    upload_id: &id,
                    epoch,
                    number,
                    offset,
                    size: signed(size),
                    crc64: &crc64.to_hex(),
                    deadline: lease.until_ms(),
                    attempts_until: call_deadline(),
                };
                uploads.0.ledger.reserve_part(&reservation).await?;
                let stored = async {
                    match bucket.put_part(&key, &multipart_id, number, &payload).await {
                        Err(bucket::Error::NotFound(_)) => {
                            Err(lost::multipart(&bucket, &id, &key, &multipart_id).await)
                        }
                        other => Ok(other?),
                    }
                };
                match lease.hold(asked, stored).await {
                    Err(error) if retry.again("part", &error, signals.retries_over()).await => {}
                    other => return other,
                }
            }
        };
        let storing = AbortOnDropHandle::new(tokio::spawn(store.in_current_span()));
        let part = StoredPart { number, offset, size, crc64, sha256_state, etag: String::new() };
        self.in_flight.push_back(InFlight { part, storing });
    }

    /// Returns how the oldest part in flight ended, for [`Self::ended`]; never if there is none. Safe to cancel.
    pub(crate) async fn oldest(&mut self) -> Outcome {
        match self.in_flight.front_mut() {
            Some(oldest) => (&mut oldest.storing).await,
            None => std::future::pending().await,
        }
    }

    /// Takes the oldest part out of the pipeline, and commits it if it was stored.
    pub(crate) async fn ended(&mut self, outcome: Outcome) -> Result<()> {
        let Some(InFlight { mut part, .. }) = self.in_flight.pop_front() else { return Ok(()) };
        match outcome.unwrap_or_else(|error| Err(Error::Internal(format!("store part: {error}")))) {
            Ok(etag) => part.etag = etag,
            Err(error) => {
                self.has_failed = true;
                return Err(error);
            }
        }
        self.stored.push(part);
        self.commit().await
    }

    async fn wait_oldest(&mut self) -> Result<()> {
        let outcome = self.oldest().await;
        self.ended(outcome).await
    }

    /// Waits until no part is in flight.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.wait_oldest().await?;
        }
        Ok(())
    }

    /// Waits for everything in flight, commits what may be committed, and records that no part number is in flight: a newer
    /// append sends the numbers that follow, and no part of ours may arrive after them.
    pub(crate) async fn close(&mut self) {
        self.target.signals.ending.cancel();
        if self.has_failed || self.drain().await.is_err() {
            for part in self.in_flight.drain(..) {
                self.has_failed |= !matches!(part.storing.await, Ok(Ok(_)));
            }
        }
        // A part that failed was aborted by us, and may still arrive for a moment.
        let until = if self.has_failed { now_ms() + LATE_MS } else { 0 };
        let Target { uploads, upload, epoch, .. } = self.target;
        if let Err(error) = uploads.0.ledger.release_reservations(&upload.id, *epoch, until).await {
            tracing::warn!(error = %error, "cannot release part numbers; they are free after their deadline");
        }
    }

    /// Commits a whole body, whose own digest is right.
    pub(crate) async fn commit_body(&mut self) -> Result<()> {
        self.is_held = false;
        self.commit().await
    }

    /// Moves the durable offset over what is stored, unless that is held: parts, and the tail after them.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        if self.is_held {
            return Ok(());
        }
        let (parts, tails) = (std::mem::take(&mut self.stored), self.tail.commits());
        if parts.is_empty() && tails.is_empty() {
            return Ok(());
        }
        let Target { uploads, upload, epoch, .. } = self.target;
        let mut crc64 = self.crc64;
        let prefixes: Vec<_> = parts
            .iter()
            .map(|part| {
                crc64 = crc64.then(part.crc64, part.size);
                crc64.to_hex()
            })
            .collect();
        let commits: Vec<_> = parts
            .iter()
            .zip(&prefixes)
            .map(|(part, crc64_prefix)| PartCommit {
                upload_id: &upload.id,
                epoch: *epoch,
                number: part.number,
                offset: part.offset,
                size: signed(part.size),
                etag: &part.etag,
                sha256_state: &part.sha256_state,
                crc64_prefix,
            })
            .collect();
        if let Err(error) = uploads.0.ledger.commit(&commits, &tails).await {
            self.has_failed |= !parts.is_empty();
            self.has_uncertain_commit = true;
            return Err(error.into());
        }
        let tail_end = if tails.is_empty() { None } else { self.tail.end() };
        let end = tail_end.or(parts.last().map(StoredPart::end)).unwrap_or(self.durable);
        self.crc64 = crc64;
        let before = std::mem::replace(&mut self.durable, end);
        metrics::counter!("weighbridge_committed_bytes_total").increment(end - before);
        self.tail.committed();
        Ok(())
    }

    /// Whether everything up to `offset` is stored, in parts or in the tail. No part may be in flight.
    pub(crate) fn has_stored(&self, offset: u64) -> bool {
        let after_parts = || self.stored.last().map_or(self.durable, StoredPart::end);
        offset == self.tail.end().unwrap_or_else(after_parts)
    }

    /// Whether all part numbers are used.
    pub(crate) fn is_full(&self) -> bool {
        unsigned(self.number) >= PARTS_MAX
    }
}
