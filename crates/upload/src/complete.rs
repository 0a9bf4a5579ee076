//! Completion: proven by size and checksum, never by an error. Re-entrant: it may die after any await and be run again,
//! by the request that began it or by recovery.

use std::time::Duration;

use bucket::{Bucket, Crc64, Listed, Metadata, PartTag, Payload};
use ledger::{Completed, Completion, Dedupe, Part, SAME_FILE_MS, State, Upload, dedupe_key, now_ms};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::append::{Append, BodyError, End, Frame};
use crate::engine::{GATEWAY, Uploads, destination, signed, unsigned};
use crate::observe::ended_alone;
use crate::receiving::{Receiving, deadline};
use crate::side::Side;
use crate::{Algorithm, Error, Result, lost};

/// How often to look whether an equal file that is just being published has come to rest.
const ORIGINAL_POLL: Duration = Duration::from_millis(100);
/// How often to look before giving up on it: as long as a call to the bucket may take.
const ORIGINAL_POLLS_MAX: u32 = 3_000;

impl Uploads {
    /// Ends an upload whose body has ended: digest, last part, object, ledger.
    pub(crate) async fn finish(&self, receiving: &mut Receiving<'_>) -> Result<Upload> {
        let size = receiving.offset;
        if let Some(declared) = receiving.length.filter(|declared| *declared != size) {
            return Err(Error::LengthMismatch { declared, actual: size });
        }
        let digests = receiving.hasher.clone().finish();
        let sha256 = digests[0].hex.clone();
        let checked = self.compare(receiving, &digests).await?;
        let whole = if receiving.upload.multipart_id.is_some() {
            if receiving.gathered() > 0 {
                receiving.cut().await?;
            }
            receiving.settle().await?;
            receiving.commit().await?;
            None
        } else {
            receiving.load_tail().await?;
            receiving.account.stored(true);
            Some(receiving.take_part())
        };
        let crc64 = whole.as_ref().map_or(receiving.crc64, Payload::crc64);
        let upload = &receiving.upload;
        let side = self.side(upload, whole.as_ref()).await?;
        let md5 = digests.iter().find(|digest| digest.algorithm == Algorithm::Md5);
        let md5 = md5.map(|digest| digest.hex.as_str());
        let end = Completion {
            id: &upload.id,
            epoch: receiving.epoch,
            size: signed(size),
            sha256: &sha256,
            md5,
            crc64: &crc64.to_hex(),
            destination: destination(
                size,
                self.0.limits.ticket_attachment_bytes,
                self.0.buckets.has_own(&upload.partner_id),
            ),
            checked: &checked,
            dedupe_key: &dedupe_key(&upload.link_id, &upload.ticket, &upload.name, &sha256),
            claims_since: now_ms() - SAME_FILE_MS,
            attempts_until: deadline(),
        };
        while let Some(original) = self.original(&end).await? {
            if !self.0.ledger.cancel_duplicate(&upload.id, receiving.epoch, &original.id).await? {
                let now = self.0.ledger.upload(&upload.id).await?;
                if now.epoch != receiving.epoch || !matches!(now.state, State::Open | State::Completing) {
                    return Err(Error::Superseded);
                }
                // The other was removed just now: there may be none any more.
                continue;
            }
            self.clear_later(upload.id.clone());
            self.complete_again(upload, &original, md5, side, whole.as_ref()).await?;
            self.compare_soon(&original.id).await?;
            return Ok(self.0.ledger.upload(&original.id).await?);
        }
        match &whole {
            Some(payload) => self.put_whole(receiving, payload, &sha256).await?,
            None => self.publish(&self.0.ledger.upload(&upload.id).await?, &receiving.stopping).await?,
        }
        self.complete(upload, receiving.epoch, side, whole.as_ref()).await?;
        if upload.tails_written > 0 || !receiving.tails.is_empty() {
            self.clear_later(upload.id.clone());
        }
        self.compare_soon(&upload.id).await?;
        Ok(self.0.ledger.upload(&upload.id).await?)
    }

    /// Stores a file that has no parts. When that fails, what was acknowledged still lies in the tail.
    async fn put_whole(&self, receiving: &Receiving<'_>, payload: &Payload, sha256: &str) -> Result<()> {
        let (upload, ledger) = (&receiving.upload, &self.0.ledger);
        let metadata = metadata(upload, Some(sha256));
        // A newer append goes on from the tail; where there is none it waits for this one's end.
        let hurries = async {
            tokio::select! {
                () = receiving.stopping.cancelled() => {}
                () = receiving.evicted.cancelled(), if receiving.durable > 0 => {}
            }
        };
        let (mut patience, mut hurries) = (self.patience(), std::pin::pin!(hurries));
        loop {
            let put = receiving.bucket.put(&upload.object_key, &upload.content_type, &metadata, payload);
            let Err(error) = put.await.map_err(Error::from) else { break };
            if patience.again("object", &error, hurries.as_mut()).await {
                ledger.extend_attempts(&upload.id, receiving.epoch, deadline()).await?;
                continue;
            }
            // Of one that has nothing durable the next try could bring another file, and this one arrive after it.
            if receiving.durable > 0 {
                ledger.reopen(&upload.id, receiving.epoch).await?;
            }
            return Err(error);
        }
        metrics::counter!("weighbridge_committed_bytes_total").increment(payload.len());
        Ok(())
    }

