//! Credentials: the AWS conventions, and an assumed role.
//! Invariant: a presigned URL never claims to be valid for longer than the credentials it is signed with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use crate::{Error, Result, http};

#[derive(Clone)]
pub enum Credentials {
    /// The ordinary AWS chain: environment, profile, web identity, container, instance.
    Chain,
    /// A profile of the AWS configuration files.
    Profile(String),
    /// A fixed key pair.
    Static { access_key_id: String, secret_access_key: String },
    /// A role assumed with STS, renewed before the session ends.
    Role {
        /// The credentials for STS.
        base: Box<Self>,
        role_arn: String,
        /// Set by the role's owner, so that nobody else can make us use the role.
        external_id: Option<String>,
        /// The session's name in the owner's CloudTrail; cut to what STS accepts.
        session_name: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Profile(name) => f.debug_tuple("Profile").field(name).finish(),
            Self::Static { access_key_id, .. } => f.debug_tuple("Static").field(access_key_id).finish(),
            Self::Role { base, role_arn, .. } => f.debug_tuple("Role").field(role_arn).field(base).finish(),
        }
    }
}

/// The default of AWS's own S3 commands. Stores with an endpoint of their own rarely care; AWS names the right region.
const FALLBACK_REGION: &str = "us-east-1";
/// STS limit.
const SESSION_NAME_MAX: usize = 64;
/// Credentials without an expiry are fetched again after this, as in the SDK.
const UNDATED_FOR: Duration = Duration::from_secs(15 * 60);
/// A metadata address answers within a millisecond or does not exist.
const METADATA_WAIT: Duration = Duration::from_secs(1);

/// Loads credentials, region and endpoints. Sends only what the chain needs to find the region; credentials are fetched with
/// the first call.
pub(crate) async fn load(credentials: &Credentials, region: &str) -> SdkConfig {
    let region = (!region.is_empty()).then(|| Region::new(region.to_owned()));
    match credentials {
        // Complete by itself: files and variables of this machine do not count.
        Credentials::Static { access_key_id, secret_access_key } => {
            let mut sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(fixed(access_key_id, secret_access_key))
                .region(region.unwrap_or(Region::from_static(FALLBACK_REGION)));
            sdk.set_http_client(Some(http::client()));
            sdk.build()
        }
        Credentials::Role { base, role_arn, external_id, session_name } => {
            let sdk = loader(base, region).await.load().await;
            let mut role = AssumeRoleProvider::builder(role_arn)
                .configure(&sdk)
                .session_name(session_name.chars().take(SESSION_NAME_MAX).collect::<String>());
            if let Some(region) = sdk.region() {
                role = role.region(region.clone());
            }
            if let Some(external_id) = external_id {
                role = role.external_id(external_id);
            }
            let assumed = SharedCredentialsProvider::new(role.build().await);
            sdk.into_builder().credentials_provider(assumed).build()
        }
        Credentials::Chain | Credentials::Profile(_) => loader(credentials, region).await.load().await,
    }
}

async fn loader(base: &Credentials, region: Option<Region>) -> ConfigLoader {
    let sender = http::client();
    let metadata = metadata();
    let mut profile = ProfileFileRegionProvider::builder();
    if let Credentials::Profile(name) = base {
        profile = profile.profile_name(name);
    }
    // Like the SDK's own chain, except for the client of the metadata address.
    let region = RegionProviderChain::first_try(region)
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(imds::region::ImdsRegionProvider::builder().imds_client(metadata.clone()).build())
        .or_else(FALLBACK_REGION)
        .region()
        .await;
    let conventions = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(sender.clone())
        .with_region(region.clone());
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).http_client(sender);
    match base {
        // A named profile wins over keys in the environment.
        Credentials::Profile(name) => loader.profile_name(name).credentials_provider(
            ProfileFileCredentialsProvider::builder().profile_name(name).configure(&conventions).build(),
        ),
        Credentials::Static { access_key_id, secret_access_key } => {
            loader.credentials_provider(fixed(access_key_id, secret_access_key))
        }
        // A role is assumed with these credentials, never with another role.
        Credentials::Chain | Credentials::Role { .. } => loader.credentials_provider(
            DefaultCredentialsChain::builder()
                .configure(conventions)
                .region(region)
                .imds_client(metadata)
                .build()
                .await,
        ),
    }
}

