//! What a failed append leaves behind: an upload that its sender can resume, or a cancelled one.
//! Invariant: acknowledged bytes are not given up for an error about the bytes that arrived now, or about storage.

use ledger::{State, Upload};

use crate::Error;
use crate::append::request::Append;
use crate::limits::unsigned;
use crate::telemetry::AppendProgress;
use crate::uploads::{GATEWAY, Uploads};

impl Uploads {
    /// Cancels the upload of a failed append, unless another append has it now. An upload that may yet be published is left to
    /// recovery, and one that can be resumed to its sender, unless this error ends it, or this request created it and nothing
    /// of it is durable: then its sender starts over.
    pub(crate) async fn give_up(
        &self,
        id: &str,
        epoch: i64,
        append: &Append,
        error: &Error,
        progress: &mut AppendProgress,
    ) {
        let cancelled = async {
            let upload = self.0.ledger.upload(id).await?;
            let has_bytes = upload.multipart_id.is_some() || upload.offset > 0;
            let may_be_published = upload.state == State::Completing && has_bytes && error.is_temporary();
            let can_be_resumed = upload.resumable
                && upload.state == State::Open
                && !ends_upload(&upload, append, error)
                && !upload.is_unheard_of();
            if can_be_resumed {
                progress.kept();
            }
            if may_be_published || can_be_resumed {
                return Ok(false);
            }
            self.0.ledger.cancel(id, Some(epoch), GATEWAY, error.reason()).await
        };
        match cancelled.await {
            Ok(true) => self.clear_later(id.to_owned()),
            Ok(false) => {}
            // Once the ledger is back, recovery cancels uploads that nobody works on.
            Err(failure) => {
                tracing::warn!(upload.id = id, error = %failure, "cannot cancel the upload of a failed append");
            }
        }
    }

    /// The ledger refuses a writer whose link was revoked, or whose upload was cancelled, as it refuses a replaced one. This
    /// tells them apart.
    pub(crate) async fn why_superseded(&self, id: &str) -> Error {
        let ledger = &self.0.ledger;
        let why = async {
            let upload = ledger.upload(id).await?;
            let link = ledger.link(&upload.link_id).await?;
            let partner = ledger.partner(&link.partner_id).await?;
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
}

/// Whether an error ends an upload that can be resumed, and not just its request.
fn ends_upload(upload: &Upload, append: &Append, error: &Error) -> bool {
    let length = upload.length.map(unsigned);
    match error {
        Error::Gone | Error::Revoked | Error::DigestMismatch { .. } | Error::UnreadableSideFile { .. } => {
            true
        }
        Error::LengthMismatch { declared, actual } => {
            append.invalidates && actual > declared && length == Some(*declared)
        }
        // The first bytes exceed a limit: none was acknowledged, and the file can never be sent.
        Error::TooLarge { .. } | Error::TooMuchUnfinished { .. } => upload.epoch <= 1,
        _ => false,
    }
}
