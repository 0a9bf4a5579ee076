//! Cancels and removes uploads, and clears what they leave in their bucket.

use ledger::Upload;

use crate::Result;
use crate::telemetry::ended_without_append;
use crate::uploads::{GATEWAY, Uploads};

impl Uploads {
    /// Cancels an unfinished upload and clears what it left. The audit records the actor, and the reason if it is not empty.
    /// Returns false for a complete one, which stays.
    pub async fn cancel(&self, id: &str, actor: &str, why: &str) -> Result<bool> {
        // First, so that a running append learns why it ends.
        if !self.0.ledger.cancel(id, None, actor, why).await? {
            return Ok(false);
        }
        match self.0.running.get(id) {
            // The append logs its own end.
            Some(append) => append.superseded.cancel(),
            None => {
                let span = self.0.ledger.upload(id).await.map(|upload| upload.span());
                span.unwrap_or_else(|_| tracing::Span::none())
                    .in_scope(|| ended_without_append("cancelled", "cancelled"));
            }
        }
        self.clear_later(id.to_owned());
        Ok(true)
    }

    /// Cancels an upload that nobody sends, unless an append has begun since it was read. Returns whether it did.
    pub(crate) async fn cancel_idle(
        &self,
        upload: &Upload,
        outcome: &'static str,
        reason: &'static str,
    ) -> Result<bool> {
        if !self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, reason).await? {
            return Ok(false);
        }
        upload.span().in_scope(|| ended_without_append(outcome, reason));
        self.clear_later(upload.id.clone());
        Ok(true)
    }

    /// Cancels open uploads of links that were revoked and of partners that were disabled, including those whose sender is
    /// silent.
    pub async fn cancel_revoked(&self) -> Result<()> {
        for id in self.0.ledger.withdrawn_uploads().await? {
            tracing::info!(
                upload.id = id,
                "cancel upload: its link was revoked, or its partner was disabled"
            );
            self.cancel(&id, GATEWAY, "link-expired").await?;
        }
        Ok(())
    }

    /// Removes a complete upload from every listing and deletes its object.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when it is not complete; [`crate::Error::OnHold`].
    pub async fn remove(&self, id: &str, actor: &str) -> Result<()> {
        match self.0.ledger.remove(id, actor).await {
            Err(ledger::Error::Conflict(_)) => {
                let ticket = self.0.ledger.upload(id).await?.ticket;
                return Err(crate::Error::OnHold { ticket });
            }
            removed => removed?,
        }
        self.clear_later(id.to_owned());
        Ok(())
    }
}
