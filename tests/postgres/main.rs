//! Several gateways on one ledger in Postgres: any of them serves any link, each file is told of once, and what one leaves
//! when it dies resumes on another, or is cleared there. `.ci/postgres` runs it.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

mod outage;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;
use tests::{
    Gateway, Postgres, Sandbox, comments_naming, curl, eventually, eventually_async, noise, sha256,
    unfinished,
};

/// A sandbox with two gateways.
struct Pair {
    one: Gateway,
    two: Gateway,
    sandbox: Sandbox,
}

impl Pair {
    fn start() -> Self {
        let sandbox = Sandbox::start_embedded();
        assert!(sandbox.postgres().is_some(), "say where Postgres is: `.ci/postgres` does");
        let one = sandbox.gateway();
        Self { one, two: sandbox.another_gateway(), sandbox }
    }

    fn postgres(&self) -> &Postgres {
        self.sandbox.postgres().unwrap()
    }

    /// The link of `acme` at the second gateway.
    fn link_at_two(&self) -> String {
        self.sandbox.link("acme").replace(&self.sandbox.text("/url"), &self.two.url)
    }

    /// The state of the upload of that name.
    fn state(&self, name: &str) -> String {
        self.postgres().sql(&format!("SELECT state FROM uploads WHERE name = '{name}'"))
    }

    /// Waits until an upload of that name has come so far.
    fn until_state(&self, name: &str, state: &str) {
        eventually(&format!("{name} is {state}"), || (self.state(name) == state).then_some(()));
    }

    fn json(&self, url: &str) -> Value {
        curl(&["-s", url]).json()
    }
}

/// A sender that stops in the middle of its file, until it is told to resume.
struct Stalled {
    curl: Child,
    body: ChildStdin,
}

impl Stalled {
    /// Sends these bytes, and then waits.
    fn begin(link: &str, name: &str, bytes: &[u8]) -> Self {
        let mut curl = Command::new("curl")
            .args(["-sS", "--fail-with-body", "-T", "-", &format!("{link}/{name}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut body = curl.stdin.take().unwrap();
        body.write_all(bytes).unwrap();
        body.flush().unwrap();
        Self { curl, body }
    }

    /// Sends the rest; answers whether it was accepted.
    fn finish(mut self, bytes: &[u8]) -> bool {
        self.body.write_all(bytes).unwrap();
        drop(self.body);
        self.curl.wait().unwrap().success()
    }
}

#[tokio::test]
async fn file_is_visible_on_the_other_gateway_with_one_note() {
    let pair = Pair::start();
    let links = [pair.sandbox.link("acme"), pair.link_at_two()];
    let mut ids = BTreeSet::new();
    for number in 0..6 {
        let bytes = noise(1_000 + number, 1);
        let path = pair.sandbox.scratch().join(format!("file-{number}.bin"));
        std::fs::write(&path, &bytes).unwrap();
        let link = &links[number % 2];
        let answer = curl(&["-sS", "-T", path.to_str().unwrap(), &format!("{link}/")]);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let receipt = answer.json();
        let id = receipt["id"].as_str().unwrap();
        let seen = pair.json(&format!("{}/uploads/{id}", links[(number + 1) % 2]));
        assert_eq!((&seen["sha256"], &seen["name"]), (&sha256(&bytes).into(), &receipt["name"]));
        // The same file at the other gateway: it is known.
        let again = format!("{}/", links[(number + 1) % 2]);
        let answer = curl(&["-sS", "-T", path.to_str().unwrap(), &again]);
        assert_eq!(answer.json()["id"], id);
        ids.insert(id.to_owned());
    }
    eventually_async("every file is delivered", async || {
        let waiting = pair.postgres().sql("SELECT COUNT(*) FROM uploads WHERE delivery = 'pending'");
        (waiting == "0").then_some(())
    })
    .await;
    let comments = pair.sandbox.comments("1001").await;
    for id in &ids {
        assert_eq!(comments_naming(&comments, id), 1, "{id} in {comments:#?}");
    }
}

#[tokio::test]
async fn upload_of_a_dead_gateway_resumes_on_another() {
    let mut pair = Pair::start();
    // More than a part, so that something of it is in the bucket.
    let begun = noise(9_000_000, 2);
    let dead = Stalled::begin(&pair.sandbox.link("acme"), "dead.bin", &begun);
    let bucket = pair.sandbox.bucket(None).await;
    eventually_async("a part is stored", async || (!unfinished(&bucket).await.is_empty()).then_some(()))
        .await;
    let alive = Stalled::begin(&pair.link_at_two(), "alive.bin", &begun);
    pair.until_state("alive.bin", "open");
    pair.one.kill();
    assert!(!dead.finish(b"the rest"));
    // Its parts may still be in flight; skip their deadline.
    pair.postgres().sql("UPDATE parts SET deadline = 0");
    let at_two = format!("{}/dead.bin", pair.link_at_two());
    let offset: usize = curl(&["-I", &at_two]).headers["upload-offset"].parse().unwrap();
    assert!(offset > 0 && offset <= begun.len(), "{offset}");
    let rest = pair.sandbox.file("rest", "rest", &begun[offset..]);
    let header = format!("Upload-Offset: {offset}");
    let done = curl(&["-H", &header, "-T", rest.to_str().unwrap(), &at_two]);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &sha256(&begun).into()), "{done:?}");
    // A gateway that starts beside another one takes nothing of the other's for abandoned.
    pair.one.restart();
    assert_eq!(pair.state("alive.bin"), "open");
    assert!(alive.finish(b"the rest"));
    assert_eq!(pair.state("alive.bin"), "complete");
    eventually_async("nothing of the dead one is left", async || {
        pair.two.sweep();
        unfinished(&bucket).await.is_empty().then_some(())
    })
    .await;
}

/// A gateway that runs says so of each upload, so that no other takes it for abandoned; and it looks whether it was ended.
#[tokio::test]
async fn active_uploads_are_kept_and_ended_ones_stop() {
    let pair = Pair::start();
    let stalled = Stalled::begin(&pair.sandbox.link("acme"), "stalled.bin", b"some bytes, and then nothing");
    pair.until_state("stalled.bin", "open");
    let moved = || pair.postgres().sql("SELECT updated_at FROM uploads").parse::<i64>().unwrap();
    let first = moved();
    eventually("it is said to be worked on, without a byte", || (moved() > first).then_some(()));
    pair.postgres().sql("UPDATE uploads SET state = 'cancelled', epoch = epoch + 1");
    // curl waits for its own input, and would not see the answer.
    eventually("it is ended here, too", || pair.one.log().contains("upload ended").then_some(()));
    assert!(!stalled.finish(b"too late"));
}

/// Where a link has room for one, a newer upload of the name waits for one that another gateway is receiving, and takes the
/// place of one that nobody receives any more.
#[tokio::test]
async fn upload_is_replaced_only_when_no_gateway_receives_it() {
    let mut pair = Pair::start();
    let link = pair.one.make_link(&["--partner", "acme", "--ticket", "1001", "--max-open", "1"]);
    let at_two = format!("{}/same.bin", link.replace(&pair.sandbox.text("/url"), &pair.two.url));
    let path = pair.sandbox.file("newer", "same.bin", b"newer");
    let send = || curl(&["-T", path.to_str().unwrap(), &at_two]);
    let sending = Stalled::begin(&link, "same.bin", b"older");
    pair.until_state("same.bin", "open");
    assert_eq!(send().status, 429);
    assert!(sending.finish(b", and whole"));
    assert_eq!(pair.state("same.bin"), "complete");
    let left = Stalled::begin(&link, "same.bin", b"older");
    eventually("it is open", || pair.state("same.bin").contains("open").then_some(()));
    pair.one.kill();
    assert!(!left.finish(b""));
    eventually("nobody receives it any more", || (send().status == 201).then_some(()));
}

/// Within seconds: the older gateway sees that the upload is no longer its own.
#[tokio::test]
async fn newer_request_takes_over_from_a_half_dead_one() {
    let pair = Pair::start();
    let bytes = noise(30_000_000, 4);
    // 20 MB have arrived, the connection is open, and its sender is gone.
    let half_dead = Stalled::begin(&pair.sandbox.link("acme"), "half.bin", &bytes[..20_000_000]);
    let at_two = format!("{}/half.bin", pair.link_at_two());
    let offset = eventually("two parts are committed", || {
        let offset: usize = curl(&["-I", &at_two]).headers.get("upload-offset")?.parse().ok()?;
        (offset >= 16_000_000).then_some(offset)
    });
    let rest = pair.sandbox.file("rest", "rest", &bytes[offset..]);
    let header = format!("Upload-Offset: {offset}");
    let begun = std::time::Instant::now();
    let done = curl(&["-H", &header, "-T", rest.to_str().unwrap(), &at_two]);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &sha256(&bytes).into()), "{done:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    eventually("the older one has ended", || pair.one.log().contains("superseded").then_some(()));
    assert!(!half_dead.finish(b"too late"));
}

