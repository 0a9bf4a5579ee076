//! An append from its admission to its end: who holds the upload, what is kept when it breaks off, what is given up.
//! Invariant: the offset never falls; of an upload that may be resumed, everything received in order is kept, and nothing
//! of any other.

use std::collections::VecDeque;

use bucket::Crc64;
use bytes::Bytes;
use futures_util::Stream;
use ledger::{Appending, Numbers, State, Upload, now_ms};
use tokio_util::sync::CancellationToken;

use crate::budget::Account;
use crate::engine::{GATEWAY, Place, Uploads, busy, signed, unsigned};
use crate::hash::Hasher;
use crate::part::Part;
use crate::patience::Hurry;
use crate::receiving::Receiving;
use crate::room::Growth;
use crate::{Digest, Error, Result, digest};

/// What a request says of the bytes it brings.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Where they begin in the file.
    pub offset: u64,
    /// Bytes of the whole file, where announced.
    pub length: Option<u64>,
    /// Bytes of this body, where announced.
    pub body_bytes: Option<u64>,
    /// Whether the file ends with this body.
    pub end: End,
    /// Largest file this request may make.
    pub max_bytes: u64,
    /// Digests of the whole file, where announced.
    pub digests: Vec<Digest>,
    /// Digests of this body alone: all of it is kept, or nothing.
    pub content: Vec<Digest>,
    /// Whether bytes beyond the length end the upload, and not this request alone: the IETF draft demands it.
    pub invalidates: bool,
}

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// With this body.
    #[default]
    Body,
    /// Where its announced length is reached.
    Length,
    /// Not yet.
    Later,
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
    /// The append itself: [`Uploads::append`] without what is told of it. `seen` is the upload as its sender knew it.
    pub(crate) async fn take_in<S>(&self, seen: &Upload, append: &Append, body: S) -> Result<Upload>
    where
        S: Stream<Item = std::result::Result<Frame, BodyError>> + Unpin + Send,
    {
        if seen.state == State::Open && unsigned(seen.offset) != append.offset {
            return Err(Error::OffsetMismatch { expected: seen.offset });
        }
        if let Some((declared, actual)) = seen.length.map(unsigned).zip(append.length).filter(|(a, b)| a != b)
        {
            return Err(Error::LengthMismatch { declared, actual });
        }
        let id = seen.id.as_str();
        if let (None, Some(length)) = (seen.length, append.length) {
            self.announce_length(seen, length).await?;
        }
        let Some(account) = self.0.budget.admit(&seen.partner_id, &seen.link_id).await else {
            // Only one that no append has begun: another may be under way.
            self.give_up(id, 0, append, &busy()).await;
            return Err(busy());
        };
        let place = self.take_over(id).await;
        let begun = self.begin(id, append).await?;
        let epoch = begun.epoch;
        place.begun(epoch);
        let result = async {
            let mut receiving = self.receiving(begun, append, account, &place).await?;
            let ended = match receiving.receive(body).await {
                Ok(()) => self.end(&mut receiving, append).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &ended {
                receiving.keep(error).await;
            }
            ended
        }
        .await;
        let result = match result {
            // One that gave up waiting for its bucket because another took over ends as that.
            Err(error)
                if matches!(error, Error::Superseded)
                    || (place.evicted().is_cancelled() && error.is_for_now()) =>
            {
                Err(self.why_superseded(id).await)
            }
            other => other,
        };
        match &result {
            Ok(_) => self.0.completed.notify_one(),
            // Whoever took over has the upload now.
            Err(Error::Superseded) if place.evicted().is_cancelled() => {}
            Err(error) => self.give_up(id, epoch, append, error).await,
        }
        result
    }

    /// The body has ended. So has the file, or what there is of it is made durable.
    async fn end(&self, receiving: &mut Receiving<'_>, append: &Append) -> Result<Upload> {
        receiving.compare_content()?;
        // What an older append brought reaches further than a file that ends here.
        if append.end == End::Body && receiving.passed_over > 0 {
            let declared = receiving.offset;
            return Err(Error::LengthMismatch { declared, actual: declared - receiving.passed_over });
        }
        let at_length = receiving.upload.length.is_some_and(|length| unsigned(length) == receiving.offset);
        let is_whole = match append.end {
            End::Body => true,
            End::Length => at_length,
            End::Later => false,
        };
        if is_whole {
            return self.finish(receiving).await;
        }
        receiving.rest().await?;
        Ok(self.0.ledger.upload(&receiving.upload.id).await?)
    }

    /// The ledger refuses a writer whose link was revoked, or whose upload was ended, as it refuses one that was replaced: this
    /// tells them apart.
    async fn why_superseded(&self, id: &str) -> Error {
        let why = async {
            let upload = self.0.ledger.upload(id).await?;
            let link = self.0.ledger.link(&upload.link_id).await?;
            let partner = self.0.ledger.partner(&link.partner_id).await?;
            Ok::<_, ledger::Error>(if link.revoked_at.is_some() || partner.disabled_at.is_some() {
                Error::Revoked
            } else if matches!(upload.state, State::Cancelled | State::Removed) {
                Error::Gone
            } else {
                Error::Superseded
            })
        };
        why.await.unwrap_or(Error::Superseded)
    }

    /// Makes the upload this append's. What an older one stored until now is passed over: it came from the same file.
    async fn begin(&self, id: &str, append: &Append) -> Result<Appending> {
        match self.0.ledger.begin_append(id, signed(append.offset), append.length.map(signed)).await {
            Err(ledger::Error::Superseded) => {
                let upload = self.0.ledger.upload(id).await?;
                Err(if upload.state == State::Open {
                    Error::OffsetMismatch { expected: upload.offset }
                } else {
                    Error::Gone
                })
            }
            other => Ok(other?),
        }
    }

    /// Everything that the bytes need.
    async fn receiving<'a>(
        &'a self,
        begun: Appending,
        append: &Append,
        account: Account,
        place: &Place<'_>,
    ) -> Result<Receiving<'a>> {
        let Appending { epoch, upload, sha256_state } = begun;
        let ledger = &self.0.ledger;
        let mut announced = digest::from_text(&upload.announced);
        announced.extend(
            append.digests.iter().filter(|digest| !announced.contains(digest)).cloned().collect::<Vec<_>>(),
        );
        let hasher = match &sha256_state {
            None => {
                let by_side_files = self.announced_by_side_files(&upload).await?;
                Hasher::new(announced.iter().chain(&by_side_files).map(|digest| digest.algorithm))
            }
            // Written by another version, perhaps: a gateway of that one can go on.
            Some(saved) => Hasher::restore(saved)
                .ok_or_else(|| Error::Unavailable("the saved SHA-256 state cannot be read".into()))?,
        };
        // The multipart upload is in the ledger before its first part.
        let numbers = match upload.multipart_id {
            Some(_) => ledger.numbers(&upload.id, epoch).await?,
            None => Numbers { last: 0, doubtful_until: 0 },
        };
        let tails = if upload.tails_written > 0 { ledger.tails(&upload.id).await? } else { Vec::new() };
        let offset = unsigned(upload.offset);
        Ok(Receiving {
            uploads: self,
            bucket: self.bucket(&upload)?,
            epoch,
            account,
            evicted: place.evicted().clone(),
            stopping: self.stopping(upload.resumable),
            hurry: Hurry {
                evicted: place.evicted().clone(),
                stopping: self.stopping(upload.resumable),
                ending: CancellationToken::new(),
            },
            lease: place.lease().clone(),
            hasher,
            announced,
            content: append.content.clone(),
            content_hasher: (!append.content.is_empty())
                .then(|| Hasher::new(append.content.iter().map(|digest| digest.algorithm))),
            held: Vec::new(),
            crc64: upload.crc64.as_deref().and_then(Crc64::from_hex).unwrap_or(Crc64::EMPTY),
            number: numbers.last,
            doubtful: numbers.doubtful_until > now_ms(),
            offset,
            durable: offset,
            begun_at: append.offset,
            body_bytes: append.body_bytes,
            passed_over: offset.saturating_sub(append.offset),
            max_bytes: append.max_bytes,
            length: upload.length.map(unsigned),
            tails,
            uncommitted: 0,
            superseded: Vec::new(),
            tails_stored: 0,
            tails_sha256: String::new(),
            tail_loaded: false,
            part: Part::default(),
            growth: Growth::of(&upload),
            in_flight: VecDeque::new(),
            failed: false,
            upload,
        })
    }

    /// Cancels what a failed append leaves, if it is still its own. Publishing that may yet succeed is left to recovery, and
    /// an upload that may be resumed to its sender, unless this error ends it, or nothing is durable of one that began with this
    /// request: then its sender begins anew.
    async fn give_up(&self, id: &str, epoch: i64, append: &Append, error: &Error) {
        let cancelled = async {
            let upload = self.0.ledger.upload(id).await?;
            let has_bytes = upload.multipart_id.is_some() || upload.offset > 0;
            let publishing = upload.state == State::Completing && has_bytes;
            let may_yet_complete = publishing && error.is_for_now();
            let may_be_resumed = upload.resumable
                && upload.state == State::Open
                && !ends(&upload, append, error)
                && !upload.is_unheard_of();
            if may_be_resumed {
                crate::observe::kept();
            }
            if may_yet_complete || may_be_resumed {
                return Ok(false);
            }
            self.0.ledger.cancel(id, Some(epoch), GATEWAY, error.reason()).await
        };
        match cancelled.await {
            Ok(true) => self.clear_later(id.to_owned()),
            Ok(false) => {}
            // Recovery cancels what nobody works on once the ledger is back.
            Err(failure) => {
                tracing::warn!(upload.id = id, error = %failure, "end what a failed append leaves")
            }
        }
    }
}

/// Whether an error ends an upload that may be resumed, and not its request alone. What was acknowledged is given up for none
/// that says something of the bytes that came now, or of storage.
fn ends(upload: &Upload, append: &Append, error: &Error) -> bool {
    let length = upload.length.map(unsigned);
    match error {
        Error::Gone | Error::Revoked | Error::DigestMismatch { .. } | Error::UnreadableSideFile { .. } => {
            true
        }
        Error::LengthMismatch { declared, actual } => {
            append.invalidates && actual > declared && length == Some(*declared)
        }
        // Its first bytes are more than there may be: none was acknowledged, and nothing can become of it.
        Error::TooLarge { .. } | Error::TooMuchUnfinished { .. } => upload.epoch <= 1,
        _ => false,
    }
}
