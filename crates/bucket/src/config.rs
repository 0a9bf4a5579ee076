//! A bucket, how to reach it, and as whom.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_types::service_config::ServiceConfigKey;

use crate::observe::Watch;

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
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Profile(name) => f.debug_tuple("Profile").field(name).finish(),
            Self::Static { access_key_id, .. } => f.debug_tuple("Static").field(access_key_id).finish(),
        }
    }
}

/// Where a bucket is and how it is to be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bucket name.
    pub bucket: String,
    /// Put before every key; empty, or ending in `/`.
    pub prefix: String,
    /// Endpoint URL; none for AWS itself.
    pub endpoint: Option<String>,
    /// Endpoint that staff can reach, for presigned URLs; none: content goes through the gateway.
    pub public_endpoint: Option<String>,
    /// Region.
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
    pub(crate) public: Option<Client>,
    pub(crate) config: Arc<Config>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One attempt that takes longer is broken off and tried again: a store that takes a request and stays silent would
/// hang for ever otherwise.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// Where no region is named, as with AWS's own S3 commands.
const FALLBACK_REGION: &str = "us-east-1";
/// Attempts in all, the first included.
const ATTEMPTS_MAX: u32 = 4;
/// The SDK's 5 s is too short for a store that pauses to write.
const STALL_GRACE: Duration = Duration::from_secs(30);

impl Bucket {
    /// No call to a bucket, retries included, lasts longer than this.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

    /// Prepares clients; nothing is sent yet.
    pub async fn new(config: Config) -> Self {
        let client = client(&config, config.endpoint.as_deref()).await;
        let public = match config.public_endpoint.as_deref() {
            Some(endpoint) => Some(self::client(&config, Some(endpoint)).await),
            None => None,
        };
        Self { client, public, config: Arc::new(config) }
    }

    /// A bucket as a person's AWS tools see it: credentials, region and endpoint come from the environment
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_PROFILE`, …) and the AWS configuration files. Nothing is sent to the bucket yet.
    pub async fn from_environment(bucket: String, prefix: String) -> Self {
        // Stores behind an endpoint of their own seldom care; AWS says so when another region is right.
        let region = RegionProviderChain::default_provider().or_else(FALLBACK_REGION);
        let sdk = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let endpoint = configured_endpoint(&sdk);
        let config = Config {
            bucket,
            prefix,
            // Such stores rarely have a host name for each bucket.
            path_style: endpoint.is_some(),
            endpoint,
            public_endpoint: None,
            region: sdk.region().map_or(FALLBACK_REGION, Region::as_ref).to_owned(),
            credentials: Credentials::Chain,
            expected_owner: None,
            kms_key: None,
        };
        let client = tuned(aws_sdk_s3::config::Builder::from(&sdk), &config.bucket, config.path_style);
        Self { client, public: None, config: Arc::new(config) }
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

async fn client(config: &Config, endpoint: Option<&str>) -> Client {
    let region = Region::new(config.region.clone());
    let mut builder = match &config.credentials {
        Credentials::Static { access_key_id, secret_access_key } => {
            let credentials = aws_credential_types::Credentials::new(
                access_key_id,
                secret_access_key,
                None,
                None,
                "configuration",
            );
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .region(region)
        }
        chain => {
            let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
            if let Credentials::Profile(name) = chain {
                loader = loader.profile_name(name);
            }
            aws_sdk_s3::config::Builder::from(&loader.load().await)
        }
    };
    builder.set_endpoint_url(endpoint.map(str::to_owned));
    tuned(builder, &config.bucket, config.path_style)
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