/// A client of the metadata address with short timeouts: most machines have none.
fn metadata() -> imds::Client {
    imds::Client::builder()
        .configure(&ProviderConfig::without_region().with_http_client(http::metadata_client()))
        .max_attempts(1)
        .connect_timeout(METADATA_WAIT)
        .read_timeout(METADATA_WAIT)
        .operation_attempt_timeout(METADATA_WAIT)
        .operation_timeout(2 * METADATA_WAIT)
        .build()
}

fn fixed(id: &str, secret: &str) -> SharedCredentialsProvider {
    let keys = aws_credential_types::Credentials::new(id, secret, None, None, "configuration");
    SharedCredentialsProvider::new(keys)
}

/// A provider that caches the last credentials, so that signing rarely has to fetch them.
#[derive(Clone)]
pub(crate) struct CachedCredentials(Arc<Cache>);

struct Cache {
    provider: Option<SharedCredentialsProvider>,
    last: Mutex<Option<(aws_credential_types::Credentials, Instant)>>,
}

impl fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredentials").finish_non_exhaustive()
    }
}

impl CachedCredentials {
    pub(crate) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self(Arc::new(Cache { provider, last: Mutex::new(None) }))
    }

    /// Credentials that last for `time`, or as long as possible, and how long they last.
    pub(crate) async fn lasting(
        &self,
        time: Duration,
    ) -> Result<(aws_credential_types::Credentials, Duration)> {
        let last = self.last().clone();
        if let Some((credentials, since)) = last
            && since.elapsed() < UNDATED_FOR
            && lifetime(&credentials, time) >= time
        {
            return Ok((credentials, time));
        }
        let fresh = self
            .provide_credentials()
            .await
            .map_err(|error| Error::NoCredentials(crate::error::chain(&error)))?;
        let lifetime = lifetime(&fresh, time);
        Ok((fresh, lifetime))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(aws_credential_types::Credentials, Instant)>> {
        // A single value that is replaced as a whole, so a poisoned lock is harmless.
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the credentials last, at most `time`.
fn lifetime(credentials: &aws_credential_types::Credentials, time: Duration) -> Duration {
    credentials
        .expiry()
        .map_or(time, |end| end.duration_since(SystemTime::now()).unwrap_or_default().min(time))
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let provider = self
                .0
                .provider
                .as_ref()
                .ok_or_else(|| CredentialsError::not_loaded("no provider is configured"))?;
            let credentials = provider.provide_credentials().await?;
            *self.last() = Some((credentials.clone(), Instant::now()));
            Ok(credentials)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Provides credentials that expire after so many seconds each; `None` for no expiry.
    #[derive(Debug)]
    struct Provider {
        seconds: Vec<Option<u64>>,
        provided: AtomicUsize,
    }

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.provided.fetch_add(1, Ordering::Relaxed);
            let end = self.seconds[number].map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
            let id = number.to_string();
            let made = aws_credential_types::Credentials::new(id, "s", None, end, "test");
            future::ProvideCredentials::ready(Ok(made))
        }
    }

    /// Which credentials are used to sign for 300 s each time, and how long they last.
    async fn check(seconds: &[Option<u64>], signed: &[(&str, std::ops::RangeInclusive<u64>)]) {
        let provider = Provider { seconds: seconds.to_vec(), provided: AtomicUsize::new(0) };
        let cached = CachedCredentials::new(Some(SharedCredentialsProvider::new(provider)));
        for (id, lives) in signed {
            let (credentials, time) = cached.lasting(Duration::from_secs(300)).await.unwrap();
            assert_eq!(credentials.access_key_id(), *id, "{seconds:?}");
            assert!(lives.contains(&time.as_secs()), "{seconds:?}: {time:?}");
        }
    }

    #[tokio::test]
    async fn signatures_do_not_outlive_their_credentials() {
        let full = || 300..=300;
        check(&[Some(3600)], &[("0", full()), ("0", full())]).await;
        check(&[None], &[("0", full()), ("0", full())]).await;
        check(&[Some(120), Some(3600)], &[("0", 110..=120), ("1", full()), ("1", full())]).await;
        check(&[Some(120), Some(90)], &[("0", 110..=120), ("1", 80..=90)]).await;
        check(&[Some(0)], &[("0", 0..=0)]).await;
        assert!(CachedCredentials::new(None).lasting(Duration::from_secs(1)).await.is_err());
    }
}
