//! Runs the same tests against a real S3 server: `WEIGHBRIDGE_TEST_GARAGE` names the configuration of a running Garage, which
//! `.ci/garage` starts. Each sandbox gets two buckets there. The desk stays embedded. Sandboxes that a test starts with
//! `start_embedded` keep the embedded store.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

/// The running Garage that the environment describes.
pub struct Garage {
    config: String,
    program: String,
    /// Has every right on the buckets created here.
    pub key_id: String,
    pub secret: String,
    pub endpoint: String,
    pub region: String,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Garage {
    /// The Garage to test against, if there is one.
    pub fn from_environment() -> Option<Self> {
        let config = std::env::var("WEIGHBRIDGE_TEST_GARAGE").ok()?;
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        Some(Self {
            config,
            program: variable("WEIGHBRIDGE_TEST_GARAGE_PROGRAM"),
            key_id: variable("GARAGE_DEFAULT_ACCESS_KEY"),
            secret: variable("GARAGE_DEFAULT_SECRET_KEY"),
            endpoint: variable("WEIGHBRIDGE_TEST_GARAGE_ENDPOINT"),
            region: "garage".into(),
        })
    }

    /// Creates two buckets and replaces the embedded ones with them, in `sandbox.json` and in the gateway's configuration.
    pub(crate) fn take_over(&self, description: &mut Value, config: &mut toml::Table) {
        let shared = self.make_bucket("shared");
        let globex = self.make_bucket("globex");
        let s3 = &mut description["s3"];
        s3["endpoint"] = self.endpoint.as_str().into();
        s3["region"] = self.region.as_str().into();
        s3["access_key_id"] = self.key_id.as_str().into();
        s3["secret_access_key"] = self.secret.as_str().into();
        s3["support_uploader_bucket"] = shared.as_str().into();
        s3["partner_buckets"]["globex"] = globex.as_str().into();
        self.point(config["support_uploader"].as_table_mut().unwrap(), &shared);
        self.point(config["partners"]["globex"]["bucket"].as_table_mut().unwrap(), &globex);
    }

    fn point(&self, section: &mut toml::Table, bucket: &str) {
        for (key, value) in [
            ("bucket", bucket),
            ("endpoint", &self.endpoint),
            ("public_endpoint", &self.endpoint),
            ("region", &self.region),
            ("access_key_id", &self.key_id),
            ("secret_access_key", &self.secret),
        ] {
            section.insert(key.into(), value.into());
        }
    }

    /// Creates a bucket for this test alone and returns its name.
    pub fn make_bucket(&self, purpose: &str) -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wb-{}-{number}-{purpose}", std::process::id());
        self.run(&["bucket", "create", &name]);
        self.run(&["bucket", "allow", "--read", "--write", "--owner", &name, "--key", &self.key_id]);
        name
    }

    /// Garage's own report about a bucket.
    pub fn bucket_info(&self, name: &str) -> String {
        self.run(&["bucket", "info", name])
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.program).args(["-c", &self.config]).args(arguments).output().unwrap();
        assert!(output.status.success(), "garage {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
