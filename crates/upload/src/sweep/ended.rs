//! Cancels uploads that have expired, and clears every upload that ended.

use ledger::now_ms;

use crate::Result;
use crate::sweep::report::Swept;
use crate::uploads::Uploads;

/// Rows read at a time.
const PAGE: i64 = 500;

impl Uploads {
    /// Clears what every ended upload left. Asks the buckets only about what is in the ledger.
    pub async fn sweep_ended(&self, dry_run: bool) -> Result<Swept> {
        let mut swept = Swept::default();
        self.expire(dry_run, &mut swept).await?;
        let mut after = String::new();
        loop {
            let page = self.0.ledger.unswept(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after.clone_from(&last.id);
            for upload in &page {
                if dry_run {
                    swept.waiting += 1;
                    continue;
                }
                match Box::pin(self.clear(upload)).await {
                    Ok(true) => swept.cleared += 1,
                    Ok(false) => swept.waiting += 1,
                    Err(error) => {
                        tracing::warn!(upload.id, error = %error, "cannot clear upload");
                        swept.failed += 1;
                    }
                }
            }
        }
    }

    /// Cancels uploads that can no longer be resumed. A running append may finish.
    async fn expire(&self, dry_run: bool, swept: &mut Swept) -> Result<()> {
        for upload in self.0.ledger.abandoned_uploads(now_ms(), self.resumable_since()).await? {
            if !self.has_expired(&upload) || self.is_kept_alive(&upload) {
                continue;
            }
            if dry_run || self.cancel_idle(&upload, "failed", "expired").await? {
                swept.expired += 1;
            }
        }
        Ok(())
    }
}
