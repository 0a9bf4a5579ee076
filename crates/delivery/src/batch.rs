//! Everything due for one ticket, in one comment: look whether it was told already, hand over attachments, write.
//! Invariant: nothing is written without the stamp that was read before looking; what is not settled stays in the ledger.

use std::time::{Duration, Instant};

use desk::{NewComment, Status};
use ledger::{Delivery, Destination, Job, JobKind, State, Upload, now_ms};
use tracing::Instrument as _;

use crate::attach::{Failure, bucket_of, hand_over, token_at_hand};
use crate::attempt::Attempt;
use crate::lease::Lease;
use crate::mark;
use crate::note::{self, Entry};
use crate::pacing::{self, WINDOW_MS};
use crate::{Shared, chain, failed, told};

/// Attachments of one comment; up to 400 MB at the usual limit of 20 MB.
const ATTACHMENTS_MAX: usize = 20;
/// After so long the comment is written with what the desk has; tokens live for an hour.
const ATTACH_TIME_MAX: Duration = Duration::from_secs(600);
/// A file that could not be attached this often, over about ten minutes, is noted with its bucket instead.
const ATTACH_ATTEMPTS_MAX: i64 = 10;
/// How often to look again at once when the ticket changes while we write.
const CONFLICTS_MAX: u32 = 5;
/// The desk's clock may be behind ours by so much.
const CLOCK_SKEW_MS: i64 = 60 * 60 * 1000;
/// An operator is told so often that the desk does not accept our credentials.
const ALARM_EVERY_MS: i64 = 60 * 1000;

/// One upload of the batch.
struct File {
    job: Job,
    upload: Upload,
    /// Given to the desk, to be attached to the comment.
    token: Option<String>,
    /// Meant to be attached, but noted with its bucket.
    fallen: bool,
    /// Not in this comment: put off, or next time.
    left_out: bool,
}

impl File {
    fn wants_attachment(&self) -> bool {
        self.upload.destination == Some(Destination::TicketAttachment) && !self.fallen
    }

    fn destination(&self) -> Destination {
        if self.token.is_some() { Destination::TicketAttachment } else { resting_place(&self.upload) }
    }
}

/// The bucket a file rests in, as a destination.
fn resting_place(upload: &Upload) -> Destination {
    if upload.bucket == bucket::SUPPORT_UPLOADER {
        Destination::SupportUploader
    } else {
        Destination::PartnerBucket
    }
}

/// Why a round ended without a comment.
enum Trouble {
    Ledger(ledger::Error),
    Desk(desk::Error),
    /// Nothing may be written before this time, ms.
    NoRoom(i64),
}

impl From<ledger::Error> for Trouble {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<desk::Error> for Trouble {
    fn from(error: desk::Error) -> Self {
        Self::Desk(error)
    }
}

struct Batch<'a> {
    shared: &'a Shared,
    ticket: &'a str,
    files: Vec<File>,
    attempt: Attempt,
    conflicts: u32,
    settled: usize,
}

/// Works on one ticket. Says how many deliveries were settled.
pub(crate) async fn deliver(shared: &Shared, lease: &Lease) -> usize {
    let mut batch = Batch {
        shared,
        ticket: lease.ticket(),
        files: Vec::new(),
        attempt: Attempt::First,
        conflicts: 0,
        settled: 0,
    };
    let work = Box::pin(batch.work());
    let end = tokio::select! {
        end = work => end,
        () = lease.keep() => {
            tracing::warn!(ticket = lease.ticket(), "lost the lease of the ticket; whoever has it goes on");
            failed("lease");
            return batch.settled;
        }
    };
    match end {
        Ok(hold_until) => lease.end(hold_until).await,
        Err(error) => {
            // Nothing can be written down now: the lease runs out, and it is tried again.
            tracing::warn!(ticket = lease.ticket(), error = chain(&error), "deliver to the ticket");
            failed("ledger");
        }
    }
    batch.settled
}

