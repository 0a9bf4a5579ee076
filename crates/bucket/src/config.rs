//! A bucket, how to reach it, and as whom.

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
use crate::identity::{self, Identity};
use crate::observe::Watch;
use crate::probe::Checks;

/// Where a bucket is and how it is to be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bucket name.
    pub bucket: String,
    /// Put before every key; empty, or ending in `/`.
    pub prefix: String,
    /// Endpoint URL; none: as the AWS conventions say, else AWS itself.
    pub endpoint: Option<String>,
    /// Endpoint that staff can reach, for presigned URLs; none: content goes through the gateway.
    pub public_endpoint: Option<String>,
    /// Region; empty: as the AWS conventions say.
    pub region: String,
    /// Bucket in the path rather than in the host name.
    pub path_style: bool,
    /// As whom.
    pub credentials: Credentials,
    /// Account that must own the bucket, checked by S3 on every call.
    pub expected_owner: Option<String>,
    /// KMS key for new objects.
    pub kms_key: Option<String>,
}

/// A bucket ready to use; clones share connections.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) client: Client,
    /// Signs URLs and sends nothing.
    pub(crate) public: Option<Client>,
    pub(crate) identity: Identity,
    pub(crate) config: Arc<Config>,
    /// What the store was seen to check; unknown until it was examined.
    pub(crate) checks: Arc<OnceLock<Checks>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One attempt that takes longer is broken off and tried again: a store that takes a request and stays silent would
/// hang for ever otherwise.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// Attempts in all, the first included.
const ATTEMPTS_MAX: u32 = 4;
/// The SDK's 5 s is too short for a store that pauses to write.
const STALL_GRACE: Duration = Duration::from_secs(30);

impl Bucket {
    /// No call to a bucket, retries included, lasts longer than this.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

    /// Prepares clients; nothing is sent to the bucket yet.
    pub async fn new(mut config: Config) -> Self {
        let sdk = identity::load(&config.credentials, &config.region).await;
        if let Some(region) = sdk.region() {
            config.region = region.as_ref().to_owned();
        }
        if config.endpoint.is_none() && !matches!(config.credentials, Credentials::Static { .. }) {
            config.endpoint = configured_endpoint(&sdk);
            config.path_style |= config.endpoint.is_some();
        }
        Self::with(config, &sdk)
    }

    /// A bucket as a person's AWS tools see it: credentials, region and endpoint come from the environment
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_PROFILE`, …) and the AWS configuration files. Nothing is sent to the bucket yet.
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
        let identity = Identity::new(sdk.credentials_provider());
        let client = |endpoint: Option<&str>| {
            let mut builder = aws_sdk_s3::config::Builder::from(sdk)
                .region(Region::new(config.region.clone()))
                .credentials_provider(SharedCredentialsProvider::new(identity.clone()));
            builder.set_endpoint_url(endpoint.map(str::to_owned));
            tuned(builder, &config.bucket, config.path_style)
        };
        let own = client(config.endpoint.as_deref());
        let public = config.public_endpoint.as_deref().map(|endpoint| client(Some(endpoint)));
        Self { client: own, public, identity, config: Arc::new(config), checks: Arc::default() }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.config.bucket
    }

    /// What stands before every key.
    pub fn prefix(&self) -> &str {
        &self.config.prefix
    }

    /// Whether presigned URLs can be handed out.
    pub fn has_public_endpoint(&self) -> bool {
        self.public.is_some()
    }

    pub(crate) fn owner(&self) -> Option<String> {
        self.config.expected_owner.clone()
    }
}

/// The endpoint that environment or profile name for S3, or for every service; none for AWS itself.
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
        .interceptor(Watch::on(bucket))
        // Our own CRC-64 goes with every byte; the SDK's defaults would hash everything a second time.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
        .build();
    Client::from_conf(config)
}
