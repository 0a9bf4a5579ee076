//! The embedded S3 server, desk and Slack sink in a process of their own, which outlives any gateway. Where the environment
//! names a real S3 server, that one takes the place of the embedded one; where it names a Postgres, the ledger is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Garage, Gateway, Postgres, Transport, eventually, program};

/// A running sandbox; dropping it kills it and removes its folder.
pub struct Sandbox {
    child: Child,
    folder: TempDir,
    /// Whether files are stored in a real S3 server. Then nothing may call the embedded one.
    is_real: bool,
    /// The ledger, if it is not a file.
    postgres: Option<Postgres>,
    pub(crate) transport: Transport,
    /// Whether several tests use it at once.
    shared: AtomicBool,
    /// The content of `sandbox.json`.
    pub description: Value,
}

impl Sandbox {
    /// Starts one in its own folder, with the S3 server that the environment names, or else the embedded one.
    pub fn start() -> Self {
        Self::start_embedded().on_real()
    }

    /// Starts one with the ledger in a file, whatever the environment says, so that a test can read the file.
    pub fn start_with_file() -> Self {
        Self::start_on(None).on_real()
    }

    /// Starts one with the ledger in a file and the embedded store, whatever the environment says.
    pub fn start_embedded_with_file() -> Self {
        Self::start_on(None)
    }

    fn on_real(self) -> Self {
        match Garage::from_environment() {
            Some(garage) => self.on(&garage),
            None => self,
        }
    }

    fn on(mut self, garage: &Garage) -> Self {
        let path = self.data().join("serve.toml");
        let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        garage.take_over(&mut self.description, &mut config);
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        self.is_real = true;
        self
    }

    /// Starts one with the embedded S3 server, whatever the environment says, so that a test can inject faults.
    pub fn start_embedded() -> Self {
        Self::start_on(Postgres::from_environment())
    }

    fn start_on(postgres: Option<Postgres>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut command = Command::new(program("weighbridge"));
        command.args(["sandbox", "--data"]).arg(&data).stdout(Stdio::null());
        if let Some(postgres) = &postgres {
            command.env("WEIGHBRIDGE_SANDBOX_LEDGER", postgres.url());
        }
        let child = command.spawn().unwrap();
        let described = data.join("sandbox.json");
        let description = eventually("sandbox.json is written", || {
            serde_json::from_slice(&std::fs::read(&described).ok()?).ok()
        });
        Self {
            child,
            folder,
            is_real: false,
            postgres,
            transport: Transport::Http1,
            shared: AtomicBool::default(),
            description,
        }
        .over(Transport::of_run())
    }

    /// The database that holds the ledger, if it is not a file.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// Starts a gateway with the configuration that the sandbox wrote.
    pub fn gateway(&self) -> Gateway {
        self.gateway_with(|_| {})
    }

    /// Starts a gateway with a changed configuration.
    pub fn gateway_with(&self, change: impl FnOnce(&mut toml::Table)) -> Gateway {
        self.gateway_in(&[], change)
    }

    /// Starts a gateway that ignores SIGXFSZ, so that a limit on file sizes acts as a full disk.
    pub fn gateway_that_outlives_full_disks(&self) -> Gateway {
        self.gateway_after("trap '' XFSZ", |_| {})
    }

    /// Starts a gateway from a shell that runs this first.
    pub fn gateway_after(&self, words: &str, change: impl FnOnce(&mut toml::Table)) -> Gateway {
        let script = format!("{words}; exec \"$0\" \"$@\"");
        Gateway::start_from(&["sh", "-c", &script], &self.configured(change), self.text("/url"))
    }

    /// Starts a gateway with additional environment variables.
    pub fn gateway_in(
        &self,
        environment: &[(String, String)],
        change: impl FnOnce(&mut toml::Table),
    ) -> Gateway {
        Gateway::start(&self.configured(change), self.text("/url"), environment)
    }

    /// Writes the configuration and returns its path.
    fn configured(&self, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
        let path = self.data().join("serve.toml");
        let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        change(&mut config);
        // A test that stops the store wants to see the error soon.
        let limits = config.entry("limits").or_insert_with(|| toml::Table::new().into());
        limits.as_table_mut().unwrap().entry("storage_wait").or_insert_with(|| "1s".into());
        // A slow test would otherwise meet what polling does after a minute. Tests that want it send a hook, or set it.
        let desk = config["desk"].as_table_mut().unwrap();
        desk.entry("poll_every").or_insert_with(|| "1h".into());
        self.secure(&mut config);
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        path
    }

