//! Completes an upload whose file has arrived: object, ledger, side files. Publishing may die after any await and run again, by
//! the request that began it or by recovery.
//! Invariants: a row becomes `complete` only after the object is durable with our size and checksum; an object is proven by
//! these, never by an error.

use std::time::Duration;

use bucket::{Bucket, Crc64, Listed, PartTag, Payload};
use ledger::{
    Completed, Completion, Dedupe, Destination, Part, SAME_FILE_MS, State, Upload, dedupe_key, now_ms,
};

use crate::append::part_lease::call_deadline;
use crate::append::signals::Signals;
use crate::append::target::Target;
use crate::checksum::side_files::SideFileOutcome;
use crate::limits::signed;
use crate::uploads::Uploads;
use crate::{Algorithm, Digest, Error, Result, lost, metadata};

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
                Some(original) => {
                    ledger.settle_again(&original.id, &upload.id, file.md5(), side.as_ref()).await?
                }
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

impl Uploads {
    /// Publishes an upload that is `completing`. When the time for that is over, or the gateway stops, recovery continues.
    pub(crate) async fn publish(&self, upload: &Upload, signals: &Signals) -> Result<()> {
        let mut retry = self.storage_retry();
        loop {
            match self.publish_once(upload).await {
                Err(error) if retry.again("whole", &error, signals.stopping.cancelled()).await => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn publish_once(&self, upload: &Upload) -> Result<()> {
        let (bucket, key) = (self.bucket(upload)?, &upload.object_key);
        let (size, crc64) = expected(upload)?;
        let multipart_id = upload.multipart_id.as_deref().unwrap_or_default();
        self.0.ledger.extend_attempts(&upload.id, upload.epoch, call_deadline()).await?;
        let parts = self.0.ledger.parts(&upload.id).await?;
        let tags: Vec<_> = parts
            .iter()
            .filter_map(|part| {
                let crc64 = Crc64::from_hex(&part.crc64)?;
                Some(PartTag { number: part.number, etag: part.etag.clone(), crc64 })
            })
            .collect();
        let mut published = bucket.complete_multipart(key, multipart_id, &tags, size, crc64).await;
        if matches!(published, Err(bucket::Error::Damaged(_))) {
            match bucket.parts(key, multipart_id).await.map(|listed| compare_parts(&parts, &listed)) {
                Ok(Found::Ours) => {}
                Ok(Found::OursAs(tags)) => {
                    published = bucket.complete_multipart(key, multipart_id, &tags, size, crc64).await;
                }
                // The bucket refuses the whole and lists other bytes.
                Ok(Found::Others) => return Err(Error::Gone),
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => tracing::warn!(error = %error, "cannot list the parts that were refused"),
            }
        }
        match published {
            // "No such upload" is not "complete": the answer to an earlier call may have been lost, or it was aborted.
            Err(bucket::Error::NotFound(_)) if is_published(bucket, upload).await? => Ok(()),
            Err(bucket::Error::NotFound(_)) => {
                Err(lost::multipart(bucket, &upload.id, key, multipart_id).await)
            }
            other => Ok(other?),
        }
    }
}

/// Whether the object is there with the size and checksum we recorded. If the store keeps no checksum, the size is enough: the
/// parts were verified when they were stored.
pub(crate) async fn is_published(bucket: &Bucket, upload: &Upload) -> Result<bool> {
    let (size, crc64) = expected(upload)?;
    let found = bucket.head(&upload.object_key).await?;
    Ok(found.is_some_and(|found| found.size == size && found.crc64.is_none_or(|actual| actual == crc64)))
}

fn expected(upload: &Upload) -> Result<(i64, Crc64)> {
    let crc64 = upload.crc64.as_deref().and_then(Crc64::from_hex);
    upload.length.zip(crc64).ok_or_else(|| Error::Internal("size or checksum is not recorded".into()))
}

/// The parts in a bucket, compared with ours.
#[derive(Debug, Clone)]
enum Found {
    /// As far as can be seen, those that we stored.
    Ours,
    /// Our bytes under other ETags: an older writer's attempt arrived late.
    OursAs(Vec<PartTag>),
    /// Somebody replaced our bytes.
    Others,
}

fn compare_parts(ours: &[Part], listed: &[Listed]) -> Found {
    let mut tags = Vec::with_capacity(ours.len());
    let (mut differs, mut vouched) = (false, true);
    for part in ours {
        let crc64 = Crc64::from_hex(&part.crc64).unwrap_or(Crc64::EMPTY);
        let now = listed.iter().find(|now| now.number == part.number);
        if now.is_some_and(|now| now.size != part.size || now.crc64.is_some_and(|now| now != crc64)) {
            tracing::error!(part = part.number, found = ?now, "a part in the bucket is not what was stored: who else writes there?");
            return Found::Others;
        }
        let Some(now) = now.filter(|now| now.crc64.is_some()) else {
            vouched = false;
            continue;
        };
        differs |= now.etag != part.etag;
        tags.push(PartTag { number: part.number, etag: now.etag.clone(), crc64 });
    }
    if differs && vouched { Found::OursAs(tags) } else { Found::Ours }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: i64, etag: &str) -> Part {
        Part { number, offset: (number - 1) * 8, size: 8, crc64: Crc64::EMPTY.to_hex(), etag: etag.into() }
    }

    fn listed(number: i64, size: i64, crc64: Option<Crc64>, etag: &str) -> Listed {
        Listed { number, size, crc64, etag: etag.into() }
    }

    #[test]
    fn only_same_bytes_under_another_etag_are_adopted() {
        let ours = [part(1, "a"), part(2, "b")];
        let (same, other) = (Some(Crc64::EMPTY), Crc64::from_hex("0000000000000001"));
        let (kept, others) = (Ok(None), Err(()));
        for (second, expected) in [
            (listed(2, 8, same, "c"), Ok(Some(vec!["a", "c"]))),
            (listed(2, 8, same, "b"), kept.clone()),
            (listed(2, 8, other, "c"), others.clone()),
            (listed(2, 7, same, "c"), others.clone()),
            (listed(2, 7, None, "c"), others),
            // Nothing shows whether these bytes are ours.
            (listed(2, 8, None, "c"), kept.clone()),
            (listed(3, 8, same, "c"), kept),
        ] {
            let all = [listed(1, 8, same, "a"), second, listed(4, 8, other, "of nobody")];
            let found = match compare_parts(&ours, &all) {
                Found::Ours => Ok(None),
                Found::OursAs(tags) => Ok(Some(tags.into_iter().map(|tag| tag.etag).collect())),
                Found::Others => Err(()),
            };
            let expected =
                expected.map(|tags| tags.map(|tags| tags.into_iter().map(str::to_owned).collect()));
            let expected: std::result::Result<Option<Vec<String>>, ()> = expected;
            assert_eq!(found, expected, "{all:?}");
        }
    }
}
