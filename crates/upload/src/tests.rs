//! The engine against the embedded S3 server and a ledger in a file: the real SDK, real sockets, faults on the wire.
//! Checked everywhere: the bytes of a receipt are in the bucket, and after a failure and a sweep nothing is.

#![allow(clippy::large_futures, reason = "nothing here is on a byte path")]

mod bodies;
mod damage;
mod death;
mod faults;
mod lost;
mod memory;
mod model;
mod proxy;
mod quota;
mod resume;
mod resume_model;
mod side_files;
mod sweep;
mod takeover;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, Buckets};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger::{Ledger, Link, NewLink, State, Token, Upload};
use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence};
use sandbox::faults::{Kind, Rule, Service, When};
use sandbox::{Listen, S3Access, Sandbox, Seed};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use crate::{Append, BodyError, Create, Error, LeakKind, Limits, Result, Total, Uploads};

const BUCKET: &str = "support-uploader";
const MIB: usize = 1024 * 1024;
/// Three parts of 8, 8 and 4 MiB.
const LARGE: usize = 20 * MIB;
const SMALL: usize = 100_000;
/// Nothing a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration of a model test that runs so many cases unless the environment says otherwise. Cases that failed are
/// kept beside the file.
fn config(source_file: &'static str, cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        source_file: Some(source_file),
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel("proptest-regressions"))),
        // Each shrink step takes as long as a case.
        max_shrink_iters: 50,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

/// A sandbox, and an engine on it.
struct World {
    sandbox: Sandbox,
    dir: TempDir,
    engine: Engine,
}

/// An engine on a ledger of its own.
#[derive(Clone)]
struct Engine {
    uploads: Uploads,
    ledger: Ledger,
    bucket: Bucket,
    link: Link,
}

impl std::ops::Deref for World {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl World {
    async fn start() -> Self {
        Self::with_memory(64 * MIB).await
    }

    async fn with_memory(bytes: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let seed = Seed { buckets: vec![BUCKET.into()], ..Seed::default() };
        let sandbox = Sandbox::start(&dir.path().join("sandbox"), Listen::any_port(), &seed).await.unwrap();
        let engine = Engine::open(dir.path(), &sandbox.s3, bytes).await;
        Self { sandbox, dir, engine }
    }

    /// Another engine on the same ledger and bucket, which waits this long for the bucket.
    async fn patient(&self, storage_wait: Duration) -> Engine {
        let hour = Duration::from_secs(3600);
        Engine::with_waits(self.dir.path(), &self.sandbox.s3, 64 * MIB, hour, storage_wait).await
    }

    fn fault(&self, operation: &str, fault: Fault) {
        self.faults(operation, 0, 1, fault);
    }

    /// Makes `times` calls fail, 0 for all, after letting `after` through.
    fn faults(&self, operation: &str, after: u64, times: u64, fault: Fault) {
        let (kind, status, delay, when) = match fault {
            Fault::Reset => (Kind::Reset, None, None, None),
            Fault::LostAnswer => (Kind::LostAnswer, None, None, None),
            Fault::Corrupt => (Kind::Corrupt, None, None, None),
            Fault::Status(status) => (Kind::Status, Some(status), None, None),
            Fault::Delay(by, when) => (Kind::Delay, None, u64::try_from(by.as_millis()).ok(), Some(when)),
        };
        let rule = Rule {
            service: Service::S3,
            operation: operation.into(),
            after,
            times,
            fault: kind,
            status,
            retry_after: None,
            body: None,
            delay_ms: delay,
            when,
        };
        self.sandbox.faults().add(rule).unwrap();
    }

    async fn fault_report(&self) -> serde_json::Value {
        reqwest::get(&self.sandbox.faults_url).await.unwrap().json().await.unwrap()
    }

    /// The fault has happened, so the test tests what it says.
    async fn assert_hit(&self) {
        assert_ne!(self.fault_report().await["rules"][0]["hit"], 0, "the fault never happened");
    }
}

/// A fault of a call to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Reset,
    LostAnswer,
    Corrupt,
    Status(u16),
    Delay(Duration, When),
}

