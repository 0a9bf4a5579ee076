//! Ends an append so that its upload's offset stands still: for a sender that asks where to go on while an older request of
//! its own still hangs. Invariant: what came of the older one in order is kept before the offset is told.

use std::time::{Duration, Instant};

use ledger::{State, Upload};
use tokio_util::sync::CancellationToken;

use crate::engine::Uploads;
use crate::receiving::Receiving;
use crate::{Error, Result};

/// How long an append may take to store what came of it; then what is not durable by itself is given up.
const HALT_WAIT_MAX: Duration = Duration::from_secs(10);
/// A connection that was cut may have left bytes that are not read yet: one that has been quiet for so long has not.
const QUIET: Duration = Duration::from_millis(100);
/// One that never is quiet is ended after this.
const READ_ON_MAX: Duration = Duration::from_secs(2);

impl Uploads {
    /// Ends the append of an open upload that is under way, and tells where the upload stands. Its offset stays what is told
    /// here until somebody appends again. One whose last bytes have come already is let end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn halt(&self, id: &str) -> Result<Upload> {
        let upload = self.0.ledger.upload(id).await?;
        if upload.state != State::Open || !upload.resumable {
            return Ok(upload);
        }
        if let Some(running) = self.running(id) {
            running.halted.cancel();
            if tokio::time::timeout(HALT_WAIT_MAX, running.ended.cancelled()).await.is_err() {
                running.evicted.cancel();
                // One that is being published goes on; the ledger says so.
                let _ = tokio::time::timeout(HALT_WAIT_MAX, running.ended.cancelled()).await;
            }
            return Ok(self.0.ledger.upload(id).await?);
        }
        if !self.0.ledger.is_shared() || !self.is_kept_alive(&upload) {
            return Ok(upload);
        }
        // A new epoch ends a writer on another node.
        match self.0.ledger.begin_append(id, upload.offset, None).await {
            Ok(begun) => Ok(begun.upload),
            Err(ledger::Error::Superseded) => Ok(self.0.ledger.upload(id).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// When the append of that upload that is under way has to end for [`Uploads::halt`].
    pub(crate) fn halting(&self, id: &str) -> Halting {
        let asked = self.running(id).map(|running| running.halted).unwrap_or_default();
        Halting { asked, since: None }
    }
}

/// Whether an append is asked to end, and since when.
pub(crate) struct Halting {
    asked: CancellationToken,
    since: Option<Instant>,
}

impl Halting {
    /// Returns when it has to end and nothing has come since this was called, or its time to read on is over.
    pub(crate) async fn due(&mut self) {
        self.asked.cancelled().await;
        let since = *self.since.get_or_insert_with(Instant::now);
        tokio::time::sleep(QUIET.min(READ_ON_MAX.saturating_sub(since.elapsed()))).await;
    }
}

impl Receiving<'_> {
    /// Keeps what came, as at a stop, and ends as if a newer append had taken over: its sender may come any moment.
    pub(crate) async fn halt(&mut self) -> Error {
        self.keep(&Error::Draining).await;
        self.evicted.cancel();
        Error::Superseded
    }
}
