//! As whom a bucket is spoken to: the AWS conventions, and a role assumed where one is named.
//! Invariant: what is signed for later (a presigned URL) never claims to live longer than the credentials it is signed with.

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

/// As whom to speak to a bucket.
#[derive(Clone)]
pub enum Credentials {
    /// The ordinary AWS chain: environment, profile, web identity, container, instance.
    Chain,
    /// A named profile of the AWS configuration files.
    Profile(String),
    /// A fixed key pair.
    Static {
        /// Access key id.
        access_key_id: String,
        /// Secret access key.
        secret_access_key: String,
    },
    /// A role, assumed with STS and again before the session ends.
    Role {
        /// As whom to ask STS.
        base: Box<Self>,
        /// The role's ARN.
        role_arn: String,
        /// What the role's owner asks for, so that nobody else can make us use it.
        external_id: Option<String>,
        /// Under what name the session stands in the owner's CloudTrail; shortened to what STS takes.
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

/// Where no region is named, as with AWS's own S3 commands. Stores behind an endpoint of their own seldom care; AWS says so
/// when another region is right.
const FALLBACK_REGION: &str = "us-east-1";
/// STS takes no longer name for a session.
const SESSION_NAME_MAX: usize = 64;
/// Credentials that name no end are asked for again after this, as the SDK does.
const UNDATED_FOR: Duration = Duration::from_secs(15 * 60);
/// A metadata address is a millisecond away, or not there.
const METADATA_WAIT: Duration = Duration::from_secs(1);

/// Credentials, region and endpoints as section and AWS conventions say. Nothing is sent but what the chain asks for the
/// region; credentials are fetched with the first call.
pub(crate) async fn load(credentials: &Credentials, region: &str) -> SdkConfig {
    let region = (!region.is_empty()).then(|| Region::new(region.to_owned()));
    match credentials {
        // Complete in itself: no file and no variable of this machine has a say.
        Credentials::Static { .. } => {
            let mut sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(fixed(credentials))
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
    // As the SDK's own chain, but for how the metadata address is asked.
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
        // What is named counts, whatever keys the environment has.
        Credentials::Profile(name) => loader.profile_name(name).credentials_provider(
            ProfileFileCredentialsProvider::builder().profile_name(name).configure(&conventions).build(),
        ),
        Credentials::Static { .. } => loader.credentials_provider(fixed(base)),
        // A role is assumed as what the configuration names, never as another role of it.
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

/// Asks the metadata address with little patience: most machines have none.
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

fn fixed(credentials: &Credentials) -> SharedCredentialsProvider {
    let (id, secret) = match credentials {
        Credentials::Static { access_key_id, secret_access_key } => {
            (access_key_id.as_str(), secret_access_key.as_str())
        }
        _ => ("", ""),
    };
    SharedCredentialsProvider::new(aws_credential_types::Credentials::new(
        id,
        secret,
        None,
        None,
        "configuration",
    ))
}

/// A provider that remembers what it gave last, so that something can be signed without asking again.
#[derive(Clone)]
pub(crate) struct Identity(Arc<Remembering>);

struct Remembering {
    provider: Option<SharedCredentialsProvider>,
    last: Mutex<Option<(aws_credential_types::Credentials, Instant)>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self(Arc::new(Remembering { provider, last: Mutex::new(None) }))
    }

    /// Credentials that last for `time`, or for as much of it as can be had; and for how long they do.
    pub(crate) async fn lasting(
        &self,
        time: Duration,
    ) -> Result<(aws_credential_types::Credentials, Duration)> {
        let last = self.last().clone();
        if let Some((credentials, since)) = last
            && since.elapsed() < UNDATED_FOR
            && left(&credentials, time) >= time
        {
            return Ok((credentials, time));
        }
        let fresh = self
            .provide_credentials()
            .await
            .map_err(|error| Error::NoCredentials(crate::error::chain(&error)))?;
        let left = left(&fresh, time);
        Ok((fresh, left))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(aws_credential_types::Credentials, Instant)>> {
        // One value, replaced whole: a panic elsewhere leaves nothing half done in it.
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how much of `time` they last.
fn left(credentials: &aws_credential_types::Credentials, time: Duration) -> Duration {
    credentials
        .expiry()
        .map_or(time, |end| end.duration_since(SystemTime::now()).unwrap_or_default().min(time))
}

impl ProvideCredentials for Identity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let provider =
                self.0.provider.as_ref().ok_or_else(|| CredentialsError::not_loaded("there are none"))?;
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

    /// Gives credentials that end after so many seconds each; none: that name no end.
    #[derive(Debug)]
    struct Giving {
        seconds: Vec<Option<u64>>,
        given: AtomicUsize,
    }

    impl ProvideCredentials for Giving {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            let end = self.seconds[number].map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
            let id = number.to_string();
            let made = aws_credential_types::Credentials::new(id, "s", None, end, "test");
            future::ProvideCredentials::ready(Ok(made))
        }
    }

    /// Which of the credentials given sign for 300 s each time, and for how long they do.
    async fn check(seconds: &[Option<u64>], signed: &[(&str, std::ops::RangeInclusive<u64>)]) {
        let giving = Giving { seconds: seconds.to_vec(), given: AtomicUsize::new(0) };
        let identity = Identity::new(Some(SharedCredentialsProvider::new(giving)));
        for (id, lives) in signed {
            let (credentials, time) = identity.lasting(Duration::from_secs(300)).await.unwrap();
            assert_eq!(credentials.access_key_id(), *id, "{seconds:?}");
            assert!(lives.contains(&time.as_secs()), "{seconds:?}: {time:?}");
        }
    }

    #[tokio::test]
    async fn nothing_signed_outlives_its_credentials() {
        let full = || 300..=300;
        check(&[Some(3600)], &[("0", full()), ("0", full())]).await;
        check(&[None], &[("0", full()), ("0", full())]).await;
        check(&[Some(120), Some(3600)], &[("0", 110..=120), ("1", full()), ("1", full())]).await;
        check(&[Some(120), Some(90)], &[("0", 110..=120), ("1", 80..=90)]).await;
        check(&[Some(0)], &[("0", 0..=0)]).await;
        assert!(Identity::new(None).lasting(Duration::from_secs(1)).await.is_err());
    }
}
