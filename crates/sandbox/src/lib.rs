//! An embedded S3 server, a Zendesk-compatible desk and a Slack sink, for the demo, for tests and for `weighbridge sandbox`,
//! with faults on demand (see [`faults::Rule`]). The gateway speaks to them over HTTP exactly as it speaks to real ones.
//! Invariant: they listen on loopback only, and what they answered is durable: a restart on the same folder finds it again.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! let seed = sandbox::Seed { buckets: vec!["support-uploader".into()], desk: Default::default() };
//! let sandbox = sandbox::Sandbox::start("data".as_ref(), sandbox::Listen::any_port(), &seed).await?;
//! assert!(sandbox.s3.endpoint.starts_with("http://127.0.0.1:"));
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```

mod corrupt;
pub mod desk;
pub mod faults;
mod json_file;
mod keys;
mod s3;
mod serve;
pub mod slack;
mod unread;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use self::faults::Faults;
use self::s3::Store;
use self::serve::{Server, Service};

/// The initial content. What exists already stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    pub buckets: Vec<String>,
    pub desk: desk::Seed,
}

/// Where to listen, loopback addresses only; port 0 picks one.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    pub s3: SocketAddr,
    pub desk: SocketAddr,
    pub slack: SocketAddr,
    pub faults: SocketAddr,
}

impl Listen {
    /// Ports of the system's choice on 127.0.0.1.
    pub fn any_port() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { s3: any, desk: any, slack: any, faults: any }
    }
}

/// A client's access to the S3 server. Path-style addressing.
#[derive(Clone)]
pub struct S3Access {
    /// `http://ADDRESS:PORT`.
    pub endpoint: String,
    /// Of every bucket.
    pub region: String,
    /// Kept between runs.
    pub access_key_id: String,
    /// Kept between runs; not shown by `Debug`.
    pub secret_access_key: String,
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// A client's access to the desk. Secrets are kept between runs and not shown by `Debug`.
#[derive(Clone)]
pub struct DeskAccess {
    /// `http://ADDRESS:PORT`.
    pub url: String,
    /// A ready `Authorization` header: `Basic …`.
    pub authorization: String,
    pub email: String,
    /// For basic authentication as `EMAIL/token`.
    pub api_token: String,
    /// For the client credentials grant.
    pub client_id: String,
    /// For the client credentials grant.
    pub client_secret: String,
}

impl fmt::Debug for DeskAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeskAccess")
            .field("url", &self.url)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// An app's access to the Slack sink. Secrets are kept between runs and not shown by `Debug`.
#[derive(Clone)]
pub struct SlackAccess {
    /// `http://ADDRESS:PORT`; the Web API is at `{url}/api`, what arrived is at `{url}/messages`.
    pub url: String,
    pub bot_token: String,
    /// What requests to the app are signed with. The sink sends none.
    pub signing_secret: String,
}

impl fmt::Debug for SlackAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A running sandbox. Dropping it stops it without waiting; [`Sandbox::stop`] waits.
pub struct Sandbox {
    pub s3: S3Access,
    pub desk: DeskAccess,
    pub slack: SlackAccess,
    /// The control of faults, with its path: `http://ADDRESS:PORT/faults`.
    pub faults_url: String,
    faults: Faults,
    desk_state: Arc<desk::Desk>,
    servers: [Server; 4],
    store: Store,
    /// Held until everything else is down.
    lock: File,
}