impl Engine {
    /// On the ledger in `dir`, which is created if missing.
    async fn open(dir: &Path, s3: &S3Access, memory_bytes: usize) -> Self {
        Self::with(dir, s3, memory_bytes, Duration::from_secs(3600)).await
    }

    /// As `open`, with another resume window.
    async fn with(dir: &Path, s3: &S3Access, memory_bytes: usize, resume_window: Duration) -> Self {
        Self::with_waits(dir, s3, memory_bytes, resume_window, Duration::from_millis(500)).await
    }

    /// As `with`, with another time to wait for a bucket.
    async fn with_waits(
        dir: &Path,
        s3: &S3Access,
        memory_bytes: usize,
        resume_window: Duration,
        storage_wait: Duration,
    ) -> Self {
        let bucket = bucket(s3).await;
        let ledger = Ledger::open(&format!("sqlite:{}", dir.join("ledger.db").display())).await.unwrap();
        ledger.migrate().await.unwrap();
        ledger.put_partner("acme", "Acme", None).await.unwrap();
        let new = NewLink {
            partner_id: "acme".into(),
            contact_id: None,
            parent_id: None,
            ticket: Some("1001".into()),
            rights: Vec::new(),
            max_bytes: None,
            max_open: None,
            max_unfinished_bytes: None,
            max_requests_per_minute: None,
            created_by: "operator".into(),
            expires_at: None,
        };
        let link = ledger.create_link(&Token::random(), &new).await.unwrap();
        let limits = Limits {
            memory_bytes: memory_bytes as u64,
            max_upload_bytes: 64 * MIB as u64,
            ticket_attachment_bytes: 20_000_000,
            link_open_uploads_max: 100,
            link_unfinished_bytes_max: 1 << 40,
            resume_window,
            storage_wait,
        };
        let buckets = Buckets::new(bucket.clone(), std::collections::BTreeMap::new());
        let uploads = Uploads::new(ledger.clone(), buckets, limits, Arc::new(Notify::new()));
        Self { uploads, ledger, bucket, link }
    }

    async fn create(&self, name: &str, length: Option<u64>) -> Result<Upload> {
        self.uploads.create(&self.new_upload(name, length)).await
    }

    /// An upload that is kept while nobody sends.
    async fn create_resumable(&self, name: &str, length: Option<u64>) -> Result<Upload> {
        self.uploads.create(&Create { resumable: true, ..self.new_upload(name, length) }).await
    }

    /// A resumable upload created by the request that brings its first bytes: its sender does not know it yet.
    async fn create_unacknowledged(&self, name: &str) -> Result<Upload> {
        let new = Create { resumable: true, begins_with_body: true, ..self.new_upload(name, None) };
        self.uploads.create(&new).await
    }

    fn new_upload<'a>(&'a self, name: &'a str, length: Option<u64>) -> Create<'a> {
        Create {
            link: &self.link,
            ticket: "1001",
            name,
            content_type: "application/octet-stream",
            length,
            resumable: false,
            begins_with_body: false,
            digests: &[],
            tus_metadata: None,
            ask: None,
        }
    }

    fn begin(&self) -> Append {
        Append { max_bytes: self.uploads.max_bytes(&self.link), ..Append::default() }
    }

    /// Sends a whole file with its length announced.
    async fn send(&self, name: &str, bytes: &Bytes) -> Result<Upload> {
        let length = Some(bytes.len() as u64);
        let upload = self.create(name, length).await?;
        self.uploads.append(&upload.id, &Append { length, ..self.begin() }, frames(bytes)).await
    }

