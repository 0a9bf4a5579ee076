//! Delivers the files that are due for one ticket in one comment: looks for earlier comments, uploads attachments, writes.
//! Invariant: nothing is written without the stamp that was read before looking; what is not settled stays in the ledger.

mod attach;
mod attempt;
mod file;
mod note;

use std::time::{Duration, Instant};

use desk::{NewComment, Status};
use ledger::{Delivery, Destination, State, Upload, now_ms};
use tracing::Instrument as _;

use crate::batch::Batch;
use crate::error::JobError;
use crate::organization;
use crate::shared::{Shared, failed};
use crate::{tell_asks, ticket};
use attempt::Attempt;
use file::File;
use note::NotedFile;

/// Attachments of one comment; up to 400 MB at the usual limit of 20 MB.
const ATTACHMENTS_MAX: usize = 20;
/// After this time the comment is written with what the desk has; tokens live for an hour.
const ATTACH_TIME_MAX: Duration = Duration::from_secs(600);
/// How often to look again at once when the ticket changes while we write.
const CONFLICTS_MAX: u32 = 5;

/// The step of a ticket that puts the organisation's notes before support.
const ORGANIZATION_NOTES: &str = "organization-notes";

/// The note that is being made.
struct Note<'a> {
    shared: &'a Shared,
    ticket: &'a str,
    files: Vec<File>,
    attempt: Attempt,
    conflicts: u32,
    settled: &'a mut usize,
}

/// Settles what it can; jobs that the error concerns stay in the batch.
pub(crate) async fn run(batch: &mut Batch<'_>) -> Result<(), JobError> {
    let jobs = std::mem::take(&mut batch.jobs);
    let Some(ticket) = jobs.first().and_then(|job| job.ticket.clone()) else { return Ok(()) };
    let shared = batch.shared;
    let mut files = Vec::new();
    for job in jobs {
        let upload = shared.ledger.upload(&job.subject).await?;
        if upload.state == State::Complete && upload.delivery == Some(Delivery::Pending) {
            files.push(File::new(job, upload));
        } else {
            // Removed in the meantime.
            shared.ledger.finish_job(&job.id).await?;
        }
    }
    let settled = &mut batch.settled;
    let mut note = Note { shared, ticket: &ticket, files, attempt: Attempt::First, conflicts: 0, settled };
    let end = note.settle().await;
    batch.jobs = note.files.into_iter().map(|file| file.job).collect();
    end
}

