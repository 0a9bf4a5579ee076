//! Recovery: continues what a dead process left, and cancels what nobody works on.

use std::time::Duration;

use ledger::{Completed, State, Upload, now_ms};
use tracing::Instrument as _;

use crate::append::request::{Append, BodyError, End, Frame};
use crate::checksum::side_files::SideFileOutcome;
use crate::complete::is_published;
use crate::limits::{millis, unsigned};
use crate::telemetry::{damaged, ended_without_append};
use crate::uploads::{GATEWAY, Uploads};
use crate::{Error, Result};

impl Uploads {
    /// Continues uploads whose process died while it published them, completes those whose last byte had arrived, and cancels
    /// those that nobody works on. `idle` is how long an upload must not have changed; zero only before the first request is
    /// accepted.
    pub async fn recover(&self, idle: Duration) -> Result<()> {
        let before = now_ms() - millis(idle);
        for upload in self.0.ledger.abandoned_uploads(before, self.resumable_since()).await? {
            let was_acknowledged = upload.resumable && !upload.is_unheard_of();
            if was_acknowledged && self.expires_at(&upload) > now_ms() {
                if upload.offset > 0 && upload.length == Some(upload.offset) && !self.is_running(&upload.id) {
                    self.complete_received(&upload).await;
                }
                continue;
            }
            let reason = if was_acknowledged { "expired" } else { "abandoned" };
            if !self.is_running(&upload.id)
                && self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, reason).await?
            {
                upload.span().in_scope(|| ended_without_append("failed", reason));
            }
        }
        for upload in self.0.ledger.idle_uploads(State::Completing, before).await? {
            if !self.is_running(&upload.id)
                && let Err(error) = self.recover_completing(&upload).instrument(upload.span()).await
            {
                tracing::warn!(upload.id, error = %error, "cannot recover upload");
            }
        }
        Ok(())
    }

    /// Completes an upload whose bytes are all durable, but whose process died before it told the sender. A sender that finds
    /// the offset at the end of its file sends nothing more.
    async fn complete_received(&self, upload: &Upload) {
        let append = Append {
            offset: unsigned(upload.offset),
            body_bytes: Some(0),
            end: End::Length,
            max_bytes: u64::MAX,
            ..Append::default()
        };
        let empty = futures_util::stream::empty::<std::result::Result<Frame, BodyError>>();
        if let Err(error) = self.append(&upload.id, &append, empty).await {
            tracing::warn!(upload.id, error = %error, "cannot complete an upload whose bytes are all durable");
        }
    }

    async fn recover_completing(&self, upload: &Upload) -> Result<()> {
        let published = if upload.multipart_id.is_some() {
            self.publish_once(upload).await
        } else if is_published(self.bucket(upload)?, upload).await? {
            Ok(())
        // Its process died while it stored the whole file. What it had stored before is still there.
        } else if upload.offset > 0 && self.0.ledger.reopen(&upload.id, upload.epoch).await? {
            return Ok(());
        } else {
            Err(Error::Gone)
        };
        let Err(error) = published else { return self.complete_published(upload).await };
        let is_damaged = matches!(error, Error::Damaged(_));
        if is_damaged {
            damaged("whole");
        }
        let is_over = is_damaged && self.expires_at(upload) <= now_ms();
        if !is_over && !matches!(error, Error::Gone) {
            return Err(error);
        }
        tracing::warn!(upload.id, error = %error, "cancel upload that cannot be completed");
        self.cancel_completing(upload, &error).await
    }

    async fn complete_published(&self, upload: &Upload) -> Result<()> {
        let side_file = match self.stored_side_file(upload).await {
            Err(error @ (Error::DigestMismatch { .. } | Error::UnreadableSideFile { .. })) => {
                return self.cancel_completing(upload, &error).await;
            }
            other => other?,
        };
        let side = side_file.as_ref().map(SideFileOutcome::in_ledger);
        if self.0.ledger.complete(&upload.id, upload.epoch, side.as_ref()).await? == Completed::Stale {
            // The next recovery compares it with the file that has arrived in the meantime.
            return Ok(());
        }
        self.0.completed.notify_one();
        ended_without_append("completed", "recovered");
        Ok(())
    }

    async fn cancel_completing(&self, upload: &Upload, error: &Error) -> Result<()> {
        if self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, error.reason()).await? {
            ended_without_append("failed", error.reason());
        }
        Ok(())
    }
}
