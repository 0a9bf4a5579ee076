//! A bucket and its configuration.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_types::service_config::ServiceConfigKey;

use crate::Credentials;
use crate::checks::Checks;
use crate::credentials::{self, CachedCredentials};
use crate::metrics::CallMetrics;

#[derive(Debug, Clone)]
pub struct Config {
    pub bucket: String,
    /// Prefix of every key: empty, or ending in `/`.
    pub prefix: String,
    /// Endpoint URL. Without one, the AWS settings of this machine count, then AWS itself.
    pub endpoint: Option<String>,
    /// Endpoint for presigned URLs, which staff can reach. Without one, content goes through the gateway.
    pub public_endpoint: Option<String>,
    /// If empty, the AWS settings of this machine count.
    pub region: String,
    /// Whether the bucket is part of the path rather than of the host name.
    pub path_style: bool,
    pub credentials: Credentials,
    /// The account that must own the bucket. S3 checks this on every call.
    pub expected_owner: Option<String>,
    /// KMS key to encrypt new objects with.
    pub kms_key: Option<String>,
}

/// A client for one bucket. Clones share connections.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) client: Client,
    /// Signs URLs and sends nothing.
    pub(crate) public: Option<Client>,
    pub(crate) credentials: CachedCredentials,
    pub(crate) config: Arc<Config>,
    /// What the store verifies; empty until it has been examined.
    pub(crate) checks: Arc<OnceLock<Checks>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Limit for one attempt, which is then retried. Without it, a store that accepts a request and stays silent would hang us.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// Includes the first attempt.
const ATTEMPTS_MAX: u32 = 4;
/// The SDK's 5 s are too short for a store that pauses while it writes.
const STALL_GRACE: Duration = Duration::from_secs(30);

impl Bucket {
    /// Limit for one call, retries included.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

    /// Sends nothing to the bucket yet.
    pub async fn new(mut config: Config) -> Self {
        let sdk = credentials::load(&config.credentials, &config.region).await;
        if let Some(region) = sdk.region() {
            config.region = region.as_ref().to_owned();
        }
        if config.endpoint.is_none() && !matches!(config.credentials, Credentials::Static { .. }) {
            config.endpoint = configured_endpoint(&sdk);
            config.path_style |= config.endpoint.is_some();
        }
        Self::with(config, &sdk)
    }

    /// A bucket as the AWS command line sees it: credentials, region and endpoint come from the environment
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_PROFILE`, …) and the AWS configuration files. Sends nothing to the bucket yet.
    pub async fn from_environment(bucket: String, prefix: String) -> Self {
        Self::new(Config {
            bucket,
            prefix,
            path_style: false,
            endpoint: None,
            public_endpoint: None,
            region: String::new(),
            credentials: Credentials::Chain,
            expected_owner: None,
            kms_key: None,
        })
        .await
    }

    fn with(config: Config, sdk: &SdkConfig) -> Self {
        let credentials = CachedCredentials::new(sdk.credentials_provider());
        let client = |endpoint: Option<&str>| {
            let mut builder = aws_sdk_s3::config::Builder::from(sdk)
                .region(Region::new(config.region.clone()))
                .credentials_provider(SharedCredentialsProvider::new(credentials.clone()));
            builder.set_endpoint_url(endpoint.map(str::to_owned));
            tuned(builder, &config.bucket, config.path_style)
        };
        let own = client(config.endpoint.as_deref());
        let public = config.public_endpoint.as_deref().map(|endpoint| client(Some(endpoint)));
        Self { client: own, public, credentials, config: Arc::new(config), checks: Arc::default() }
    }

    pub fn name(&self) -> &str {
        &self.config.bucket
    }

    /// The prefix of every key.
    pub fn prefix(&self) -> &str {
        &self.config.prefix
    }

    /// Whether [`Bucket::presign`] works.
    pub fn has_public_endpoint(&self) -> bool {
        self.public.is_some()
    }

    pub(crate) fn owner(&self) -> Option<String> {
        self.config.expected_owner.clone()
    }

    /// What the store verifies: as much as S3 does, until it has been examined.
    pub(crate) fn checks(&self) -> Checks {
        self.checks.get().copied().unwrap_or(Checks::Whole)
    }
}

/// The endpoint that the environment or the profile sets for S3 or for all services; `None` for AWS itself.
fn configured_endpoint(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_s3 = sdk.service_config().and_then(|service| service.load_config(key));
    of_s3.or_else(|| sdk.endpoint_url().map(str::to_owned))
}

fn tuned(builder: aws_sdk_s3::config::Builder, bucket: &str, path_style: bool) -> Client {
    let config = builder
        .force_path_style(path_style)
        .interceptor(CallMetrics::new(bucket))
        // We send our own CRC-64; the SDK's defaults would hash every byte again.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
        .build();
    Client::from_conf(config)
}
