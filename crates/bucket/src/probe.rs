//! Finds out by trying what a store supports. Invariant: everything is written under `layout::probe_prefix` and removed
//! again; the next probe removes what a killed one left behind.

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

use lifecycle::Rules;
use report::Support;
pub use report::{Finding, Report, Weight};

use crate::call::bounded;
use crate::checks::Checks;
use crate::error::classify_head;
use crate::{Bucket, Crc64, Crc64Hasher, Error, PartTag, Payload, Result, layout};

/// Limit for a whole examination.
const EXAMINATION_MAX: Duration = Duration::from_secs(10);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 2;
/// What is older than this was left behind by a killed probe. Milliseconds.
const LEFTOVER_AGE_MS: i64 = 2 * 60 * 1000;
/// As in `Content-MD5`.
const MD5_OF_NOTHING: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
const CONTENT: &[u8] = b"Weighbridge wrote this to test the store. It may be deleted.\n";

impl Bucket {
    /// Finds out what the store supports, within 10 s, and from then on uses exactly that.
    pub async fn examine(&self) -> Report {
        let outcome = tokio::time::timeout(EXAMINATION_MAX, self.with_short_timeouts().probe_all()).await;
        let report = outcome.unwrap_or_else(|_| {
            Report::new(
                &self.config,
                Err(Error::Unavailable(format!("no answer within {} s", EXAMINATION_MAX.as_secs()))),
            )
        });
        if let Some(checks) = report.checks {
            // The first result stays: uploads in progress rely on it.
            let _ = self.checks.set(checks);
        }
        report
    }

