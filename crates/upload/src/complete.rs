//! Completes an upload whose file has arrived: object, ledger, side files.
//! Invariant: a row becomes `complete` only after the object is durable with our size and checksum.

use std::time::Duration;

use bucket::{Crc64, Payload};
use ledger::{Completed, Completion, Dedupe, Destination, SAME_FILE_MS, State, Upload, dedupe_key, now_ms};

use crate::append::part_lease::call_deadline;
use crate::append::target::Target;
use crate::checksum::side_files::SideFileOutcome;
use crate::limits::signed;
use crate::uploads::Uploads;
use crate::{Algorithm, Digest, Error, Result, metadata};

/// How often to check whether the same file, which is being published right now, is complete.
const ORIGINAL_POLL: Duration = Duration::from_millis(100);
/// How many checks before giving up: as long as a call to the bucket may take.
const ORIGINAL_POLLS_MAX: u32 = 3_000;

/// A file whose every byte has been received.
pub(crate) struct ReceivedFile<'a> {
    pub(crate) target: &'a Target<'a>,
    pub(crate) size: u64,
    /// SHA-256 first.
    pub(crate) digests: Vec<Digest>,
    /// Names of the algorithms whose announced digests match.
    pub(crate) checked: Vec<&'static str>,
    pub(crate) crc64: Crc64,
    /// The file itself. None if it was stored in parts.
    pub(crate) whole: Option<Payload>,
    /// Bytes of a file without parts that its tail holds.
    pub(crate) durable: u64,
    pub(crate) has_tail: bool,
}

impl ReceivedFile<'_> {
    fn sha256(&self) -> &str {
        &self.digests[0].hex
    }

    fn md5(&self) -> Option<&str> {
        let md5 = self.digests.iter().find(|digest| digest.algorithm == Algorithm::Md5);
        md5.map(|digest| digest.hex.as_str())
    }
}

impl Uploads {
    /// Publishes the file and records it. Returns the earlier upload if the same file was sent before.
    pub(crate) async fn complete(&self, file: &ReceivedFile<'_>) -> Result<Upload> {
        let Target { upload, epoch, signals, .. } = file.target;
        let (ledger, sha256) = (&self.0.ledger, file.sha256());
        let side_file = self.side_file(upload, file.whole.as_ref()).await?;
        let completing = Completion {
            id: &upload.id,
            epoch: *epoch,
            size: signed(file.size),
            sha256,
            md5: file.md5(),
            crc64: &file.crc64.to_hex(),
            destination: destination(
                file.size,
                self.0.limits.ticket_attachment_bytes,
                self.0.buckets.has_own(&upload.partner_id),
            ),
            checked: &file.checked,
            dedupe_key: &dedupe_key(&upload.link_id, &upload.ticket, &upload.name, sha256),
            claims_since: now_ms() - SAME_FILE_MS,
            attempts_until: call_deadline(),
        };
        while let Some(original) = self.begin_completing(&completing).await? {
            if !ledger.cancel_duplicate(&upload.id, *epoch, &original.id).await? {
                let now = ledger.upload(&upload.id).await?;
                if now.epoch != *epoch || !matches!(now.state, State::Open | State::Completing) {
                    return Err(Error::Superseded);
                }
                // The other upload was removed just now: perhaps this is the first one after all.
                continue;
            }
            self.clear_later(upload.id.clone());
            self.record(file, Some(&original), side_file).await?;
            self.wait_for_comparison(&original.id).await?;
            return Ok(ledger.upload(&original.id).await?);
        }
        match &file.whole {
            Some(payload) => self.put_whole(file, payload).await?,
            None => self.publish(&ledger.upload(&upload.id).await?, signals).await?,
        }
        self.record(file, None, side_file).await?;
        if file.has_tail {
            self.clear_later(upload.id.clone());
        }
        self.wait_for_comparison(&upload.id).await?;
        Ok(ledger.upload(&upload.id).await?)
    }

    /// Records that the upload is about to be published. If the same file was sent before, returns that upload, once it is
    /// complete.
    async fn begin_completing(&self, completing: &Completion<'_>) -> Result<Option<Upload>> {
        for _ in 0..ORIGINAL_POLLS_MAX {
            let completing = Completion { attempts_until: call_deadline(), ..completing.clone() };
            let Dedupe::DuplicateOf(id) = self.0.ledger.begin_completing(&completing).await? else {
                return Ok(None);
            };
            let original = self.0.ledger.upload(&id).await?;
            if original.state == State::Complete {
                return Ok(Some(original));
            }
            tokio::time::sleep(ORIGINAL_POLL).await;
        }
        Err(Error::Unavailable("the same file, sent before, is still being published".into()))
    }

    /// Stores a file that has no parts. If that fails, the acknowledged bytes are still in the tail.
    async fn put_whole(&self, file: &ReceivedFile<'_>, payload: &Payload) -> Result<()> {
        let (ledger, durable) = (&self.0.ledger, file.durable);
        let Target { bucket, upload, epoch, signals, .. } = file.target;
        let metadata = metadata::of_object(upload, Some(file.sha256()));
        // A newer append continues from the tail. If there is none, it waits for the end of this one.
        let retries_over = async {
            tokio::select! {
                () = signals.stopping.cancelled() => {}
                () = signals.superseded.cancelled(), if durable > 0 => {}
            }
        };
        let (mut retry, mut retries_over) = (self.storage_retry(), std::pin::pin!(retries_over));
        loop {
            let put = bucket.put(&upload.object_key, &upload.content_type, &metadata, payload);
            let Err(error) = put.await.map_err(Error::from) else { break };
            if retry.again("object", &error, retries_over.as_mut()).await {
                ledger.extend_attempts(&upload.id, *epoch, call_deadline()).await?;
                continue;
            }
            // If nothing is durable, the next try could bring another file, and this one could arrive after it.
            if durable > 0 {
                ledger.reopen(&upload.id, *epoch).await?;
            }
            return Err(error);
        }
        metrics::counter!("weighbridge_committed_bytes_total").increment(payload.len());
        Ok(())
    }

    /// Records that the upload, or the original that it repeats, is complete, and what it means as a side file. If a file that it
    /// names arrived while it was being stored, the two are compared first.
    async fn record(
        &self,
        file: &ReceivedFile<'_>,
        original: Option<&Upload>,
        mut side_file: Option<SideFileOutcome>,
    ) -> Result<()> {
        let (ledger, Target { upload, epoch, .. }) = (&self.0.ledger, file.target);
        loop {
            let side = side_file.as_ref().map(SideFileOutcome::in_ledger);
            let recorded = match original {
                Some(original) => ledger.settle_again(&original.id, file.md5(), side.as_ref()).await?,
                None => ledger.complete(&upload.id, *epoch, side.as_ref()).await?,
            };
            if recorded != Completed::Stale {
                return Ok(());
            }
            side_file = self.side_file(upload, file.whole.as_ref()).await?;
        }
    }
}

/// Where a file belongs, by its size.
fn destination(size: u64, ticket_attachment_bytes: u64, partner_has_bucket: bool) -> Destination {
    if size <= ticket_attachment_bytes {
        Destination::TicketAttachment
    } else if partner_has_bucket {
        Destination::PartnerBucket
    } else {
        Destination::SupportUploader
    }
}
