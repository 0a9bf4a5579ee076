//! The embedded S3 server against the real SDK, configured as the gateway configures it: no checksums of its own making,
//! unsigned payloads, CRC64NVME given by the caller.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; the exemption for tests covers only the test functions themselves"
)]

mod durability;
mod faults;
mod listing;
mod multipart;
mod objects;
mod refusals;

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::{Listen, S3Access, Sandbox, Seed};
use tempfile::TempDir;

const BUCKET: &str = "support-uploader";
const MIB: usize = 1 << 20;

/// A running sandbox on a folder of its own.
struct TestStore {
    sandbox: Sandbox,
    /// Makes one attempt a call, so that a refusal is seen as it was given.
    client: Client,
    dir: TempDir,
}

impl TestStore {
    async fn start() -> Self {
        Self::start_on(TempDir::new().unwrap()).await
    }

    async fn start_on(dir: TempDir) -> Self {
        let sandbox = start(dir.path()).await.unwrap();
        let client = client(&sandbox.s3, 1);
        Self { sandbox, client, dir }
    }

    /// The same folder after an orderly stop.
    async fn restart(self) -> Self {
        self.sandbox.stop().await;
        Self::start_on(self.dir).await
    }

    async fn put(&self, key: &str, data: &[u8]) {
        put(&self.client, key, data).await.unwrap();
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        let answer = self.client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        answer.body.collect().await.unwrap().to_vec()
    }

    async fn exists(&self, key: &str) -> bool {
        let answer = self.client.head_object().bucket(BUCKET).key(key).send().await;
        match answer {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
                false
            }
        }
    }

    /// The content files that the store holds.
    fn blobs(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("s3/blobs")).unwrap().count()
    }
}

async fn start(dir: &Path) -> anyhow::Result<Sandbox> {
    let seed = Seed { buckets: vec![BUCKET.to_owned()], ..Seed::default() };
    Sandbox::start(dir, Listen::any_port(), &seed).await
}

fn client(access: &S3Access, attempts: u32) -> Client {
    let retries =
        RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(Duration::from_millis(5));
    Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&access.endpoint)
            .region(Region::new(access.region.clone()))
            .credentials_provider(Credentials::new(
                &access.access_key_id,
                &access.secret_access_key,
                None,
                None,
                "test",
            ))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(retries)
            .build(),
    )
}

async fn put(client: &Client, key: &str, data: &[u8]) -> Result<(), String> {
    let call = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .checksum_crc64_nvme(crc64(data))
        .body(data.to_vec().into());
    call.customize().disable_payload_signing().send().await.map(|_| ()).map_err(|error| code(&error))
}

/// Bytes that repeat nowhere near, the same for the same seed.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut data: Vec<u8> = std::iter::repeat_with(&mut next).take(length / 8 + 1).flatten().collect();
    data.truncate(length);
    data
}

fn crc64(data: &[u8]) -> String {
    STANDARD.encode(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, data).to_be_bytes())
}

/// S3's code for a refusal, or what kind of failure it was.
fn code<E: ProvideErrorMetadata + std::fmt::Debug>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(refusal) => match refusal.err().code() {
            Some(code) => code.to_owned(),
            None => refusal.raw().status().as_u16().to_string(),
        },
        SdkError::DispatchFailure(_) => "no answer".to_owned(),
        SdkError::ResponseError(_) => "no answer".to_owned(),
        other => format!("{other:?}"),
    }
}