    /// The bucket holds what was sent and what the receipt says.
    async fn assert_stored(&self, upload: &Upload, sent: &[u8]) {
        let now = self.ledger.upload(&upload.id).await.unwrap();
        assert_eq!(now.state, State::Complete);
        assert_eq!(now.length, i64::try_from(sent.len()).ok());
        assert_eq!(now.offset, now.length.unwrap());
        assert_eq!(now.sha256.as_deref(), Some(sha256(sent).as_str()));
        let found = self.bucket.head(&now.object_key).await.unwrap().expect("the object exists");
        assert_eq!(Some(found.size), now.length);
        assert_eq!(found.crc64.map(bucket::Crc64::to_hex), now.crc64);
        let stored = self.object(&now.object_key).await;
        assert!(stored == sent, "{} bytes are not the {} sent", stored.len(), sent.len());
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        let read = self.bucket.read(key, None).await.unwrap();
        read.stream().map_ok(|bytes| bytes.to_vec()).try_concat().await.unwrap()
    }

    /// Everything in the bucket under this prefix: the keys of objects and of multipart uploads.
    async fn present(&self, prefix: &str) -> Vec<String> {
        let page = self.bucket.list(prefix, None).await.unwrap();
        assert!(page.next.is_none());
        let objects = page.objects.into_iter().map(|object| object.key);
        let multiparts = self.bucket.multiparts(prefix).await.unwrap().into_iter();
        objects.chain(multiparts.map(|(key, id)| format!("{key} (multipart {id})"))).collect()
    }

    /// Recovers and sweeps, as the next start does.
    async fn recover_and_sweep(&self) {
        self.uploads.drain().await;
        self.uploads.recover(Duration::ZERO).await.unwrap();
        self.uploads.drain().await;
        assert_eq!(self.uploads.sweep(false).await.unwrap().failed, 0);
    }

    /// After recovery and a sweep, nothing is left in the bucket, and no upload is open.
    async fn assert_nothing_left(&self) {
        self.recover_and_sweep().await;
        assert_eq!(self.present("").await, Vec::<String>::new());
        for state in [State::Open, State::Completing, State::Complete] {
            assert!(self.ledger.idle_uploads(state, i64::MAX).await.unwrap().is_empty(), "{state:?}");
        }
        self.assert_memory_free().await;
    }

    /// All memory is released, at last by the connections.
    async fn assert_memory_free(&self) {
        until("the memory is free", async || self.uploads.budget().used_bytes() == 0).await;
    }

    async fn offset_of(&self, id: &str) -> usize {
        usize::try_from(self.ledger.upload(id).await.unwrap().offset).unwrap()
    }
}

async fn bucket(s3: &S3Access) -> Bucket {
    Bucket::new(bucket::Config {
        bucket: BUCKET.into(),
        prefix: "files/".into(),
        endpoint: Some(s3.endpoint.clone()),
        public_endpoint: None,
        region: s3.region.clone(),
        path_style: true,
        credentials: bucket::Credentials::Static {
            access_key_id: s3.access_key_id.clone(),
            secret_access_key: s3.secret_access_key.clone(),
        },
        expected_owner: None,
        kms_key: None,
    })
    .await
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("gave up waiting until {what}"));
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it took too long")
}

type Frame = std::result::Result<Bytes, BodyError>;

/// A body in frames of 64 KiB.
fn frames(bytes: &Bytes) -> impl Stream<Item = Frame> + Unpin + Send + use<> {
    let bytes = bytes.clone();
    let cuts = (0..bytes.len()).step_by(64 * 1024);
    stream::iter(cuts.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 64 * 1024)))))
}

/// A body that breaks after these bytes.
fn broken(bytes: &Bytes, error: BodyError) -> impl Stream<Item = Frame> + Unpin + Send + use<> {
    frames(bytes).chain(stream::iter([Err(error)]))
}

/// A body that is sent step by step, and stalls in between.
struct Sender(mpsc::UnboundedSender<Frame>);

impl Sender {
    fn new() -> (Self, impl Stream<Item = Frame> + Unpin + Send) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let body = stream::unfold(receiver, |mut receiver| async move {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        (Self(sender), Box::pin(body))
    }

    fn send(&self, bytes: &Bytes) {
        for at in (0..bytes.len()).step_by(64 * 1024) {
            self.0.send(Ok(bytes.slice(at..bytes.len().min(at + 64 * 1024)))).unwrap();
        }
    }
}

/// Bytes without repetition nearby, different for each seed.
fn pattern(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut data = vec![0; length];
    for chunk in data.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    data.into()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
