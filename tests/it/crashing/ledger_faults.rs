//! The ledger fails a resumable upload: a full disk, or a lock held longer than the timeout. Nothing acknowledged is lost,
//! the sender is told to resume, and resuming works.

mod full;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tests::{Answer, Gateway, RawClient, Sandbox, ask, curl, eventually, noise};

/// A gateway whose ledger is a file that the test may damage.
struct Setting {
    gateway: Gateway,
    sandbox: Sandbox,
}

impl Setting {
    fn start() -> Self {
        let sandbox = Sandbox::start_with_file();
        let gateway = sandbox.gateway();
        Self { gateway, sandbox }
    }

    fn ledger(&self) -> PathBuf {
        self.sandbox.data().join("ledger.db")
    }

    /// Starts an upload and sends this much of it; returns its own address.
    fn begin(&self, name: &str, bytes: &[u8], until: usize) -> String {
        let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"");
        let length = format!("Upload-Length: {}", bytes.len());
        let url = format!("{}/uploads", self.sandbox.link("acme"));
        let made = ask("POST", &url, &["Upload-Complete: ?0", &disposition, &length], b"");
        assert_eq!(made.status, 201, "{made:?}");
        let own = made.headers["location"].clone();
        let range = format!("Content-Range: bytes 0-{}/{}", until - 1, bytes.len());
        let answer = ask("PUT", &own, &[&range], &bytes[..until]);
        assert_eq!((answer.status, answer.offset()), (204, until), "{answer:?}");
        own
    }

    /// Takes the ledger's only place to write.
    async fn lock(&self) -> SqliteConnection {
        let mut held = SqliteConnectOptions::new()
            .filename(self.ledger())
            .busy_timeout(Duration::from_secs(10))
            .connect()
            .await
            .unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
        held
    }

    /// Resumes and returns the receipt.
    async fn finish(&self, own: &str, bytes: &[u8], at_least: usize) -> Value {
        let offset = eventually("the offset is reported", || {
            let state = curl(&["-I", own]);
            (state.status == 204).then(|| state.offset())
        });
        assert!(offset >= at_least, "{at_least} bytes were acknowledged, {offset} are left");
        let done = self.sandbox.resume(own, bytes, offset);
        assert_eq!(done.status, 201, "{done:?}");
        self.sandbox.arrived_once(&done.json(), bytes).await;
        done.json()
    }
}

#[track_caller]
fn is_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// Sends the rest of a file in the background.
fn send(own: &str, bytes: &[u8], offset: usize) -> std::thread::JoinHandle<Answer> {
    let (own, rest) = (own.to_owned(), bytes[offset..].to_vec());
    let header = format!("Upload-Offset: {offset}");
    std::thread::spawn(move || ask("PUT", &own, &[&header], &rest))
}

#[tokio::test]
async fn short_lock_only_delays_senders() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 31);
    let own = setting.begin("short.bin", &bytes, 10_000_000);
    let lock = setting.lock().await;
    let sending = send(&own, &bytes, 10_000_000);
    // It waits; a look meanwhile is answered.
    eventually("it is asked while it is locked", || {
        (curl(&["-I", &own]).offset() == 10_000_000).then_some(())
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!sending.is_finished());
    lock.close().await.unwrap();
    let done = sending.join().unwrap();
    assert_eq!(done.status, 201, "{done:?}");
    setting.sandbox.arrived_once(&done.json(), &bytes).await;
}

#[tokio::test]
async fn long_lock_keeps_acknowledged_bytes() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 32);
    let whole = setting.begin("long.bin", &bytes, 10_000_000);
    // One in the middle of its body, and one that begins while it is locked.
    let other = noise(30_000_000, 33);
    let running = setting.begin("running.bin", &other, 1_000_000);
    let length = format!("Content-Length: {}", other.len() - 1_000_000);
    let mut raw = RawClient::request("PUT", &running, &[&length, "Upload-Offset: 1000000"]);
    assert!(raw.send(&other[1_000_000..12_000_000]));
    let acknowledged = eventually("a part is committed", || {
        let offset = curl(&["-I", &running]).offset();
        (offset > 1_000_000).then_some(offset)
    });
    let (lock, locked) = (setting.lock().await, Instant::now());
    let sending = send(&whole, &bytes, 10_000_000);
    let rest = other[12_000_000..].to_vec();
    let reading = std::thread::spawn(move || {
        raw.send(&rest);
        raw.answer()
    });
    let refused = sending.join().unwrap();
    is_unavailable(&refused);
    is_unavailable(&reading.join().unwrap().unwrap());
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(locked.elapsed())).await;
    lock.close().await.unwrap();
    let receipts = [
        setting.finish(&running, &other, acknowledged).await,
        setting.finish(&whole, &bytes, 10_000_000).await,
    ];
    setting.sandbox.holds_only(&setting.gateway, &receipts.each_ref()).await;
}