impl Batch<'_> {
    /// Settles what it can. Answers before what time, ms, nobody need look at this ticket again.
    async fn work(&mut self) -> ledger::Result<i64> {
        let ledger = &self.shared.ledger;
        let now = now_ms();
        let updates = ledger.ticket_updates(self.ticket, now - WINDOW_MS).await?;
        let last_note_at = ledger.ticket(self.ticket).await?.map_or(0, |ticket| ticket.last_note_at);
        let when = pacing::next_note(last_note_at, &updates, self.shared.config.batch);
        if when > now {
            return Ok(when);
        }
        for job in ledger.ticket_jobs(JobKind::Deliver, self.ticket, note::FILES_MAX).await? {
            let upload = ledger.upload(&job.upload_id).await?;
            if upload.state == State::Complete && upload.delivery == Some(Delivery::Pending) {
                self.files.push(File { job, upload, token: None, fallen: false, left_out: false });
            } else {
                // Removed in the meantime.
                ledger.finish_job(&job.id).await?;
            }
        }
        while !self.files.is_empty() {
            match self.round().await {
                Ok(()) => {}
                Err(Trouble::Ledger(error)) => return Err(error),
                Err(Trouble::NoRoom(until)) => return Ok(until),
                Err(Trouble::Desk(error)) => {
                    if let Some(until) = self.remedy(error).await? {
                        return Ok(until);
                    }
                }
            }
        }
        mark::work(self.shared, self.ticket).await
    }

    /// One way from looking to writing. The order matters: stamp, markers, comment.
    async fn round(&mut self) -> Result<(), Trouble> {
        let Shared { desk, ledger, .. } = self.shared;
        let me = desk.me().await?;
        let seen = desk.ticket(self.ticket).await?;
        let closed = seen.status == Status::Closed;
        let organization_id = seen.organization_id.and_then(|id| i64::try_from(id).ok());
        ledger.saw_ticket(self.ticket, organization_id, closed).await?;
        self.find_markers(me).await?;
        if self.files.is_empty() {
            return Ok(());
        }
        if closed {
            return Err(desk::Error::Closed.into());
        }
        self.attach().await?;
        if self.attempt == Attempt::Single {
            self.files.truncate(1);
        }
        if self.files.is_empty() { Ok(()) } else { self.write(&seen.updated_stamp).await }
    }

    /// Settles the files that a comment of ours tells of already.
    async fn find_markers(&mut self, me: u64) -> Result<(), Trouble> {
        let Shared { desk, ledger, .. } = self.shared;
        let completed_at = |file: &File| file.upload.completed_at.unwrap_or(file.upload.created_at);
        // A clock that was ahead may have said that it was complete later than now.
        let oldest = self.files.iter().map(completed_at).min().unwrap_or_default().min(now_ms());
        let comments = desk.comments_since(self.ticket, oldest - CLOCK_SKEW_MS).await?;
        let ours: Vec<_> = comments.iter().filter(|comment| comment.author_id == me).collect();
        for file in &mut self.files {
            let found = ours.iter().find_map(|comment| note::find(&comment.body, &file.upload.id));
            let Some(attached) = found else { continue };
            let destination =
                if attached { Destination::TicketAttachment } else { resting_place(&file.upload) };
            ledger.delivered(&file.upload.id, Delivery::Done, destination, None).await?;
            file.upload.span().in_scope(|| tracing::info!("the ticket tells of it already"));
            count("done");
            self.settled += 1;
            file.left_out = true;
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Gives the desk what is to be attached, as far as it has not got it.
    async fn attach(&mut self) -> Result<(), Trouble> {
        let shared = self.shared;
        let began = Instant::now();
        self.forget_removed().await?;
        let (mut attached, mut stopped) = (0, false);
        for file in &mut self.files {
            file.token = None;
            if let Err(reason) = bucket_of(shared, &file.upload) {
                failed("bucket");
                let span = file.upload.span();
                put_off(shared, file, reason, None).instrument(span).await?;
            } else if self.attempt == Attempt::Plain && file.wants_attachment() {
                file.fallen = true;
            } else if file.wants_attachment() {
                if stopped || attached == ATTACHMENTS_MAX || began.elapsed() > ATTACH_TIME_MAX {
                    file.left_out = true;
                    continue;
                }
                let span = file.upload.span();
                give(shared, file).instrument(span).await?;
                // One failure is enough for now: what was not tried comes with the next comment.
                stopped = file.left_out;
                attached += usize::from(file.token.is_some());
            }
        }
        // A public comment names nothing but what it attaches.
        if shared.config.attachments_public && attached > 0 {
            self.files.iter_mut().for_each(|file| file.left_out |= file.token.is_none());
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Leaves out what was removed since the batch was loaded: its job went with it.
    async fn forget_removed(&mut self) -> ledger::Result<()> {
        for file in &mut self.files {
            file.left_out = self.shared.ledger.upload(&file.upload.id).await?.state != State::Complete;
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Writes the comment, unless the ticket has changed since the stamp.
    async fn write(&mut self, stamp: &str) -> Result<(), Trouble> {
        let Shared { desk, ledger, buckets, config, .. } = self.shared;
        let now = now_ms();
        let room_at = pacing::room_at(&ledger.ticket_updates(self.ticket, now - WINDOW_MS).await?);
        if room_at > now {
            return Err(Trouble::NoRoom(room_at));
        }
        // Handing files over may have taken minutes.
        self.forget_removed().await?;
        if self.files.is_empty() {
            return Ok(());
        }
        let uploads: Vec<String> = self.files.iter().filter_map(|file| file.token.clone()).collect();
        let attaches = !uploads.is_empty();
        let public = config.attachments_public && attaches;
        let entries: Vec<_> = self
            .files
            .iter()
            .map(|file| Entry {
                upload: &file.upload,
                destination: file.destination(),
                bucket: buckets.named(&file.upload.bucket).map_or("", bucket::Bucket::name),
            })
            .collect();
        let body = note::text(&entries, &config.public_url, public);
        // First, so that an update whose answer is lost is counted, too.
        ledger.note_ticket_update(self.ticket, now - WINDOW_MS).await?;
        match desk.comment(self.ticket, NewComment { body, public, uploads, stamp }).await {
            Ok(()) => self.written().await,
            Err(desk::Error::Refused { detail }) => self.refused(attaches, &detail).await,
            Err(desk::Error::TooLarge) => self.refused(attaches, "the comment is too large").await,
            Err(error) => Err(error.into()),
        }
    }

    async fn written(&mut self) -> Result<(), Trouble> {
        metrics::counter!("weighbridge_notes_total").increment(1);
        tracing::info!(ticket = self.ticket, files = self.files.len(), "wrote a note");
        for file in std::mem::take(&mut self.files) {
            let destination = file.destination();
            self.shared.ledger.delivered(&file.upload.id, Delivery::Done, destination, None).await?;
            told(&file.upload, destination);
            count("done");
            self.settled += 1;
        }
        Ok(())
    }

    async fn refused(&mut self, attaches: bool, detail: &str) -> Result<(), Trouble> {
        failed("refused");
        tracing::warn!(ticket = self.ticket, detail, attempt = ?self.attempt, "the desk refuses a note");
        let Some(next) = self.attempt.next(attaches, self.files.len()) else {
            return Ok(self.undeliverable(&format!("the desk refused the note: {detail}")).await?);
        };
        self.attempt = next;
        if attaches {
            for file in &mut self.files {
                self.shared.ledger.set_desk_token(&file.upload.id, None).await?;
                file.upload.desk_token = None;
            }
        }
        Ok(())
    }

    /// Every file of the batch stays in its bucket, and the ticket is never told.
    async fn undeliverable(&mut self, detail: &str) -> ledger::Result<()> {
        let ledger = &self.shared.ledger;
        for file in std::mem::take(&mut self.files) {
            let id = &file.upload.id;
            file.upload.span().in_scope(|| tracing::warn!(detail, "undeliverable"));
            // The audit first: twice is better than never.
            ledger.record("gateway", "upload.undeliverable", id, detail).await?;
            let destination = resting_place(&file.upload);
            ledger.delivered(id, Delivery::Undeliverable, destination, Some(detail)).await?;
            count("undeliverable");
            self.settled += 1;
        }
        Ok(())
    }

    /// A proxy or a page in front of the desk may answer 404 to everything for a while: only a desk that says who we are, and
    /// then again that it has no such ticket, is believed.
    async fn ticket_is_gone(&self) -> bool {
        let desk = &self.shared.desk;
        desk.ask_me().await.is_ok() && matches!(desk.ticket(self.ticket).await, Err(desk::Error::NotFound))
    }

    /// What to do about an error of the desk. Answers until when, ms, to leave the ticket alone; none to look again at once.
    async fn remedy(&mut self, error: desk::Error) -> ledger::Result<Option<i64>> {
        let reason = match &error {
            desk::Error::Closed => {
                let known = self.shared.ledger.ticket(self.ticket).await?;
                let organization_id = known.and_then(|ticket| ticket.organization_id);
                self.shared.ledger.saw_ticket(self.ticket, organization_id, true).await?;
                self.undeliverable(&format!("ticket {} is closed", self.ticket)).await?;
                return Ok(None);
            }
            desk::Error::NotFound if self.ticket_is_gone().await => {
                self.undeliverable(&format!("the desk knows no ticket {}", self.ticket)).await?;
                return Ok(None);
            }
            desk::Error::Conflict if self.conflicts < CONFLICTS_MAX => {
                self.conflicts += 1;
                return Ok(None);
            }
            desk::Error::NotFound => "not_found",
            desk::Error::Conflict => "conflict",
            desk::Error::Unauthorized => "unauthorized",
            desk::Error::RateLimited { .. } => "rate_limited",
            desk::Error::Unavailable { .. } => "unavailable",
            desk::Error::TooLarge | desk::Error::Refused { .. } => "refused",
        };
        failed(reason);
        let attempts = self.files.iter().map(|file| file.job.attempts).max().unwrap_or_default();
        let until = later(attempts, error.retry_after());
        let text = chain(&error);
        if !matches!(error, desk::Error::Unauthorized) {
            tracing::warn!(
                ticket = self.ticket,
                error = text,
                until = ledger::rfc3339(until),
                "put deliveries off"
            );
        } else if alarm_is_due(self.shared) {
            tracing::error!(
                ticket = self.ticket,
                "the desk does not accept our credentials: an operator must act"
            );
        }
        let jobs: Vec<Job> = std::mem::take(&mut self.files).into_iter().map(|file| file.job).collect();
        self.shared.ledger.put_off(&jobs, until, Some(&text)).await?;
        Ok(Some(until))
    }
}

/// Has one file attached, or fall over, or puts it off.
async fn give(shared: &Shared, file: &mut File) -> Result<(), Trouble> {
    if let Some(token) = token_at_hand(&file.upload) {
        file.token = Some(token.to_owned());
        return Ok(());
    }
    let failure = match Box::pin(hand_over(shared, &file.upload)).await {
        Ok(token) => {
            let kept = (token.token.as_str(), token.expires_at_ms);
            shared.ledger.set_desk_token(&file.upload.id, Some(kept)).await?;
            file.upload.desk_token = Some((token.token.clone(), token.expires_at_ms));
            file.token = Some(token.token);
            return Ok(());
        }
        Err(failure) => failure,
    };
    let (reason, retry_after) = match failure {
        // Not this file's affair.
        Failure::Desk(error @ (desk::Error::Unauthorized | desk::Error::RateLimited { .. })) => {
            return Err(error.into());
        }
        Failure::Desk(error @ (desk::Error::TooLarge | desk::Error::Refused { .. })) => {
            failed(if matches!(error, desk::Error::TooLarge) { "too_large" } else { "refused" });
            tracing::info!(error = chain(&error), "noted instead of attached");
            file.fallen = true;
            return Ok(());
        }
        Failure::Desk(error) => {
            failed("unavailable");
            (chain(&error), error.retry_after())
        }
        Failure::Bucket(reason) => {
            failed("bucket");
            (reason, None)
        }
    };
    if file.job.attempts >= ATTACH_ATTEMPTS_MAX {
        tracing::error!(error = reason, "noted instead of attached");
        file.fallen = true;
        return Ok(());
    }
    put_off(shared, file, reason, retry_after).await
}

/// Leaves one file out and tries it again later.
async fn put_off(
    shared: &Shared,
    file: &mut File,
    reason: String,
    retry_after: Option<Duration>,
) -> Result<(), Trouble> {
    let until = later(file.job.attempts, retry_after);
    tracing::warn!(error = reason, until = ledger::rfc3339(until), "put delivery off");
    shared.ledger.put_off(std::slice::from_ref(&file.job), until, Some(&reason)).await?;
    file.left_out = true;
    Ok(())
}

/// When to try again, ms.
fn later(attempts: i64, retry_after: Option<Duration>) -> i64 {
    let wait = pacing::backoff(attempts, retry_after, rand::random());
    now_ms() + i64::try_from(wait.as_millis()).unwrap_or(WINDOW_MS)
}

fn alarm_is_due(shared: &Shared) -> bool {
    use std::sync::atomic::Ordering::Relaxed;
    let (now, last) = (now_ms(), shared.alarmed_at.load(Relaxed));
    now - last >= ALARM_EVERY_MS && shared.alarmed_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
}

fn count(outcome: &'static str) {
    metrics::counter!("weighbridge_deliveries_total", "outcome" => outcome).increment(1);
}