impl Note<'_> {
    async fn settle(&mut self) -> Result<(), JobError> {
        while !self.files.is_empty() {
            match self.round().await {
                Err(JobError::Desk(error)) => self.resolve(error).await?,
                other => other?,
            }
        }
        Ok(())
    }

    /// One round from looking to writing. The order matters: stamp, markers, comment.
    async fn round(&mut self) -> Result<(), JobError> {
        let Shared { desk, ledger, .. } = self.shared;
        // Our credentials first: a desk that rejects them may also answer 404 for a ticket.
        desk.me().await?;
        let seen = desk.ticket(self.ticket).await?;
        let closed = seen.status == Status::Closed;
        let organization_id = seen.organization();
        ledger.saw_ticket(self.ticket, organization_id, closed).await?;
        self.find_markers().await?;
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
        self.write(&seen.updated_stamp).await
    }

    /// Settles the files that one of our comments names already.
    async fn find_markers(&mut self) -> Result<(), JobError> {
        let uploads = self.files.iter().map(|file| &file.upload);
        let ours = ticket::our_comments(self.shared, self.ticket, uploads).await?;
        for file in &mut self.files {
            let found = ours.iter().find_map(|comment| note::find(&comment.body, &file.upload.id));
            let Some(attached) = found else { continue };
            let destination =
                if attached { Destination::TicketAttachment } else { file.bucket_destination() };
            self.shared.ledger.delivered(&file.upload.id, Delivery::Done, destination, None).await?;
            file.upload.span().in_scope(|| tracing::info!("the ticket has a note already"));
            count("done");
            *self.settled += 1;
            file.left_out = true;
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Uploads the attachments that the desk does not have yet.
    async fn attach(&mut self) -> Result<(), JobError> {
        let shared = self.shared;
        let began = Instant::now();
        self.drop_removed().await?;
        let (mut attached, mut stopped) = (0, false);
        for file in &mut self.files {
            file.token = None;
            let span = file.upload.span();
            if let Err(error) = shared.bucket_of(&file.upload) {
                file.postpone(shared, "bucket", &JobError::Bucket(error)).instrument(span).await?;
            } else if self.attempt == Attempt::Plain && file.wants_attachment() {
                file.noted_instead = true;
            } else if file.wants_attachment() {
                if stopped || attached == ATTACHMENTS_MAX || began.elapsed() > ATTACH_TIME_MAX {
                    file.left_out = true;
                    continue;
                }
                file.attach(shared).instrument(span).await?;
                // One failure is enough for now: the others come with the next comment.
                stopped = file.left_out;
                attached += usize::from(file.token.is_some());
            }
        }
        // A public comment names only what it attaches.
        if shared.config.attachments_public && attached > 0 {
            self.files.iter_mut().for_each(|file| file.left_out |= file.token.is_none());
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Drops files that were removed since the batch was loaded; their jobs are gone.
    async fn drop_removed(&mut self) -> ledger::Result<()> {
        for file in &mut self.files {
            file.left_out = self.shared.ledger.upload(&file.upload.id).await?.state != State::Complete;
        }
        self.files.retain(|file| !file.left_out);
        Ok(())
    }

    /// Writes the comment, unless the ticket has changed since the stamp.
    async fn write(&mut self, stamp: &str) -> Result<(), JobError> {
        // Uploading attachments may have taken minutes.
        self.drop_removed().await?;
        if self.files.is_empty() {
            return Ok(());
        }
        let Shared { buckets, config, .. } = self.shared;
        let uploads: Vec<String> = self.files.iter().filter_map(|file| file.token.clone()).collect();
        let attaches = !uploads.is_empty();
        let public = config.attachments_public && attaches;
        let asks = self.shared.ledger.asks(self.ticket).await?;
        let asked = |upload: &Upload| {
            let ask = asks.iter().find(|ask| ask.upload_id.as_ref() == Some(&upload.id));
            ask.map(|ask| ask.wanted.as_str())
        };
        let entries: Vec<_> = self
            .files
            .iter()
            .map(|file| NotedFile {
                upload: &file.upload,
                destination: file.destination(),
                bucket: buckets.named(&file.upload.bucket).map_or("", bucket::Bucket::name),
                asked: asked(&file.upload),
            })
            .collect();
        let mut body = note::text(&entries, &config.public_url, public);
        let missing: Vec<_> =
            asks.iter().filter(|ask| ask.upload_id.is_none()).map(|ask| ask.wanted.clone()).collect();
        body.extend(tell_asks::still_missing(&missing).map(|line| format!("\n{line}\n")));
        let about_organization = if public { Vec::new() } else { self.about_organization().await? };
        body.extend(about_organization.iter().flat_map(|line| [line.as_str(), "\n"]));
        let comment = NewComment { body, public, uploads, stamp };
        match ticket::write(self.shared, self.ticket, comment).await {
            Ok(()) => {
                if !about_organization.is_empty() {
                    self.shared.ledger.end_step(self.ticket, ORGANIZATION_NOTES, "").await?;
                }
                Ok(self.written().await?)
            }
            Err(JobError::Desk(desk::Error::Refused { detail })) => self.refused(attaches, &detail).await,
            Err(JobError::Desk(desk::Error::TooLarge)) => {
                self.refused(attaches, "the comment is too large").await
            }
            Err(error) => Err(error),
        }
    }

    /// What support should know about the partner: once on a ticket, as soon as it is known.
    async fn about_organization(&self) -> ledger::Result<Vec<String>> {
        let Shared { ledger, tickets, .. } = self.shared;
        let known = ledger.step(self.ticket, ORGANIZATION_NOTES).await?;
        let is_told = known.as_ref().is_some_and(|known| known.done_at.is_some());
        let Some(file) = self.files.first().filter(|_| !is_told) else { return Ok(Vec::new()) };
        let notes = tickets.notes(&ledger.partner(&file.upload.partner_id).await?).await?;
        let lines = organization::lines(&notes);
        if known.is_none() && !lines.is_empty() {
            ledger.begin_step(self.ticket, ORGANIZATION_NOTES).await?;
        }
        Ok(lines)
    }

    async fn written(&mut self) -> ledger::Result<()> {
        metrics::counter!("weighbridge_notes_total").increment(1);
        tracing::info!(ticket = self.ticket, files = self.files.len(), "wrote a note");
        for file in std::mem::take(&mut self.files) {
            let destination = file.destination();
            self.shared.ledger.delivered(&file.upload.id, Delivery::Done, destination, None).await?;
            delivered(&file.upload, destination);
            *self.settled += 1;
        }
        Ok(())
    }

    async fn refused(&mut self, attaches: bool, detail: &str) -> Result<(), JobError> {
        failed("refused");
        tracing::warn!(ticket = self.ticket, detail, attempt = ?self.attempt, "the desk refused a note");
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

    /// Leaves every file of the note in its bucket, without a note on the ticket.
    async fn undeliverable(&mut self, detail: &str) -> ledger::Result<()> {
        let ledger = &self.shared.ledger;
        for file in std::mem::take(&mut self.files) {
            let id = &file.upload.id;
            file.upload.span().in_scope(|| tracing::warn!(detail, "undeliverable"));
            // The audit first: twice is better than never.
            ledger.record("gateway", "upload.undeliverable", id, detail).await?;
            let destination = file.bucket_destination();
            ledger.delivered(id, Delivery::Undeliverable, destination, Some(detail)).await?;
            count("undeliverable");
            *self.settled += 1;
        }
        Ok(())
    }

    /// Settles the note if the desk's answer is final. Otherwise returns the error, unless it is time to look again at once.
    async fn resolve(&mut self, error: desk::Error) -> Result<(), JobError> {
        match error {
            desk::Error::Closed => {
                let known = self.shared.ledger.ticket(self.ticket).await?;
                let organization_id = known.and_then(|ticket| ticket.organization_id);
                self.shared.ledger.saw_ticket(self.ticket, organization_id, true).await?;
                self.undeliverable(&format!("ticket {} is closed", self.ticket)).await?;
            }
            desk::Error::NotFound if ticket::is_gone(self.shared, self.ticket).await => {
                self.undeliverable(&format!("the desk knows no ticket {}", self.ticket)).await?;
            }
            desk::Error::Conflict if self.conflicts < CONFLICTS_MAX => self.conflicts += 1,
            error => return Err(error.into()),
        }
        Ok(())
    }
}

/// Reports that a note about the upload is on its ticket.
fn delivered(upload: &Upload, destination: Destination) {
    upload.span().in_scope(|| tracing::info!(destination = destination.name(), "delivered"));
    let waited_ms = now_ms() - upload.completed_at.unwrap_or_else(now_ms);
    let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or_default());
    metrics::histogram!("weighbridge_delivery_seconds").record(waited);
    count("done");
}

fn count(outcome: &'static str) {
    metrics::counter!("weighbridge_deliveries_total", "outcome" => outcome).increment(1);
}
