//! The append: receives a body into an upload, and completes the upload if its file ends there.
//! Invariant: the offset never falls. Of an upload that can be resumed, everything received in order is kept; of any other,
//! nothing is.

mod body_digest;
mod bounds;
pub(crate) mod buffer;
mod failure;
mod halt;
pub(crate) mod part_lease;
mod pipeline;
mod prepare;
mod receiver;
pub(crate) mod request;
pub(crate) mod running;
pub(crate) mod signals;
mod tail;
pub(crate) mod target;

use futures_util::Stream;
use ledger::{State, Upload};
use tracing::Instrument as _;

use crate::append::part_lease::PartLease;
use crate::append::receiver::Receiver;
use crate::append::request::{Append, BodyError, Frame};
use crate::limits::unsigned;
use crate::telemetry::AppendProgress;
use crate::uploads::{Uploads, busy};
use crate::{Error, Result};

impl Uploads {
    /// Appends the body, and completes the upload if its file ends there. Returns the upload as it stands: open with its new
    /// offset, or complete. The complete one may be an earlier upload with the same link, ticket, name and SHA-256.
    ///
    /// If it fails, an upload that can be resumed keeps what was received; any other is cancelled.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Busy`] before the body is read.
    pub async fn append<S, F>(&self, id: &str, append: &Append, body: S) -> Result<Upload>
    where
        S: Stream<Item = std::result::Result<F, BodyError>> + Unpin + Send,
        F: Into<Frame>,
    {
        let seen = self.0.ledger.upload(id).await;
        let span = match &seen {
            Ok(upload) => upload.span(),
            Err(_) => tracing::error_span!("upload", upload.id = id),
        };
        let work = async {
            let mut progress = AppendProgress::default();
            let result = match seen {
                Ok(seen) => self.append_to(&seen, append, body, &mut progress).await,
                Err(error) => Err(error.into()),
            };
            progress.log_end(id, &result);
            result
        };
        Box::pin(work).instrument(span).await
    }

    /// `seen` is the upload as its sender knew it.
    async fn append_to<S, F>(
        &self,
        seen: &Upload,
        append: &Append,
        body: S,
        progress: &mut AppendProgress,
    ) -> Result<Upload>
    where
        S: Stream<Item = std::result::Result<F, BodyError>> + Unpin + Send,
        F: Into<Frame>,
    {
        if seen.state == State::Open && unsigned(seen.offset) != append.offset {
            return Err(Error::OffsetMismatch { expected: seen.offset });
        }
        match (seen.length.map(unsigned), append.length) {
            (Some(declared), Some(actual)) if declared != actual => {
                return Err(Error::LengthMismatch { declared, actual });
            }
            (None, Some(length)) => self.announce_length(seen, length).await?,
            _ => {}
        }
        let id = seen.id.as_str();
        let Some(memory) = self.0.budget.admit(&seen.partner_id, &seen.link_id).await else {
            // Epoch 0: only an upload that no append has begun. Another append may be running.
            self.give_up(id, 0, append, &busy(), progress).await;
            return Err(busy());
        };
        let lease = PartLease::new(self.0.ledger.is_shared());
        let guard = self.0.running.take_over(id, lease).await;
        let running = guard.append();
        let begun = self.begin_append(id, append).await?;
        let epoch = begun.epoch;
        guard.begun(epoch);
        let mut result = async {
            let (target, hasher) = self.target(begun, running)?;
            let mut receiver = self.receiver(&target, hasher, append, memory, progress).await?;
            let ended = match receiver.receive(body).await {
                Ok(()) => self.end(id, &mut receiver, append).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &ended {
                receiver.flush_on_error(error).await;
            }
            ended
        }
        .await;
        let is_superseded = || running.superseded.is_cancelled();
        if let Err(error) = &result
            // An append that stopped waiting for its bucket because another took over ends as superseded, too.
            && (matches!(error, Error::Superseded) || (is_superseded() && error.is_temporary()))
        {
            result = Err(self.why_superseded(id).await);
        }
        match &result {
            Ok(_) => self.0.completed.notify_one(),
            // The newer append has the upload now.
            Err(Error::Superseded) if is_superseded() => {}
            Err(error) => self.give_up(id, epoch, append, error, progress).await,
        }
        result
    }

    /// The body has ended. If its file has, too, the upload is completed; else what was received is made durable.
    async fn end(&self, id: &str, receiver: &mut Receiver<'_>, append: &Append) -> Result<Upload> {
        if receiver.ends_file(append.end)? {
            let file = receiver.finish().await?;
            return self.complete(&file).await;
        }
        receiver.flush().await?;
        Ok(self.0.ledger.upload(id).await?)
    }
}