    /// Starts another gateway on the same ledger and buckets, at its own address. The ledger must allow several.
    pub fn another_gateway(&self) -> Gateway {
        let folder = self.scratch().join("another");
        std::fs::create_dir_all(&folder).unwrap();
        // Sockets that are open at the same time have different ports.
        let sockets: [_; 2] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [listen, metrics] = sockets.map(|socket| socket.local_addr().unwrap().to_string());
        let mut config: toml::Table =
            std::fs::read_to_string(self.data().join("serve.toml")).unwrap().parse().unwrap();
        let url = format!("http://{listen}");
        config["server"]["listen"] = listen.into();
        config["server"]["metrics_listen"] = metrics.into();
        let path = folder.join("serve.toml");
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        Gateway::start(&path, url, &[])
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Marks it as used by several tests at once.
    pub(crate) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Whether other tests may be sending.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// A text in `sandbox.json`, by JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        self.description
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer}"))
            .to_owned()
    }

    /// The upload link of `acme` (ticket 1001, shared bucket) or `globex` (ticket 2001, own bucket), without a trailing slash.
    pub fn link(&self, partner: &str) -> String {
        self.text(&format!("/links/{partner}/url"))
    }

    /// Adds a fault rule: see the sandbox's documentation.
    pub async fn fault(&self, rule: Value) {
        let reaches_it = !self.is_real || rule["service"] != "s3";
        assert!(reaches_it, "a real S3 server has no faults on demand: use `start_embedded`");
        let answer = reqwest::Client::new().post(self.text("/faults")).json(&rule).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Clears all faults and counters.
    pub async fn clear_faults(&self) {
        reqwest::Client::new().delete(self.text("/faults")).send().await.unwrap();
    }

    /// The rules with their counters, and the calls by service and operation.
    pub async fn faults(&self) -> Value {
        reqwest::get(self.text("/faults")).await.unwrap().json().await.unwrap()
    }

    /// Waits until the only rule has acted `times` times.
    pub async fn fault_hit(&self, times: u64) {
        crate::eventually_async("the fault is hit", async || {
            (self.faults().await["rules"][0]["hit"].as_u64() >= Some(times)).then_some(())
        })
        .await;
    }

    /// Calls the desk's API as its agent; returns the JSON.
    pub async fn desk(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}/api/v2{path}", self.text("/desk/url")))
            .header("authorization", self.text("/desk/authorization"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        answer.json().await.unwrap_or_else(|_| json!({ "status": status }))
    }

    /// The comments of a ticket, oldest first.
    pub async fn comments(&self, ticket: &str) -> Vec<Value> {
        let answer = self.desk("GET", &format!("/tickets/{ticket}/comments?per_page=100"), None).await;
        answer["comments"].as_array().cloned().unwrap_or_default()
    }

    /// A bucket of the sandbox: `support-uploader`, or a partner's own.
    pub async fn bucket(&self, partner: Option<&str>) -> bucket::Bucket {
        let name = match partner {
            None => self.text("/s3/support_uploader_bucket"),
            Some(partner) => self.text(&format!("/s3/partner_buckets/{partner}")),
        };
        bucket::Bucket::new(bucket::Config {
            bucket: name,
            prefix: String::new(),
            endpoint: Some(self.text("/s3/endpoint")),
            public_endpoint: None,
            region: self.text("/s3/region"),
            path_style: true,
            credentials: bucket::Credentials::Static {
                access_key_id: self.text("/s3/access_key_id"),
                secret_access_key: self.text("/s3/secret_access_key"),
            },
            expected_owner: None,
            kms_key: None,
        })
        .await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.is_real && !std::thread::panicking() {
            // No test may use the embedded store by accident.
            let answer = Command::new("curl").args(["-sf", &self.text("/faults")]).output().unwrap();
            let heard: Value = serde_json::from_slice(&answer.stdout).unwrap();
            assert_eq!(heard["calls"]["s3"], Value::Null, "the embedded S3 server was called");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