/// The offset that the second tells stays, though the first still gets bytes.
#[tokio::test]
async fn asking_another_gateway_for_the_offset_ends_the_older_request() {
    let pair = Pair::start();
    let bytes = noise(40_000_000, 5);
    let mut older = Stalled::begin(&pair.sandbox.link("acme"), "asked.bin", &bytes[..20_000_000]);
    let at_two = format!("{}/asked.bin", pair.link_at_two());
    let offset_of = |arguments: &[&str]| -> Option<usize> {
        curl(&[&["-I", &at_two], arguments].concat()).headers.get("upload-offset")?.parse().ok()
    };
    eventually("two parts are committed", || offset_of(&[]).filter(|offset| *offset >= 16_000_000));
    let offset = offset_of(&["-H", "Upload-Draft-Interop-Version: 8"]).unwrap();
    // curl exits when it is told.
    let _ = older.body.write_all(&bytes[20_000_000..38_000_000]);
    let rest = pair.sandbox.file("rest", "rest", &bytes[offset..]);
    let header = format!("Upload-Offset: {offset}");
    let done = curl(&["-H", &header, "-T", rest.to_str().unwrap(), &at_two]);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &sha256(&bytes).into()), "{done:?}");
    let _ = older.curl.kill();
    let _ = older.curl.wait();
}

/// After a crash a gateway that is alone takes everything up at once: what its sender may resume stays, and what nobody
/// can know of goes.
#[tokio::test]
async fn single_gateway_keeps_resumable_uploads() {
    let mut pair = Pair::start();
    pair.two.kill();
    let link = pair.sandbox.link("acme");
    let [url, nothing] = ["left.bin", "nothing.bin"].map(|name| format!("{link}/{name}"));
    let left = Stalled::begin(&link, "left.bin", &noise(20_000_000, 3));
    eventually("a part is committed", || {
        let offset: usize = curl(&["-I", &url]).headers.get("upload-offset")?.parse().ok()?;
        (offset > 0).then_some(())
    });
    let begun = Stalled::begin(&link, "nothing.bin", b"");
    pair.until_state("nothing.bin", "open");
    pair.one.kill();
    assert!(!left.finish(b"") && !begun.finish(b""));
    pair.one.restart();
    assert_eq!((pair.state("left.bin").as_str(), pair.state("nothing.bin").as_str()), ("open", "cancelled"));
    assert_eq!((curl(&["-I", &url]).status, curl(&["-I", &nothing]).status), (204, 404));
}
