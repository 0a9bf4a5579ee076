//! Publishes a multipart upload. It may die after any await and run again, by the request that began it or by recovery.
//! Invariant: an object is proven by its size and checksum, never by an error.

use bucket::{Bucket, Crc64, Listed, PartTag};
use ledger::{Part, Upload};

use crate::append::part_lease::call_deadline;
use crate::append::signals::Signals;
use crate::uploads::Uploads;
use crate::{Error, Result, lost};

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
