//! The embedded S3 server with a bucket, and `wb --s3` on it as a person's AWS settings say.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use bucket::{Bucket, Config, Crc64Hasher, Credentials, Metadata, Payload};
use bytes::Bytes;
use sandbox::{Listen, S3Access, Sandbox, Seed};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fake::sha256;
use crate::{Run, run};

pub(crate) const BUCKET: &str = "uploads";
pub(crate) const PREFIX: &str = "in/";

/// A bucket and a folder to work in.
pub(crate) struct Store {
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) access: S3Access,
    pub(crate) runtime: Runtime,
    pub(crate) bucket: Bucket,
    folder: TempDir,
}

/// An upload id with that number.
pub(crate) fn id(number: u32) -> String {
    format!("01KAP7N3V8Q2ZD4T6W9X{number:06}")
}

impl Store {
    pub(crate) fn new() -> Self {
        let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        let seed = Seed { buckets: vec![BUCKET.to_owned()], ..Seed::default() };
        let sandbox =
            runtime.block_on(Sandbox::start(&folder.path().join("sandbox"), Listen::any_port(), &seed));
        let sandbox = sandbox.unwrap();
        let access = sandbox.s3.clone();
        let bucket = runtime.block_on(Bucket::new(config(&access, None)));
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { sandbox: Some(sandbox), access, runtime, bucket, folder }
    }

    /// How to reach the bucket; with a public endpoint it hands out presigned URLs.
    pub(crate) fn config(&self, public_endpoint: Option<String>) -> Config {
        config(&self.access, public_endpoint)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    /// `wb` with nothing of the caller's environment, and no AWS settings but an empty home.
    pub(crate) fn plain(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wb"));
        command.args(arguments).current_dir(self.path(".")).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path(".")).env("NO_PROXY", "*").env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// `wb --s3 s3://uploads/in ARGUMENTS`, unless they name a place themselves, with AWS settings in the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let place: &[&str] = if arguments.contains(&"--s3") { &[] } else { &["--s3", "s3://uploads/in"] };
        let mut command = self.plain(place);
        command.args(arguments);
        command.env("AWS_ENDPOINT_URL_S3", &self.access.endpoint).env("AWS_REGION", &self.access.region);
        command.env("AWS_ACCESS_KEY_ID", &self.access.access_key_id);
        command.env("AWS_SECRET_ACCESS_KEY", &self.access.secret_access_key);
        command
    }

    pub(crate) fn wb(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments))
    }

    /// Puts an object with exactly this key.
    pub(crate) fn put(&self, key: &str, metadata: Metadata, content: &Bytes) {
        self.runtime.block_on(put(&self.bucket, key, metadata, content));
    }

    /// Puts an object and its receipt as the gateway does. Returns the key.
    pub(crate) fn upload(&self, ticket: &str, id: &str, name: &str, content: &Bytes) -> String {
        let key = format!("{PREFIX}{ticket}/{id}/{name}");
        self.put(&key, vec![("upload-id", id.to_owned())], content);
        self.receipt(&key, ticket, id, content);
        key
    }

    /// Puts the receipt of `content` beside `key`.
    pub(crate) fn receipt(&self, key: &str, ticket: &str, id: &str, content: &Bytes) {
        let name = key.rsplit('/').next().unwrap();
        let receipt = json!({
            "id": id, "name": name, "size": content.len(), "sha256": sha256(content), "partner": "acme",
            "ticket": ticket, "destination": "support-uploader", "delivery": "done",
            "received_at": "2026-11-22T10:00:00Z", "expires_at": null, "checked": ["sha-256"], "later": {"kept": true},
        });
        self.put(&format!("{key}.receipt.json"), Vec::new(), &receipt.to_string().into());
    }

    /// Rules and calls so far, as the control of faults tells them.
    pub(crate) fn faults(&self) -> Value {
        let url = self.sandbox.as_ref().unwrap().faults_url.clone();
        self.runtime.block_on(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
    }

    /// How often the server was asked for this operation.
    pub(crate) fn calls(&self, operation: &str) -> u64 {
        self.faults()["calls"]["s3"][operation].as_u64().unwrap_or(0)
    }

    /// Sets a fault, by the fields of its rule.
    pub(crate) fn fault(&self, rule: Value) {
        let rule = serde_json::from_value(rule).unwrap();
        self.sandbox.as_ref().unwrap().faults().add(rule).unwrap();
    }

    pub(crate) fn clear_faults(&self) {
        self.sandbox.as_ref().unwrap().faults().clear();
    }

    /// Names in a folder, hidden ones too.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        crate::names_in(&self.path(folder))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}

fn config(access: &S3Access, public_endpoint: Option<String>) -> Config {
    Config {
        bucket: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
        endpoint: Some(access.endpoint.clone()),
        public_endpoint,
        region: access.region.clone(),
        path_style: true,
        credentials: Credentials::Static {
            access_key_id: access.access_key_id.clone(),
            secret_access_key: access.secret_access_key.clone(),
        },
        expected_owner: None,
        kms_key: None,
    }
}

pub(crate) async fn put(bucket: &Bucket, key: &str, metadata: Metadata, content: &Bytes) {
    let mut crc64 = Crc64Hasher::new();
    crc64.update(content);
    let payload = Payload::new(vec![content.clone()], crc64.value());
    bucket.put(key, "application/octet-stream", &metadata, &payload).await.unwrap();
}
