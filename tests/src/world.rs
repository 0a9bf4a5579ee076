//! A sandbox and a gateway together. Tests of one subject may share a world; it ends with the last test that uses it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{Gateway, Sandbox, Transport, eventually};

/// A sandbox and a gateway that runs against it.
pub struct World {
    /// Dropped first.
    pub gateway: Gateway,
    pub sandbox: Sandbox,
}

impl World {
    /// Starts one with the configuration that the sandbox wrote.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with these lines in `[limits]`.
    pub fn with(limits: &[&str]) -> Self {
        Self::on(Sandbox::start(), limits)
    }

    /// Starts one with its ledger in a file, whatever the environment says.
    pub fn start_with_file() -> Self {
        Self::on(Sandbox::start_with_file(), &[])
    }

    /// Starts one with the embedded S3 server, whatever the environment says: see [`Sandbox::start_embedded`].
    pub fn start_embedded() -> Self {
        Self::embedded_with(&[])
    }

    /// [`World::start_embedded`] with these lines in `[limits]`.
    pub fn embedded_with(limits: &[&str]) -> Self {
        Self::on(Sandbox::start_embedded(), limits)
    }

    /// Starts one over this transport, whatever the environment says.
    pub fn over(transport: Transport, limits: &[&str]) -> Self {
        Self::on(Sandbox::start().over(transport), limits)
    }

    /// Starts one on this sandbox with these lines in `[limits]`.
    pub fn on(sandbox: Sandbox, limits: &[&str]) -> Self {
        let mut limits: toml::Table = limits.join("\n").parse().unwrap();
        // Nothing polls readiness here, so a shutdown need not be announced.
        limits.entry("drain_notice").or_insert_with(|| "0s".into());
        let gateway = sandbox.gateway_with(|config| {
            config.insert("limits".into(), limits.into());
        });
        Self { gateway, sandbox }
    }

    /// The upload link of `acme` or `globex`, without a slash at the end.
    pub fn link(&self, partner: &str) -> String {
        self.sandbox.link(partner)
    }

    /// Writes a file into a folder named after its content, so that equal names do not collide.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.sandbox.scratch().join("files").join(&crate::sha256(bytes)[..12]);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// [`World::file`] as text for a command line.
    pub fn path(&self, name: &str, bytes: &[u8]) -> String {
        self.file(name, bytes).into_os_string().into_string().unwrap()
    }

    /// The sum of all series of a metric whose name and labels start with this; 0 if there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let url = self.sandbox.text("/metrics");
        let output = Command::new("curl").args(["-sf", "--max-time", "30", &url]).output().unwrap();
        assert!(output.status.success(), "no metrics: {}", self.gateway.log());
        let text = String::from_utf8(output.stdout).unwrap();
        let values = text
            .lines()
            .filter_map(|line| line.rsplit_once(' ').filter(|(name, _)| name.starts_with(series)));
        values.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until this many uploads are open.
    pub fn until_open(&self, count: u32) {
        eventually(&format!("{count} uploads are open"), || {
            (self.metric("weighbridge_uploads{state=\"open\"") >= f64::from(count)).then_some(())
        });
    }

    /// Waits until nothing is being sent and no memory is used. In an unshared world, cancels unfinished uploads first, so that
    /// nothing is open either.
    pub fn until_at_rest(&self) {
        let mut busy = vec!["weighbridge_memory_used_bytes", "weighbridge_uploads{state=\"completing\""];
        if !self.sandbox.is_shared() {
            eventually("nobody sends", || (self.metric(busy[0]) == 0.0).then_some(()));
            self.sandbox.give_up_unfinished("");
            busy.push("weighbridge_uploads{state=\"open\"");
        }
        eventually("no upload is under way, no memory is taken", || {
            busy.iter().all(|series| self.metric(series) == 0.0).then_some(())
        });
    }

    /// All objects and unfinished multipart uploads in both buckets, without receipts.
    pub async fn stored(&self) -> Vec<String> {
        let mut all = Vec::new();
        for partner in [None, Some("globex")] {
            let bucket = self.sandbox.bucket(partner).await;
            all.extend(
                crate::objects(&bucket).await.into_iter().filter(|key| !key.ends_with(".receipt.json")),
            );
            all.extend(crate::unfinished(&bucket).await.into_iter().map(|key| format!("unfinished {key}")));
        }
        all
    }
}

/// A world that the tests of a module share.
pub struct Shared {
    world: Mutex<Weak<World>>,
    limits: &'static [&'static str],
    transport: Option<Transport>,
}

impl Shared {
    /// Starts when first used, with these lines in `[limits]`.
    pub const fn with(limits: &'static [&'static str]) -> Self {
        Self { world: Mutex::new(Weak::new()), limits, transport: None }
    }

    /// [`Shared::with`] over this transport.
    pub const fn over(transport: Transport, limits: &'static [&'static str]) -> Self {
        Self { world: Mutex::new(Weak::new()), limits, transport: Some(transport) }
    }

    /// The running world, or a new one if no test uses it.
    pub fn world(&self) -> Arc<World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.upgrade().unwrap_or_else(|| {
            let new = Arc::new(World::over(self.transport.unwrap_or_else(Transport::of_run), self.limits));
            new.sandbox.share();
            *world = Arc::downgrade(&new);
            new
        })
    }
}

/// A pipe that delivers this file, so its length is unknown.
pub fn piped(path: &str) -> (Stdio, Child) {
    let mut cat = Command::new("cat").arg(path).stdout(Stdio::piped()).spawn().unwrap();
    (cat.stdout.take().unwrap().into(), cat)
}