impl Sandbox {
    /// Starts all services with their data under `data`, which is created if needed.
    ///
    /// # Errors
    /// When another sandbox runs on `data`, when `data` cannot be used or read, or when an address is not loopback or is taken.
    pub async fn start(data: &Path, listen: Listen, seed: &Seed) -> anyhow::Result<Self> {
        for address in [listen.s3, listen.desk, listen.slack, listen.faults] {
            if !address.ip().is_loopback() {
                bail!("the sandbox listens on loopback addresses only, not on {address}");
            }
        }
        let (folder, desk_seed) = (data.to_owned(), seed.desk.clone());
        let opened = tokio::task::spawn_blocking(move || open(&folder, &desk_seed));
        let Opened { lock, keys, slack_keys, store, desk: desk_state } =
            opened.await.context("open the sandbox's data")??;
        for bucket in &seed.buckets {
            let created = store.create_bucket(bucket.clone()).await;
            created.with_context(|| format!("create the bucket {bucket}"))?;
        }
        let faults = Faults::default();
        let services = [
            (
                listen.s3,
                Service::S3(s3::service(store.clone(), &keys.access_key_id, &keys.secret_access_key)),
            ),
            (listen.desk, Service::Desk(desk::router(desk_state.clone()))),
            (listen.slack, Service::Slack(slack::router(slack_keys.bot_token.clone()))),
            (listen.faults, Service::Control(faults::control::router(faults.clone(), desk_state.clone()))),
        ];
        let start = services.map(|(address, service)| {
            let faults = faults.clone();
            async move {
                Server::start(address, service, faults).await.with_context(|| format!("listen on {address}"))
            }
        });
        let [on_s3, on_desk, on_slack, on_faults] = start;
        let servers = [on_s3.await?, on_desk.await?, on_slack.await?, on_faults.await?];
        let [s3_url, desk_url, slack_url, control] =
            [0, 1, 2, 3].map(|n: usize| format!("http://{}", servers[n].address));
        Ok(Self {
            s3: S3Access {
                endpoint: s3_url,
                region: s3::REGION.to_owned(),
                access_key_id: keys.access_key_id,
                secret_access_key: keys.secret_access_key,
            },
            desk: desk_access(desk_url, desk_state.credentials()),
            slack: SlackAccess {
                url: slack_url,
                bot_token: slack_keys.bot_token,
                signing_secret: slack_keys.signing_secret,
            },
            faults_url: format!("{control}/faults"),
            faults,
            desk_state,
            servers,
            store,
            lock,
        })
    }

    /// The rules of faults, for callers in the same process.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The desk itself, for callers in the same process.
    pub fn desk_state(&self) -> &Arc<desk::Desk> {
        &self.desk_state
    }

    /// Stops listening, lets requests in flight end within two seconds, and returns when the last write is through.
    pub async fn stop(self) {
        let [one, two, three, four] = self.servers;
        tokio::join!(one.stop(), two.stop(), three.stop(), four.stop());
        self.store.close().await;
        // A child process that is just being started holds a copy of the descriptor: closing ours would not unlock the file.
        let _ = self.lock.unlock();
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("s3", &self.s3)
            .field("desk", &self.desk)
            .field("slack", &self.slack)
            .field("faults_url", &self.faults_url)
            .finish_non_exhaustive()
    }
}

/// What a data folder holds.
struct Opened {
    lock: File,
    keys: keys::Keys,
    slack_keys: keys::SlackKeys,
    store: Store,
    desk: Arc<desk::Desk>,
}

/// Locks the folder first: two processes on one store would remove each other's files.
fn open(data: &Path, desk_seed: &desk::Seed) -> anyhow::Result<Opened> {
    fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    let path = data.join("sandbox.lock");
    let lock = File::options().create(true).write(true).truncate(false).open(&path);
    let lock = lock.with_context(|| format!("open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("another process runs a sandbox on {}", data.display()),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("lock {}", path.display()));
        }
    }
    let keys = keys::Keys::load_or_create(data)?;
    let slack_keys = keys::SlackKeys::load_or_create(data)?;
    let store = Store::open(&data.join("s3"))?;
    let desk = data.join("desk");
    fs::create_dir_all(&desk).with_context(|| format!("create {}", desk.display()))?;
    let desk = desk::Desk::open(&desk, desk_seed).context("open the desk")?;
    Ok(Opened { lock, keys, slack_keys, store, desk })
}

fn desk_access(url: String, credentials: &desk::Credentials) -> DeskAccess {
    let authorization = credentials.basic();
    let desk::Credentials { email, api_token, client_id, client_secret } = credentials.clone();
    DeskAccess { url, authorization, email, api_token, client_id, client_secret }
}
