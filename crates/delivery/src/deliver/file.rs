//! One file of a note: attached to it if possible, otherwise noted with its bucket.
//! Invariant: a file that is left out of this note, and is not settled, keeps its job.

use bucket::chain;
use ledger::{Destination, Job, Upload};

use super::attach::{upload_to_desk, valid_token};
use crate::backoff;
use crate::error::JobError;
use crate::shared::{Shared, failed};

/// A file that could not be attached so often, over about ten minutes, is noted with its bucket instead.
const ATTACH_ATTEMPTS_MAX: i64 = 10;

pub(super) struct File {
    pub(super) job: Job,
    pub(super) upload: Upload,
    /// The desk has the file, to be attached to the comment.
    pub(super) token: Option<String>,
    /// Meant to be attached, but noted with its bucket.
    pub(super) noted_instead: bool,
    /// Not in this comment: it is settled or removed, or comes in a later one.
    pub(super) left_out: bool,
}

impl File {
    pub(super) fn new(job: Job, upload: Upload) -> Self {
        Self { job, upload, token: None, noted_instead: false, left_out: false }
    }

    pub(super) fn wants_attachment(&self) -> bool {
        self.upload.destination == Some(Destination::TicketAttachment) && !self.noted_instead
    }

    pub(super) fn destination(&self) -> Destination {
        if self.token.is_some() { Destination::TicketAttachment } else { self.bucket_destination() }
    }

    /// The bucket that the file is in, as a destination.
    pub(super) fn bucket_destination(&self) -> Destination {
        if self.upload.bucket == bucket::SUPPORT_UPLOADER {
            Destination::SupportUploader
        } else {
            Destination::PartnerBucket
        }
    }

    /// Uploads the file to the desk, or notes it with its bucket, or postpones it.
    pub(super) async fn attach(&mut self, shared: &Shared) -> Result<(), JobError> {
        if let Some(token) = valid_token(&self.upload) {
            self.token = Some(token.to_owned());
            return Ok(());
        }
        let error = match Box::pin(upload_to_desk(shared, &self.upload)).await {
            Ok(token) => {
                let kept = (token.token.as_str(), token.expires_at_ms);
                shared.ledger.set_desk_token(&self.upload.id, Some(kept)).await?;
                self.upload.desk_token = Some((token.token.clone(), token.expires_at_ms));
                self.token = Some(token.token);
                return Ok(());
            }
            // These concern every file.
            Err(error @ JobError::Desk(desk::Error::Unauthorized | desk::Error::RateLimited { .. })) => {
                return Err(error);
            }
            Err(error) => error,
        };
        let is_final = matches!(error, JobError::Desk(desk::Error::TooLarge | desk::Error::Refused { .. }));
        let reason = match &error {
            JobError::Desk(_) if !is_final => "unavailable",
            error => error.reason(),
        };
        if !is_final && self.job.attempts < ATTACH_ATTEMPTS_MAX {
            return self.postpone(shared, reason, &error).await;
        }
        failed(reason);
        if is_final {
            tracing::info!(error = chain(&error), "noted instead of attached");
        } else {
            tracing::error!(error = chain(&error), "noted instead of attached");
        }
        self.noted_instead = true;
        Ok(())
    }

    /// Leaves the file out of this note, and tries it again later.
    pub(super) async fn postpone(
        &mut self,
        shared: &Shared,
        reason: &'static str,
        error: &JobError,
    ) -> Result<(), JobError> {
        failed(reason);
        let until = backoff::retry_at(self.job.attempts, error.retry_after());
        let text = chain(error);
        tracing::warn!(error = text, until = ledger::rfc3339(until), "postponed a delivery");
        shared.ledger.postpone(std::slice::from_ref(&self.job), until, Some(&text)).await?;
        self.left_out = true;
        Ok(())
    }
}