    /// Records the end; none when the file is the first of its kind, else the complete upload that was there before.
    async fn original(&self, end: &Completion<'_>) -> Result<Option<Upload>> {
        for _ in 0..ORIGINAL_POLLS_MAX {
            let end = Completion { attempts_until: deadline(), ..end.clone() };
            let Dedupe::DuplicateOf(id) = self.0.ledger.begin_completing(&end).await? else {
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

    /// Publishes a multipart upload that is `completing`: done when the object is there with our size and checksum. After the
    /// time for that, or when the gateway stops, recovery goes on with it.
    async fn publish(&self, upload: &Upload, stopping: &CancellationToken) -> Result<()> {
        let bucket = self.bucket(upload)?;
        let mut patience = self.patience();
        loop {
            match self.publish_once(bucket, upload).await {
                Err(error) if patience.again("whole", &error, stopping.cancelled()).await => {}
                other => return other,
            }
        }
    }

    async fn publish_once(&self, bucket: &Bucket, upload: &Upload) -> Result<()> {
        let (size, crc64) = expected(upload)?;
        let multipart_id = upload.multipart_id.as_deref().unwrap_or_default();
        self.0.ledger.extend_attempts(&upload.id, upload.epoch, deadline()).await?;
        let parts = self.0.ledger.parts(&upload.id).await?;
        let tags: Vec<_> = parts
            .iter()
            .filter_map(|part| {
                let crc64 = Crc64::from_hex(&part.crc64)?;
                Some(PartTag { number: part.number, etag: part.etag.clone(), crc64 })
            })
            .collect();
        let key = &upload.object_key;
        let mut published = bucket.complete_multipart(key, multipart_id, &tags, size, crc64).await;
        if matches!(published, Err(bucket::Error::Damaged(_))) {
            match bucket.parts(key, multipart_id).await.map(|listed| compare(&parts, &listed)) {
                Ok(Found::Ours) => {}
                Ok(Found::OursAs(tags)) => {
                    published = bucket.complete_multipart(key, multipart_id, &tags, size, crc64).await;
                }
                // Refused as a whole, and listed as something else.
                Ok(Found::Others) => return Err(Error::Gone),
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => tracing::warn!(error = %error, "list the parts that were refused"),
            }
        }
        match published {
            // "No such upload" is not "complete": the answer to an earlier call may have been lost, or it was aborted.
            Err(bucket::Error::NotFound(_)) if is_there(bucket, upload).await? => Ok(()),
            Err(bucket::Error::NotFound(_)) => Err(lost::parts(bucket, &upload.id, key, multipart_id).await),
            other => Ok(other?),
        }
    }

    /// Goes on with uploads that were being published when their process died, ends those whose last byte had come, cancels
    /// those nobody works on, and makes up for comparisons with side files.
    /// `idle` is how long one must not have moved; zero only before the first request is taken.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the ledger does not answer.
    pub async fn recover(&self, idle: Duration) -> Result<()> {
        let before = now_ms() - i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        for upload in self.0.ledger.abandoned_uploads(before, self.begun_before()).await? {
            if upload.resumable && self.expires_at(&upload) > now_ms() && !upload.is_unheard_of() {
                if upload.offset > 0 && upload.length == Some(upload.offset) && !self.is_running(&upload.id) {
                    self.end_for_its_sender(&upload).await;
                }
                continue;
            }
            let resumed = upload.resumable && !upload.is_unheard_of();
            let reason = if resumed { "expired" } else { "abandoned" };
            if !self.is_running(&upload.id)
                && self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, reason).await?
            {
                upload.span().in_scope(|| ended_alone("failed", reason));
            }
        }
        for upload in self.0.ledger.idle_uploads(State::Completing, before).await? {
            if !self.is_running(&upload.id)
                && let Err(error) = self.recover_one(&upload).instrument(upload.span()).await
            {
                tracing::warn!(upload.id, error = %error, "recover upload");
            }
        }
        self.compare_left(idle).await
    }

    /// Every byte is durable, and whoever received the last one died before it said so. A sender that finds the offset at
    /// the end of its file sends nothing more.
    async fn end_for_its_sender(&self, upload: &Upload) {
        let append = Append {
            offset: unsigned(upload.offset),
            body_bytes: Some(0),
            end: End::Length,
            max_bytes: u64::MAX,
            ..Append::default()
        };
        let nothing = futures_util::stream::empty::<std::result::Result<Frame, BodyError>>();
        if let Err(error) = self.append(&upload.id, &append, nothing).await {
            tracing::warn!(upload.id, error = %error, "end an upload whose bytes have all come");
        }
    }

    async fn recover_one(&self, upload: &Upload) -> Result<()> {
        let bucket = self.bucket(upload)?;
        let published = if upload.multipart_id.is_some() {
            self.publish_once(bucket, upload).await
        } else if is_there(bucket, upload).await? {
            Ok(())
        // It died while it stored the whole file: what it had stored before is there.
        } else if upload.offset > 0 && self.0.ledger.reopen(&upload.id, upload.epoch).await? {
            return Ok(());
        } else {
            Err(Error::Gone)
        };
        match published {
            Ok(()) => {
                let side = match self.side_file_again(upload).await {
                    Err(error @ (Error::DigestMismatch { .. } | Error::UnreadableSideFile { .. })) => {
                        return self.drop_completing(upload, &error).await;
                    }
                    other => other?,
                };
                let side = side.as_ref().map(Side::in_ledger);
                if self.0.ledger.complete(&upload.id, upload.epoch, side.as_ref()).await? == Completed::Stale
                {
                    // The next look compares it with the file that has come in the meantime.
                    return Ok(());
                }
                self.0.completed.notify_one();
                ended_alone("completed", "recovered");
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::Damaged(_)) {
                    crate::observe::damaged("whole");
                }
                let is_over = matches!(error, Error::Damaged(_)) && self.expires_at(upload) <= now_ms();
                if !is_over && !matches!(error, Error::Gone) {
                    return Err(error);
                }
                tracing::warn!(upload.id, error = %error, "cancel upload that cannot be completed");
                self.drop_completing(upload, &error).await
            }
        }
    }

    async fn drop_completing(&self, upload: &Upload, error: &Error) -> Result<()> {
        if self.0.ledger.cancel(&upload.id, Some(upload.epoch), GATEWAY, error.reason()).await? {
            ended_alone("failed", error.reason());
        }
        Ok(())
    }
}

/// What the parts in a bucket are.
#[derive(Debug, Clone)]
enum Found {
    /// For all that can be seen, those that were stored.
    Ours,
    /// Our bytes, under the tags that the store has for them now: an older sender's attempt has arrived late.
    OursAs(Vec<PartTag>),
    /// Somebody has put other bytes in the place of ours.
    Others,
}

fn compare(ours: &[Part], listed: &[Listed]) -> Found {
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

/// Whether the object is there with the size and checksum we recorded. A store that keeps no checksum is taken at the
/// size: the parts were verified as they were stored.
async fn is_there(bucket: &Bucket, upload: &Upload) -> Result<bool> {
    let (size, crc64) = expected(upload)?;
    let found = bucket.head(&upload.object_key).await?;
    Ok(found.is_some_and(|found| found.size == size && found.crc64.is_none_or(|actual| actual == crc64)))
}

fn expected(upload: &Upload) -> Result<(i64, Crc64)> {
    let crc64 = upload.crc64.as_deref().and_then(Crc64::from_hex);
    upload.length.zip(crc64).ok_or_else(|| Error::Internal("size or checksum is not recorded".into()))
}

/// What is stored with the object. Header values must be ASCII: the name is percent-encoded.
pub(crate) fn metadata(upload: &Upload, sha256: Option<&str>) -> Metadata {
    let mut metadata = vec![
        ("upload-id", upload.id.clone()),
        ("partner", upload.partner_id.clone()),
        ("ticket", upload.ticket.clone()),
        ("name", percent(&upload.name)),
        ("uploader", format!("link:{}", upload.link_id)),
    ];
    metadata.extend(sha256.map(|digest| ("sha256", digest.to_owned())));
    metadata
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
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
    fn only_the_same_bytes_under_another_tag_are_adopted() {
        let ours = [part(1, "a"), part(2, "b")];
        let (same, other) = (Some(Crc64::EMPTY), Crc64::from_hex("0000000000000001"));
        let (kept, others) = (Ok(None), Err(()));
        for (second, expected) in [
            (listed(2, 8, same, "c"), Ok(Some(vec!["a", "c"]))),
            (listed(2, 8, same, "b"), kept.clone()),
            (listed(2, 8, other, "c"), others.clone()),
            (listed(2, 7, same, "c"), others.clone()),
            (listed(2, 7, None, "c"), others),
            // Nothing vouches for these bytes, and nothing says that they are others.
            (listed(2, 8, None, "c"), kept.clone()),
            (listed(3, 8, same, "c"), kept),
        ] {
            let all = [listed(1, 8, same, "a"), second, listed(4, 8, other, "of nobody")];
            let found = match compare(&ours, &all) {
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
