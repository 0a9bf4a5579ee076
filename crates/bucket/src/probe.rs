//! What a store can do, found out by trying. Invariant: everything is written below `{prefix}.weighbridge/probe/`, and
//! removed again; what a probe that died left there is removed by the next one.

mod lifecycle;
mod report;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::BucketVersioningStatus;
use bytes::Bytes;

pub(crate) use lifecycle::Rules;
pub use report::{Finding, Report, Weight};

use crate::error::sort_head;
use crate::write::bounded;
use crate::{Bucket, Crc64, Crc64Hasher, Error, PartTag, Payload, Result};

/// What a store checks of what it is sent, as far as we make use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// CRC-64/NVME of every part, and of the whole object when it is published.
    Whole,
    /// CRC-64/NVME of every part; the size of the whole is asked for.
    Parts,
    /// It knows no CRC-64/NVME: `Content-MD5` of every part.
    Md5,
}

/// In this order they are tried.
const LEVELS: [Checks; 3] = [Checks::Whole, Checks::Parts, Checks::Md5];

/// A whole examination takes no longer.
const EXAMINATION_MAX: Duration = Duration::from_secs(10);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 2;
/// What lies below the probe's prefix for longer was left by one that died. Milliseconds.
const LEFT_BEHIND_MS: i64 = 2 * 60 * 1000;
/// Below the bucket's prefix.
const FOLDER: &str = ".weighbridge/probe/";
/// As `Content-MD5` writes it.
const MD5_OF_NOTHING: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
const CONTENT: &[u8] = b"Weighbridge looks whether it can work here. This may be removed.\n";

/// Whether an object or multipart upload of this key is a probe's, for a bucket's prefix.
pub fn is_probe(prefix: &str, key: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(FOLDER))
}

/// Whether something was done, or why that cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Yes,
    No,
    Unknown(String),
}

impl Bucket {
    /// Finds out what the store can do, within 10 s, and from then on makes use of exactly that.
    pub async fn examine(&self) -> Report {
        let probing = self.probing();
        let outcome = tokio::time::timeout(EXAMINATION_MAX, probing.look()).await;
        let report = outcome.unwrap_or_else(|_| {
            Report::of(
                &self.config,
                Err(Error::Unavailable(format!("no answer within {} s", EXAMINATION_MAX.as_secs()))),
            )
        });
        if let Some(checks) = report.checks {
            // The first answer holds: uploads under way were begun with it.
            let _ = self.checks.set(checks);
        }
        report
    }

