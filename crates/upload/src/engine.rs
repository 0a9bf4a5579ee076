//! The engine's state, and the verbs that move no bytes: create, status, cancel.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bucket::{Bucket, Buckets, layout};
use ledger::{Destination, Ledger, Link, NewUpload, State, Upload};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::budget::Budget;
use crate::lease::Lease;
use crate::observe::ended_alone;
use crate::side::Turns;
use crate::{Digest, Error, Plan, Result, digest};

/// What the engine may use and accept. Checked by the configuration before it comes here.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Byte budget for everything in flight.
    pub memory_bytes: u64,
    /// Largest upload.
    pub max_upload_bytes: u64,
    /// Up to this size a file belongs on the ticket.
    pub ticket_attachment_bytes: u64,
    /// How long after its beginning an upload may be resumed.
    pub resume_window: Duration,
    /// How long an append waits for a bucket that does not answer, before it is refused for now.
    pub storage_wait: Duration,
    /// Uploads open at a time on a link that sets no limit of its own.
    pub link_open_uploads_max: u32,
    /// Bytes of uploads that are not complete on a link that sets no limit of its own.
    pub link_unfinished_bytes_max: u64,
}

/// What a new upload is made of, as a request has it.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// Link it comes through.
    pub link: &'a Link,
    /// Ticket it is for.
    pub ticket: &'a str,
    /// File name, checked and normalised.
    pub name: &'a str,
    /// Media type.
    pub content_type: &'a str,
    /// Bytes in all, where announced.
    pub length: Option<u64>,
    /// Whether it is kept for the resume window when nobody sends.
    pub resumable: bool,
    /// Whether the request that makes it brings its first bytes, and its sender hears of it only after them.
    pub begins_with_body: bool,
    /// Digests of the whole file, where announced.
    pub digests: &'a [Digest],
    /// What a tus client says of the file, to be told again.
    pub tus_metadata: Option<&'a str>,
}

/// The engine; clones share everything.
#[derive(Clone)]
pub struct Uploads(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) budget: Budget,
    pub(crate) plan: Plan,
    pub(crate) limits: Limits,
    running: Mutex<HashMap<String, Running>>,
    /// Appends of uploads that may be resumed end at the next frame.
    stopping: CancellationToken,
    /// Files being read back for their MD5, by link.
    pub(crate) read_backs: Turns,
    pub(crate) tasks: TaskTracker,
    pub(crate) completed: Arc<Notify>,
}

/// An append under way on this node.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) evicted: CancellationToken,
    /// Cancelled when what came so far is to be kept and told ([`Uploads::halt`]).
    pub(crate) halted: CancellationToken,
    pub(crate) ended: CancellationToken,
    /// Of the append, once it has begun; 0 before.
    epoch: Arc<AtomicI64>,
    lease: Lease,
}

/// An append's place among those under way. Given back when it ends, however it ends.
pub(crate) struct Place<'a> {
    uploads: &'a Uploads,
    id: &'a str,
    running: Running,
}

impl Place<'_> {
    /// Says under which epoch the append writes.
    pub(crate) fn begun(&self, epoch: i64) {
        self.running.epoch.store(epoch, Ordering::Relaxed);
    }

    /// How long its parts may be on their way.
    pub(crate) fn lease(&self) -> &Lease {
        &self.running.lease
    }

    /// Cancelled when a newer append of the upload takes over, or the upload is cancelled.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.running.evicted
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.uploads.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.running.ended.cancel();
        // Whoever evicted us has put itself in our place.
        if all.get(self.id).is_some_and(|running| running.ended.is_cancelled()) {
            all.remove(self.id);
        }
    }
}

/// Whoever works on an upload says so every 2 s ([`Uploads::keep_alive`]): after three beats without a word nobody does.
const SILENCE: Duration = Duration::from_secs(6);
/// The same with the clocks of two gateways, each up to 5 s away from the ledger's.
const SILENCE_SHARED: Duration = Duration::from_secs(16);
/// Who ends an upload that nobody asked to end, in the audit.
pub(crate) const GATEWAY: &str = "gateway";
/// How long a sender is asked to wait when no memory is free.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Where a file belongs, by its final size alone.
pub fn destination(size: u64, ticket_attachment_bytes: u64, partner_has_bucket: bool) -> Destination {
    if size <= ticket_attachment_bytes {
        Destination::TicketAttachment
    } else if partner_has_bucket {
        Destination::PartnerBucket
    } else {
        Destination::SupportUploader
    }
}

impl Uploads {
    /// An engine over this ledger and these buckets. `completed` is notified when an upload has come to rest.
    pub fn new(ledger: Ledger, buckets: Buckets, limits: Limits, completed: Arc<Notify>) -> Self {
        let budget = Budget::new(limits.memory_bytes);
        let plan = Plan::new(budget.total_bytes());
        Self(Arc::new(Inner {
            ledger,
            buckets,
            budget,
            plan,
            limits,
            running: Mutex::default(),
            stopping: CancellationToken::new(),
            read_backs: Turns::default(),
            tasks: TaskTracker::new(),
            completed,
        }))
    }