    /// Reads the bucket's lifecycle rules and nothing else, within this time. Writes nothing.
    pub async fn examine_rules(&self, within: Duration) -> Report {
        let mut report = Report::new(&self.config, Ok(()));
        let rules = tokio::time::timeout(within, self.with_short_timeouts().rules()).await;
        match rules.unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into()))) {
            Ok(rules) => report.lifecycle = rules,
            Err(error) => report = Report::new(&self.config, Err(error)),
        }
        report
    }

    fn with_short_timeouts(&self) -> Self {
        let config = Client::config(&self.client)
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
            .build();
        Self { client: Client::from_conf(config), ..self.clone() }
    }

    /// The same bucket, assumed to verify this much.
    fn with_checks(&self, checks: Checks) -> Self {
        Self { checks: std::sync::Arc::new(checks.into()), ..self.clone() }
    }

    async fn probe_all(&self) -> Report {
        if let Err(error) = self.reach().await {
            return Report::new(&self.config, Err(error));
        }
        let mut report = Report::new(&self.config, Ok(()));
        let folder = layout::probe_prefix(self.prefix());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Unique, so that concurrent probes do not interfere.
        let key = format!("{folder}{:x}-{:x}", now.as_nanos(), std::process::id());
        report.record("s3:ListBucketMultipartUploads", self.remove_leftovers(&folder).await);
        (report.lifecycle, report.versioned) = tokio::join!(self.lifecycle(), self.versioned());
        self.probe_multipart(&format!("{key}-parts"), &mut report).await;
        let checks = report.checks.unwrap_or(Checks::Whole);
        self.with_checks(checks).probe_object(&key, &mut report).await;
        report
    }

    /// Whether the bucket answers at all. For a wrong region, the error names the right one.
    async fn reach(&self) -> Result<()> {
        let request = self.client.head_bucket().bucket(self.name()).set_expected_bucket_owner(self.owner());
        let Err(error) = Box::pin(request.send()).await else { return Ok(()) };
        let region = error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region"));
        let elsewhere = region.filter(|region| *region != self.config.region).map(str::to_owned);
        match (elsewhere, classify_head(&error)) {
            (Some(region), _) => Err(Error::Refused(format!(
                "the bucket is in region {region}, not in {}: set `region = \"{region}\"`",
                self.config.region
            ))),
            // The answer to a HEAD has no body; the answer to a listing has the reason.
            (None, Error::NotFound(_) | Error::Refused(_) | Error::Forbidden(_)) => {
                self.list(&layout::probe_prefix(self.prefix()), None).await.map(drop)
            }
            (None, error) => Err(error),
        }
    }

    async fn remove_leftovers(&self, folder: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = i64::try_from(now.as_millis()).unwrap_or(i64::MAX) - LEFTOVER_AGE_MS;
        for upload in self.unfinished(folder).await? {
            // A store may ignore the prefix.
            if upload.begun_at < old && layout::is_probe(self.prefix(), &upload.key) {
                self.abort_multipart(&upload.key, &upload.id).await?;
            }
        }
        for object in self.list(folder, None).await?.objects {
            if object.last_modified < old && layout::is_probe(self.prefix(), &object.key) {
                self.delete(&object.key).await?;
            }
        }
        Ok(())
    }

    /// Finds the strongest checks for parts; sets `checks`, `parts` and `whole` of the report.
    async fn probe_multipart(&self, key: &str, report: &mut Report) {
        let mut works = None;
        for level in Checks::ALL {
            let tried = self.with_checks(level).try_multipart(key, level, report).await;
            let verified = match tried {
                Ok(verified) => verified,
                // The store does not support this level: the next one needs less.
                Err(Error::Refused(_) | Error::Damaged(_)) => continue,
                Err(error) => {
                    report.record("s3:PutObject", Err(error));
                    return;
                }
            };
            if level == Checks::Whole {
                report.whole = if verified.whole { Support::Yes } else { Support::No };
            }
            works = works.or(Some(level));
            if verified.whole || (verified.parts && level != Checks::Whole) {
                report.checks = Some(level);
                report.parts = if verified.parts { Support::Yes } else { Support::No };
                return;
            }
        }
        match works {
            // Nothing is verified: use the strongest level that works, and compare the size.
            Some(level) => {
                let level = if level == Checks::Whole { Checks::Parts } else { level };
                (report.checks, report.parts) = (Some(level), Support::No);
            }
            None => report.parts = Support::Unknown("no multipart upload could be completed".into()),
        }
    }

    async fn try_multipart(&self, key: &str, level: Checks, report: &mut Report) -> Result<Verified> {
        let id = self.create_multipart(key, "text/plain", &Vec::new()).await?;
        let verified = self.try_parts(key, &id, level).await;
        // Leave nothing behind, completed or not.
        report.record("s3:AbortMultipartUpload", self.abort_multipart(key, &id).await);
        report.record("s3:DeleteObject", self.delete(key).await);
        verified
    }

    async fn try_parts(&self, key: &str, id: &str, level: Checks) -> Result<Verified> {
        let parts = refused(self.put_part(key, id, 1, &payload(false)).await.map(drop))?;
        let good = payload(true);
        let etag = self.put_part(key, id, 1, &good).await?;
        let tags = [PartTag { number: 1, etag, crc64: good.crc64() }];
        let size = i64::try_from(CONTENT.len()).unwrap_or_default();
        if level == Checks::Whole {
            let wrong = payload(false).crc64();
            if !refused(self.complete_multipart(key, id, &tags, size, wrong).await)? {
                return Ok(Verified { parts, whole: false });
            }
        }
        match self.complete_multipart(key, id, &tags, size, good.crc64()).await {
            // A store may drop the upload when it refuses to complete it.
            Ok(()) | Err(Error::NotFound(_)) => Ok(Verified { parts, whole: level == Checks::Whole }),
            Err(error) => Err(error),
        }
    }

    async fn probe_object(&self, key: &str, report: &mut Report) {
        match refused(self.put(key, "text/plain", &Vec::new(), &payload(false)).await) {
            Ok(true) => {}
            Ok(false) => report.parts = Support::No,
            Err(error) => return report.record("s3:PutObject", Err(error)),
        }
        let stored = self.put(key, "text/plain", &Vec::new(), &payload(true)).await;
        let is_stored = stored.is_ok();
        report.record("s3:PutObject", stored);
        if is_stored {
            report.record("s3:GetObject", self.read(key, None).await.map(drop));
            report.conditional = self.conditional(key).await;
            report.tagging = self.tagging(key).await;
        }
        report.record("s3:DeleteObject", self.delete(key).await);
    }

    /// Whether `If-None-Match: *` protects an existing object.
    async fn conditional(&self, key: &str) -> Support {
        let request = self.put_request(key, "text/plain", &Vec::new(), &payload(true)).if_none_match("*");
        match bounded(request.customize().disable_payload_signing().send()).await {
            Ok(_) | Err(Error::Refused(_)) => Support::No,
            Err(Error::Changed) => Support::Yes,
            Err(error) => Support::Unknown(error.to_string()),
        }
    }

    async fn tagging(&self, key: &str) -> Support {
        let request = self
            .client
            .get_object_tagging()
            .bucket(self.name())
            .key(key)
            .set_expected_bucket_owner(self.owner());
        supported(request.send()).await.map_or_else(|support| support, |_| Support::Yes)
    }

    async fn versioned(&self) -> Support {
        let request =
            self.client.get_bucket_versioning().bucket(self.name()).set_expected_bucket_owner(self.owner());
        supported(request.send()).await.map_or_else(
            |support| support,
            |answer| match answer.status {
                // If suspended, no new versions are kept, which is what matters.
                Some(BucketVersioningStatus::Enabled) => Support::Yes,
                _ => Support::No,
            },
        )
    }

    async fn lifecycle(&self) -> Rules {
        self.rules().await.unwrap_or_else(|error| Rules::Unreadable(error.to_string()))
    }

    /// The rules as far as we may see them; an error if the bucket does not answer.
    async fn rules(&self) -> Result<Rules> {
        let request = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(self.name())
            .set_expected_bucket_owner(self.owner());
        match bounded(request.send()).await {
            Ok(answer) => Ok(Rules::read(answer.rules.as_deref().unwrap_or_default(), self.prefix())),
            Err(Error::NotFound(_)) => Ok(Rules::read(&[], self.prefix())),
            Err(Error::Refused(_)) => Ok(Rules::Unsupported),
            Err(Error::Forbidden(reason)) => Ok(Rules::Unreadable(reason)),
            Err(error) => Err(error),
        }
    }
}

/// What the store was seen to verify.
struct Verified {
    parts: bool,
    whole: bool,
}

/// The probe's content, with the right checksum or a wrong one.
fn payload(honest: bool) -> Payload {
    let mut hasher = Crc64Hasher::new();
    hasher.update(CONTENT);
    let crc64 = if honest { hasher.value() } else { Crc64::EMPTY };
    let payload = Payload::new(vec![Bytes::from_static(CONTENT)], crc64);
    if honest { payload } else { payload.announcing_md5(MD5_OF_NOTHING) }
}

/// Whether the store refused, as it should; other errors stay errors.
fn refused(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(false),
        Err(Error::Damaged(_) | Error::Refused(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The answer, or what its error says about the store.
async fn supported<T, E>(
    call: impl Future<Output = std::result::Result<T, aws_sdk_s3::error::SdkError<E>>> + Send,
) -> std::result::Result<T, Support>
where
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded(call).await.map_err(|error| match error {
        Error::Refused(_) | Error::NotFound(_) => Support::No,
        error => Support::Unknown(error.to_string()),
    })
}