    /// Reads the bucket's lifecycle rules and nothing else, within this time. Nothing is written.
    pub async fn examine_rules(&self, within: Duration) -> Report {
        let mut report = Report::of(&self.config, Ok(()));
        let rules = tokio::time::timeout(within, self.probing().rules()).await;
        match rules.unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into()))) {
            Ok(rules) => report.lifecycle = rules,
            Err(error) => report = Report::of(&self.config, Err(error)),
        }
        report
    }

    /// What the store is taken to check: what S3 does, until it was seen.
    pub(crate) fn checks(&self) -> Checks {
        self.checks.get().copied().unwrap_or(Checks::Whole)
    }

    /// This bucket with less patience.
    fn probing(&self) -> Self {
        let config = Client::config(&self.client)
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
            .build();
        Self { client: Client::from_conf(config), ..self.clone() }
    }

    /// The same store, taken to check this much.
    fn taken_as(&self, checks: Checks) -> Self {
        Self { checks: std::sync::Arc::new(checks.into()), ..self.clone() }
    }

    async fn look(&self) -> Report {
        if let Err(error) = self.reach().await {
            return Report::of(&self.config, Err(error));
        }
        let mut report = Report::of(&self.config, Ok(()));
        let folder = format!("{}{FOLDER}", self.prefix());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Of its own, so that two that look at the same time do not meet.
        let key = format!("{folder}{:x}-{:x}", now.as_nanos(), std::process::id());
        report.allow("s3:ListBucketMultipartUploads", self.clear(&folder).await);
        (report.lifecycle, report.versioned) = tokio::join!(self.lifecycle(), self.versioned());
        self.multipart(&format!("{key}-parts"), &mut report).await;
        let checks = report.checks.unwrap_or(Checks::Whole);
        self.taken_as(checks).object(&key, &mut report).await;
        report
    }

    /// Whether the bucket answers at all. A wrong region is named with the right one.
    async fn reach(&self) -> Result<()> {
        let request = self.client.head_bucket().bucket(self.name()).set_expected_bucket_owner(self.owner());
        let Err(error) = Box::pin(request.send()).await else { return Ok(()) };
        let region = error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region"));
        let elsewhere = region.filter(|region| *region != self.config.region).map(str::to_owned);
        match (elsewhere, sort_head(&error)) {
            (Some(region), _) => Err(Error::Refused(format!(
                "it is in region {region}, not in {}: write `region = \"{region}\"`",
                self.config.region
            ))),
            // The answer to a HEAD has no body; the one to a listing says why.
            (None, Error::NotFound(_) | Error::Refused(_) | Error::Forbidden(_)) => {
                self.list(FOLDER, None).await.map(drop)
            }
            (None, sorted) => Err(sorted),
        }
    }

    /// Removes what probes that died left.
    async fn clear(&self, folder: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = i64::try_from(now.as_millis()).unwrap_or(i64::MAX) - LEFT_BEHIND_MS;
        let request = self
            .client
            .list_multipart_uploads()
            .bucket(self.name())
            .prefix(folder)
            .set_expected_bucket_owner(self.owner());
        let uploads = bounded(Box::pin(request.send())).await?.uploads.unwrap_or_default();
        for upload in uploads {
            let begun = upload.initiated.and_then(|at| at.to_millis().ok()).unwrap_or_default();
            if let (Some(key), Some(id), true) = (upload.key, upload.upload_id, begun < old) {
                self.abort_multipart(&key, &id).await?;
            }
        }
        for object in self.list(folder, None).await?.objects {
            if object.last_modified < old {
                self.delete(&object.key).await?;
            }
        }
        Ok(())
    }

    /// Which way of sending parts the store checks best; sets `checks`, `parts` and `whole` of the report.
    async fn multipart(&self, key: &str, report: &mut Report) {
        let mut works = None;
        for level in LEVELS {
            let tried = self.taken_as(level).try_multipart(key, level, report).await;
            let proved = match tried {
                Ok(proved) => proved,
                // It does not know what this level asks for: the next one asks for less.
                Err(Error::Refused(_) | Error::Damaged(_)) => continue,
                Err(error) => {
                    report.allow("s3:PutObject", Err(error));
                    return;
                }
            };
            if level == Checks::Whole {
                report.whole = if proved.whole { Seen::Yes } else { Seen::No };
            }
            works = works.or(Some(level));
            if proved.whole || (proved.parts && level != Checks::Whole) {
                report.checks = Some(level);
                report.parts = if proved.parts { Seen::Yes } else { Seen::No };
                return;
            }
        }
        match works {
            // Nothing is checked: then the most that it takes without complaint, and the size.
            Some(level) => {
                let level = if level == Checks::Whole { Checks::Parts } else { level };
                (report.checks, report.parts) = (Some(level), Seen::No);
            }
            None => report.parts = Seen::Unknown("no multipart upload could be completed".into()),
        }
    }

    async fn try_multipart(&self, key: &str, level: Checks, report: &mut Report) -> Result<Proved> {
        let id = self.create_multipart(key, "text/plain", &Vec::new()).await?;
        let proved = self.try_parts(key, &id, level).await;
        // Completed or not: neither a half nor a whole one stays.
        report.allow("s3:AbortMultipartUpload", self.abort_multipart(key, &id).await);
        report.allow("s3:DeleteObject", self.delete(key).await);
        proved
    }

    async fn try_parts(&self, key: &str, id: &str, level: Checks) -> Result<Proved> {
        let parts = refused(self.put_part(key, id, 1, &payload(false)).await.map(drop))?;
        let good = payload(true);
        let etag = self.put_part(key, id, 1, &good).await?;
        let tags = [PartTag { number: 1, etag, crc64: good.crc64() }];
        let size = i64::try_from(CONTENT.len()).unwrap_or_default();
        if level == Checks::Whole {
            let wrong = payload(false).crc64();
            if !refused(self.complete_multipart(key, id, &tags, size, wrong).await)? {
                return Ok(Proved { parts, whole: false });
            }
        }
        match self.complete_multipart(key, id, &tags, size, good.crc64()).await {
            // A store that drops the upload with a refused completion has refused it.
            Ok(()) | Err(Error::NotFound(_)) => Ok(Proved { parts, whole: level == Checks::Whole }),
            Err(error) => Err(error),
        }
    }

    /// What can be done with an object.
    async fn object(&self, key: &str, report: &mut Report) {
        match refused(self.put(key, "text/plain", &Vec::new(), &payload(false)).await) {
            Ok(true) => {}
            Ok(false) => report.parts = Seen::No,
            Err(error) => return report.allow("s3:PutObject", Err(error)),
        }
        let stored = self.put(key, "text/plain", &Vec::new(), &payload(true)).await;
        let is_stored = stored.is_ok();
        report.allow("s3:PutObject", stored);
        if is_stored {
            report.allow("s3:GetObject", self.read(key, None).await.map(drop));
            report.conditional = self.conditional(key).await;
            report.tagging = self.tagging(key).await;
        }
        report.allow("s3:DeleteObject", self.delete(key).await);
    }

    /// Whether an object that is there is protected by `If-None-Match: *`.
    async fn conditional(&self, key: &str) -> Seen {
        let request = self.put_request(key, "text/plain", &Vec::new(), &payload(true)).if_none_match("*");
        match bounded(Box::pin(request.customize().disable_payload_signing().send())).await {
            Ok(_) | Err(Error::Refused(_)) => Seen::No,
            Err(Error::Changed) => Seen::Yes,
            Err(error) => Seen::Unknown(error.to_string()),
        }
    }

    async fn tagging(&self, key: &str) -> Seen {
        let request = self
            .client
            .get_object_tagging()
            .bucket(self.name())
            .key(key)
            .set_expected_bucket_owner(self.owner());
        served(Box::pin(request.send())).await.map_or_else(|seen| seen, |_| Seen::Yes)
    }

    async fn versioned(&self) -> Seen {
        let request =
            self.client.get_bucket_versioning().bucket(self.name()).set_expected_bucket_owner(self.owner());
        served(Box::pin(request.send())).await.map_or_else(
            |seen| seen,
            |answer| match answer.status {
                // Suspended: nothing new is kept, which is what matters.
                Some(BucketVersioningStatus::Enabled) => Seen::Yes,
                _ => Seen::No,
            },
        )
    }

    async fn lifecycle(&self) -> Rules {
        self.rules().await.unwrap_or_else(|error| Rules::Unreadable(error.to_string()))
    }

    /// The rules, as far as they can be seen; an error where the bucket cannot be asked.
    async fn rules(&self) -> Result<Rules> {
        let request = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(self.name())
            .set_expected_bucket_owner(self.owner());
        match bounded(Box::pin(request.send())).await {
            Ok(answer) => Ok(Rules::read(answer.rules.as_deref().unwrap_or_default(), self.prefix())),
            Err(Error::NotFound(_)) => Ok(Rules::read(&[], self.prefix())),
            Err(Error::Refused(said)) => Ok(Rules::NotServed(said)),
            Err(Error::Forbidden(said)) => Ok(Rules::Unreadable(said)),
            Err(error) => Err(error),
        }
    }
}

/// What a level was seen to check.
struct Proved {
    parts: bool,
    whole: bool,
}

/// The probe's content, announced with its own checksum or with another's.
fn payload(honest: bool) -> Payload {
    let mut hasher = Crc64Hasher::new();
    hasher.update(CONTENT);
    let crc64 = if honest { hasher.value() } else { Crc64::EMPTY };
    let payload = Payload::new(vec![Bytes::from_static(CONTENT)], crc64);
    if honest { payload } else { payload.announcing_md5(MD5_OF_NOTHING) }
}

/// Whether the store refused what it had to; other errors stay errors.
fn refused(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(false),
        Err(Error::Damaged(_) | Error::Refused(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The answer, or what the lack of one says about the store.
async fn served<T, E>(
    call: impl Future<Output = std::result::Result<T, aws_sdk_s3::error::SdkError<E>>>,
) -> std::result::Result<T, Seen>
where
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded(call).await.map_err(|error| match error {
        Error::Refused(_) | Error::NotFound(_) => Seen::No,
        error => Seen::Unknown(error.to_string()),
    })
}