    /// The byte budget, for metrics.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Whether an upload of unknown length could begin on this link now. One that begins later may still
    /// be refused.
    ///
    /// # Errors
    /// [`Error::TooManyOpen`], [`Error::TooMuchUnfinished`], [`Error::Busy`], and [`Error::Unavailable`] when the ledger does not answer.
    pub async fn has_room(&self, link: &Link) -> Result<()> {
        if let Some(error) = self.why_no_room(link, None).await? {
            return Err(error);
        }
        self.0.budget.admit(&link.partner_id, &link.id).await.map(drop).ok_or_else(busy)
    }

    /// Records a new upload. Nothing exists in a bucket yet.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooManyOpen`], [`Error::TooMuchUnfinished`], [`Error::Busy`] when there is no memory
    /// for its first append, and [`Error::Unavailable`] when the ledger does not answer.
    pub async fn create(&self, new: &New<'_>) -> Result<Upload> {
        let max = self.max_bytes(new.link);
        if new.length.is_some_and(|length| length > max) {
            return Err(Error::TooLarge { max });
        }
        if self.0.budget.admit(&new.link.partner_id, &new.link.id).await.is_none() {
            return Err(busy());
        }
        let id = ledger::new_id();
        let (bucket_name, bucket) = self.0.buckets.of_partner(&new.link.partner_id);
        let row = NewUpload {
            object_key: layout::file_key(bucket.prefix(), new.ticket, &id, new.name),
            id,
            link_id: new.link.id.clone(),
            partner_id: new.link.partner_id.clone(),
            ticket: new.ticket.to_owned(),
            name: new.name.to_owned(),
            content_type: new.content_type.to_owned(),
            bucket: bucket_name.to_owned(),
            length: new.length.map(signed),
            resumable: new.resumable,
            begins_with_body: new.begins_with_body,
            announced: digest::to_text(new.digests),
            tus_metadata: new.tus_metadata.map(str::to_owned),
        };
        match self.0.ledger.create_upload(&row, self.room(new.link)).await {
            Ok(()) => Ok(self.0.ledger.upload(&row.id).await?),
            Err(ledger::Error::Superseded) => {
                // There may be room again by now: the sender is told of what was there.
                Err(self.why_no_room(new.link, new.length).await?.unwrap_or(Error::TooManyOpen))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same for a sender that begins again: where the link has no room, an unfinished upload of that name that nobody
    /// sends any more gives way.
    ///
    /// # Errors
    /// As [`Uploads::create`].
    pub async fn create_again(&self, new: &New<'_>) -> Result<Upload> {
        match self.create(new).await {
            Err(error @ (Error::TooManyOpen | Error::TooMuchUnfinished { .. })) => {
                let unfinished = self.unfinished(&new.link.id, new.name).await?;
                let is_idle = |upload: &&Upload| {
                    // On a ledger of our own, whoever sends sends to us.
                    let elsewhere = self.0.ledger.is_shared() && self.is_kept_alive(upload);
                    !elsewhere && !self.is_running(&upload.id)
                };
                let Some(oldest) = unfinished.iter().rfind(is_idle) else { return Err(error) };
                if !self.end_idle(oldest, "cancelled", "cancelled").await? {
                    return Err(error);
                }
                self.create(new).await
            }
            other => other,
        }
    }

    /// The upload of that id on that link, as it stands. For one that was a file sent again, the complete one that was there
    /// before.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for another link's upload; [`Error::Gone`] for one that was cancelled or removed.
    pub async fn status(&self, link_id: &str, id: &str) -> Result<Upload> {
        let upload = self.0.ledger.upload(id).await?;
        match upload.state {
            _ if upload.link_id != link_id => Err(Error::NotFound),
            // A sender that lost the answer has it here.
            State::Cancelled => match self.0.ledger.original_of(id).await? {
                Some(original) if original.state == State::Complete => Ok(original),
                _ => Err(Error::Gone),
            },
            State::Removed => Err(Error::Gone),
            // The next look of the housekeeping cancels it.
            State::Open if self.has_expired(&upload) => Err(Error::Gone),
            State::Open | State::Completing | State::Complete => Ok(upload),
        }
    }

    /// Ends an unfinished upload and clears what it left, as the audit says: for whom, and why where that does not say it.
    /// A complete one is left alone. Says whether it ended it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn cancel(&self, id: &str, actor: &str, why: &str) -> Result<bool> {
        // First, so that an append under way finds why it ends.
        if !self.0.ledger.cancel(id, None, actor, why).await? {
            return Ok(false);
        }
        match self.running(id) {
            // It says itself how it ended.
            Some(running) => running.evicted.cancel(),
            None => {
                let span = self.0.ledger.upload(id).await.map(|upload| upload.span());
                span.unwrap_or_else(|_| tracing::Span::none())
                    .in_scope(|| ended_alone("cancelled", "cancelled"));
            }
        }
        self.clear_later(id.to_owned());
        Ok(true)
    }

    /// Ends an upload that nobody sends, unless somebody has begun to since it was read. Says whether it did.
    pub(crate) async fn end_idle(
        &self,
        upload: &Upload,
        outcome: &'static str,
        reason: &'static str,
    ) -> Result<bool> {
        if !self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, reason).await? {
            return Ok(false);
        }
        upload.span().in_scope(|| ended_alone(outcome, reason));
        self.clear_later(upload.id.clone());
        Ok(true)
    }

    /// Takes a complete upload out of every listing and deletes its object.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not complete.
    pub async fn remove(&self, id: &str, actor: &str) -> Result<()> {
        self.0.ledger.remove(id, actor).await?;
        self.clear_later(id.to_owned());
        Ok(())
    }

    /// Runs work that must not end with the request that began it, in the span of now. [`Uploads::drain`] waits for it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.tasks.spawn(work.in_current_span())
    }

    /// Until when an unfinished upload may be resumed, ms.
    pub fn expires_at(&self, upload: &Upload) -> i64 {
        let window = i64::try_from(self.0.limits.resume_window.as_millis()).unwrap_or(i64::MAX);
        upload.created_at.saturating_add(window)
    }

    /// Unfinished uploads that began at or before this, ms, may be resumed no longer.
    pub(crate) fn begun_before(&self) -> i64 {
        let window = i64::try_from(self.0.limits.resume_window.as_millis()).unwrap_or(i64::MAX);
        ledger::now_ms().saturating_sub(window)
    }

    /// Whether its time to be resumed is over. One that is being sent may end.
    pub(crate) fn has_expired(&self, upload: &Upload) -> bool {
        upload.resumable && self.expires_at(upload) <= ledger::now_ms() && !self.is_running(&upload.id)
    }

    /// Whether another process may be at work on it: it has moved, or was said to be alive, a few beats ago at most.
    pub(crate) fn is_kept_alive(&self, upload: &Upload) -> bool {
        let silence = if self.0.ledger.is_shared() { SILENCE_SHARED } else { SILENCE };
        let silence_ms = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
        upload.updated_at.saturating_add(silence_ms) > ledger::now_ms()
    }

    /// Ends appends of uploads that may be resumed: what came is kept, and their senders are told to go on.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Cancelled when an append should end because the gateway stops; one that could not go on is let finish.
    pub(crate) fn stopping(&self, resumable: bool) -> CancellationToken {
        if resumable { self.0.stopping.clone() } else { CancellationToken::new() }
    }

    /// Unfinished uploads of that name on that link that may be resumed, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn unfinished(&self, link_id: &str, name: &str) -> Result<Vec<Upload>> {
        let open = ledger::Filter {
            link_id: Some(link_id.to_owned()),
            name: Some(name.to_owned()),
            state: Some(State::Open),
            limit: 100,
            ..ledger::Filter::default()
        };
        let found = self.0.ledger.uploads(&open).await?;
        Ok(found.into_iter().filter(|upload| upload.resumable && !self.has_expired(upload)).collect())
    }

    /// Waits for everything spawned.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Whether an append of that upload is under way on this node.
    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.running(id).is_some()
    }

    /// Tells other processes on the ledger that what is under way here is worked on, and ends what was cancelled elsewhere.
    /// Where no other gateway can be, only a sweep from the command line must know, and only of what would have expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn keep_alive(&self) -> Result<()> {
        let mut all = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !all.is_empty() && !self.0.ledger.is_shared() {
            let overdue = self.0.ledger.overdue(self.begun_before()).await?;
            all.retain(|id, _| overdue.contains(id));
        }
        for (id, running) in all {
            let epoch = running.epoch.load(Ordering::Relaxed);
            let asked = Instant::now();
            if epoch == 0 {
                continue;
            }
            if self.0.ledger.keep_upload(&id, epoch, running.lease.until_ms()).await? {
                running.lease.renewed(asked);
                continue;
            }
            // Complete it may be by our own hand, just now.
            let now = self.0.ledger.upload(&id).await?;
            if now.epoch != epoch || now.state == State::Cancelled {
                running.evicted.cancel();
            }
        }
        Ok(())
    }

    pub(crate) fn running(&self, id: &str) -> Option<Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Ends an older append of the same upload on this node and waits until nothing of it is on its way to the bucket;
    /// the ledger's epoch ends it on others.
    pub(crate) async fn take_over<'a>(&'a self, id: &'a str) -> Place<'a> {
        let running = Running {
            evicted: CancellationToken::new(),
            halted: CancellationToken::new(),
            ended: CancellationToken::new(),
            epoch: Arc::default(),
            lease: Lease::new(self.0.ledger.is_shared()),
        };
        let older = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), running.clone());
        let place = Place { uploads: self, id, running };
        if let Some(older) = older {
            older.evicted.cancel();
            older.ended.cancelled().await;
        }
        place
    }

    pub(crate) fn bucket(&self, upload: &Upload) -> Result<&Bucket> {
        self.0
            .buckets
            .named(&upload.bucket)
            .ok_or_else(|| Error::Unavailable(format!("bucket `{}` is not configured", upload.bucket)))
    }
}

pub(crate) fn busy() -> Error {
    Error::Busy { retry_after: BUSY_RETRY_AFTER }
}

/// Sizes are far below 2^63: the ledger and S3 count in signed integers.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
