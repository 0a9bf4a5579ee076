//! The store fails a resumable upload: parts refused, answers lost, parts overwritten, multipart uploads gone, no space.
//! The offset never covers a gap, the object is what was sent, and no call is wasted.

mod again;
mod away;
mod proxied;

use bucket::{Crc64Hasher, Metadata, Payload};
use bytes::Bytes;
use serde_json::json;
use tests::{
    Answer, Fate, Gateway, Moment, RawClient, S3Proxy, Sandbox, curl, eventually, noise, objects, sha256,
    side_by_side,
};

/// Parts of a file begin with this size.
const PART: usize = 8 * 1024 * 1024;

/// A gateway with a hop before its store.
struct Setting {
    gateway: Gateway,
    store_proxy: S3Proxy,
    sandbox: Sandbox,
}

impl Setting {
    fn start() -> Self {
        let sandbox = Sandbox::start_embedded();
        let store_proxy = S3Proxy::to(&sandbox.text("/s3/endpoint"));
        let gateway = sandbox.gateway_with(|config| {
            config["support_uploader"]["endpoint"] = store_proxy.url.as_str().into();
        });
        Self { gateway, store_proxy, sandbox }
    }

    fn link(&self) -> String {
        self.sandbox.link("acme")
    }

    /// Begins an upload of this name and length; answers its own address.
    fn create(&self, name: &str, length: usize) -> String {
        let (disposition, length) = (
            format!("Content-Disposition: attachment; filename=\"{name}\""),
            format!("Upload-Length: {length}"),
        );
        let answer = tests::ask(
            "POST",
            &format!("{}/uploads", self.link()),
            &["Upload-Complete: ?0", &disposition, &length],
            b"",
        );
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.headers["location"].clone()
    }

    /// Sends these bytes of a longer file and disconnects; they become durable.
    fn cut_off(&self, own: &str, bytes: &[u8], range: std::ops::Range<usize>) {
        let headers = [
            format!("Content-Length: {}", bytes.len() - range.start),
            format!("Upload-Offset: {}", range.start),
        ];
        let mut raw = RawClient::request("PUT", own, &headers.each_ref().map(String::as_str));
        assert!(raw.send(&bytes[range.clone()]));
        raw.half_close();
        let answer = raw.answer().unwrap();
        assert_eq!((answer.status, answer.offset()), (400, range.end), "{answer:?}");
    }

    /// The only multipart upload in the bucket.
    async fn multipart(&self) -> (String, String) {
        let mut there = self.sandbox.bucket(None).await.multiparts("").await.unwrap();
        assert_eq!(there.len(), 1, "{there:?}");
        there.remove(0)
    }

    async fn arrived(&self, answer: &Answer, bytes: &[u8]) {
        assert_eq!(answer.status, 201, "{answer:?}");
        let receipt = answer.json();
        self.sandbox.arrived_once(&receipt, bytes).await;
        self.sandbox.holds_only(&self.gateway, &[&receipt]).await;
    }
}

/// The store is down: asserts that the sender is told when to retry, and returns the offset.
#[track_caller]
fn assert_resumable(answer: &Answer) -> usize {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert!(answer.json()["detail"].as_str().unwrap().contains("tail -c +"), "{answer:?}");
    answer.offset()
}

/// What happens to every attempt to send one part.
#[derive(Debug)]
struct Loss {
    part: u32,
    moment: Moment,
    fate: Fate,
    /// Whether another process resumes.
    restarted: bool,
}

async fn lost(loss: &Loss) {
    let mut setting = Setting::start();
    let bytes = noise(40_000_000, u64::from(loss.part));
    let own = setting.create("lossy.bin", bytes.len());
    let (part, moment, fate) = (loss.part, loss.moment, loss.fate);
    setting.store_proxy.decide(
        move |call, now| {
            if call.part() == part && now == moment { fate } else { Fate::Pass }
        },
    );
    let answer = setting.sandbox.resume(&own, &bytes, 0);
    let offset = assert_resumable(&answer);
    assert_eq!(offset, (part as usize - 1) * PART, "the parts before it, and none after the gap: {answer:?}");
    let performed = setting.store_proxy.calls(Moment::Performed);
    assert!(performed.iter().any(|call| call.part() > part), "no later part landed: {performed:?}");
    assert_eq!(curl(&["-I", &own]).offset(), offset);
    setting.store_proxy.pass_all();
    if loss.restarted {
        // A dead process has nothing in flight: the next one continues at once.
        setting.gateway.kill();
        setting.gateway.restart();
    }
    assert_eq!(curl(&["-I", &own]).offset(), offset);
    let done = setting.sandbox.resume(&own, &bytes, offset);
    setting.arrived(&done, &bytes).await;
}

fn losses(restarted: bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    for part in [1, 3] {
        for (moment, fate) in [
            (Moment::Arrived, Fate::Refuse(503, "SlowDown")),
            (Moment::Arrived, Fate::Drop),
            (Moment::Performed, Fate::Drop),
        ] {
            losses.push(Loss { part, moment, fate, restarted });
        }
    }
    losses
}

#[test]
fn lost_part_is_resent_after_a_restart() {
    side_by_side(3, &losses(true), lost);
}

/// A part, with the checksum that S3 verifies.
fn payload(bytes: &[u8]) -> Payload {
    let mut crc64 = Crc64Hasher::new();
    crc64.update(bytes);
    Payload::new(vec![Bytes::copy_from_slice(bytes)], crc64.value())
}

/// An older sender's attempt arrives after the part was committed: at the end of the file it is found out.
#[tokio::test]
async fn part_overwritten_by_a_stale_writer_is_detected() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 11);
    let bucket = setting.sandbox.bucket(None).await;
    let own = setting.create("stale.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..20_000_000);
    let (key, multipart_id) = setting.multipart().await;
    bucket.put_part(&key, &multipart_id, 2, &payload(&noise(PART, 12))).await.unwrap();
    let done = setting.sandbox.resume(&own, &bytes, 20_000_000);
    assert_eq!((done.status, done.problem().as_str()), (410, "/problems/upload-gone"), "{done:?}");
    assert!(done.json()["detail"].as_str().unwrap().contains("Send the file again"), "{done:?}");
    assert!(!objects(&bucket).await.contains(&key), "other bytes are in an object");
    assert!(setting.gateway.log().contains("ERROR"), "an operator is told");
    assert_eq!(curl(&["-I", &own]).status, 410);
    let again = setting.sandbox.send(&setting.link(), "stale.bin", &bytes);
    setting.arrived(&again, &bytes).await;
}

/// When somebody else takes the multipart upload away.
#[derive(Debug)]
enum Taken {
    /// While nobody sends.
    AtRest,
    /// In the middle of an append.
    OnTheWay,
    /// Before it is completed.
    AtTheEnd,
}

async fn taken(when: &Taken) {
    let setting = Setting::start();
    let bytes = noise(40_000_000, 13);
    let bucket = setting.sandbox.bucket(None).await;
    let own = setting.create("taken.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..20_000_000);
    let (key, multipart_id) = &setting.multipart().await;
    let answer = match when {
        Taken::AtRest => {
            bucket.abort_multipart(key, multipart_id).await.unwrap();
            setting.sandbox.resume(&own, &bytes, 20_000_000)
        }
        Taken::OnTheWay => {
            let length = format!("Content-Length: {}", bytes.len() - 20_000_000);
            let mut raw = RawClient::request("PUT", &own, &[&length, "Upload-Offset: 20000000"]);
            assert!(raw.send(&bytes[20_000_000..30_000_000]));
            eventually("a part is committed", || (curl(&["-I", &own]).offset() > 20_000_000).then_some(()));
            bucket.abort_multipart(key, multipart_id).await.unwrap();
            raw.send(&bytes[30_000_000..]);
            raw.answer().unwrap()
        }
        Taken::AtTheEnd => {
            setting.cut_off(&own, &bytes, 20_000_000..39_000_000);
            let (key, multipart_id) = (key.clone(), multipart_id.clone());
            let (taker, runtime) = (bucket.clone(), tokio::runtime::Handle::current());
            setting.store_proxy.decide(move |call, moment| {
                if call.operation == "CompleteMultipartUpload" && moment == Moment::Arrived {
                    let (taker, key, multipart_id) = (taker.clone(), key.clone(), multipart_id.clone());
                    let taken =
                        runtime.spawn(async move { taker.abort_multipart(&key, &multipart_id).await });
                    // The request continues when it is gone.
                    while !taken.is_finished() {
                        std::thread::yield_now();
                    }
                }
                Fate::Pass
            });
            let (sandbox, own, bytes) = (&setting.sandbox, own.clone(), &bytes);
            tokio::task::block_in_place(|| sandbox.resume(&own, bytes, 39_000_000))
        }
    };
    // A store may fail in the middle of a call; the retry is told.
    let answer = match answer.status {
        503 => setting.sandbox.resume(&own, &bytes, answer.offset()),
        _ => answer,
    };
    assert_eq!((answer.status, answer.problem().as_str()), (410, "/problems/upload-gone"), "{answer:?}");
    assert!(answer.json()["detail"].as_str().unwrap().contains("Send the file again"), "{answer:?}");
    assert_eq!(curl(&["-I", &own]).status, 410);
    setting.store_proxy.pass_all();
    let again = setting.sandbox.send(&setting.link(), "taken.bin", &bytes);
    setting.arrived(&again, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_restarts_when_its_parts_were_removed() {
    for when in [Taken::AtRest, Taken::OnTheWay, Taken::AtTheEnd] {
        taken(&when).await;
    }
}

/// How servers say that their disks are full.
#[derive(Debug)]
struct Full {
    operation: &'static str,
    status: u16,
    code: &'static str,
    restarted: bool,
}

async fn full(case: &Full) {
    let mut setting = Setting::start();
    let bytes = noise(20_000_000, 14);
    let own = setting.create("full.bin", bytes.len());
    let begun = if case.operation == "PutObject" { 1_000_000 } else { 10_000_000 };
    setting.cut_off(&own, &bytes, 0..begun);
    let (operation, status, code) = (case.operation, case.status, case.code);
    setting.store_proxy.decide(move |call, moment| {
        if call.operation == operation && moment == Moment::Arrived {
            Fate::Refuse(status, code)
        } else {
            Fate::Pass
        }
    });
    let until = if case.operation == "PutObject" { begun + 1_000_000 } else { bytes.len() };
    let range = format!("Content-Range: bytes {begun}-{}/{}", until - 1, bytes.len());
    let answer = tests::ask("PUT", &own, &[&range], &bytes[begun..until]);
    assert_eq!(assert_resumable(&answer), begun, "{answer:?}");
    setting.store_proxy.pass_all();
    if case.restarted {
        setting.gateway.kill();
        setting.gateway.restart();
    }
    assert_eq!(curl(&["-I", &own]).offset(), begun, "what was acknowledged is kept");
    let done = setting.sandbox.resume(&own, &bytes, begun);
    setting.arrived(&done, &bytes).await;
}

/// Such a server, for this operation.
fn full_for(operation: &'static str, restarted: bool) -> Vec<Full> {
    [(507, "InsufficientStorage"), (507, "XMinioStorageFull"), (500, "InternalError"), (503, "SlowDown")]
        .into_iter()
        .map(|(status, code)| Full { operation, status, code, restarted })
        .collect()
}

#[test]
fn full_store_keeps_what_it_has() {
    let mut cases = full_for("PutObject", false);
    cases.extend(full_for("UploadPart", true));
    side_by_side(4, &cases, full);
}

#[tokio::test]
async fn resuming_reads_back_only_the_tail() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 15);
    let own = setting.create("cheap.bin", bytes.len());
    // Two parts, and a tail of less than a part may have.
    let cut = 2 * PART + 3_000_000;
    setting.cut_off(&own, &bytes, 0..cut);
    let by_name = format!("{}/cheap.bin", setting.link());
    setting.store_proxy.forget();
    setting.store_proxy.decide(|_, _| Fate::Refuse(403, "AccessDenied"));
    for url in [&own, &by_name] {
        let state = curl(&["-I", url]);
        assert_eq!((state.status, state.offset()), (204, cut), "{state:?}");
    }
    assert_eq!(curl(&[&own]).json()["offset"], cut, "the state so far");
    // Nor does a wrong one.
    let wrong = setting.sandbox.resume(&own, &bytes, PART);
    assert_eq!((wrong.status, wrong.offset()), (409, cut), "{wrong:?}");
    assert_eq!(setting.store_proxy.calls(Moment::Arrived), [], "a HEAD asked the store");
    setting.store_proxy.pass_all();
    let done = setting.sandbox.resume(&own, &bytes, cut);
    let upload = done.json()["id"].as_str().unwrap().to_owned();
    let calls = setting.store_proxy.calls(Moment::Arrived);
    let reads: Vec<_> = calls.iter().filter(|call| call.operation == "GetObject").collect();
    let hidden = format!("/.weighbridge/{upload}/");
    assert!(reads.len() == 1 && reads[0].target.contains(&hidden), "{reads:?}");
    let parts: Vec<_> =
        calls.iter().filter(|call| call.operation == "UploadPart").map(tests::Call::part).collect();
    assert!(parts.iter().all(|number| *number > 2), "parts that were stored are sent again: {parts:?}");
    setting.arrived(&done, &bytes).await;
}

/// The same bytes under another ETag, as a late attempt of an older sender leaves them.
#[tokio::test]
async fn identical_part_from_a_stale_writer_is_adopted() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 11);
    let bucket = setting.sandbox.bucket(None).await;
    let own = setting.create("same.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..20_000_000);
    let (key, multipart_id) = setting.multipart().await;
    bucket.put_part(&key, &multipart_id, 2, &payload(&bytes[PART..2 * PART])).await.unwrap();
    let done = setting.sandbox.resume(&own, &bytes, 20_000_000);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &json!(sha256(&bytes))), "{done:?}");
    setting.arrived(&done, &bytes).await;
}

/// A tail is read back when its sender resumes, which detects foreign bytes.
#[tokio::test]
async fn changed_tail_is_detected() {
    let setting = Setting::start();
    let bytes = noise(12_000_000, 17);
    let own = setting.create("tail.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..1_000_000);
    let bucket = setting.sandbox.bucket(None).await;
    let tail = objects(&bucket).await.pop().unwrap();
    assert!(tail.starts_with(".weighbridge/"), "{tail}");
    let other = payload(&noise(1_000_000, 18));
    bucket.put(&tail, "application/octet-stream", &Metadata::new(), &other).await.unwrap();
    let answer = setting.sandbox.resume(&own, &bytes, 1_000_000);
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    assert_eq!(curl(&["-I", &own]).offset(), 1_000_000, "it may yet be what was stored");
    assert!(setting.gateway.log().contains("an operator must investigate"), "an operator is told");
    // Its sender gives it up.
    assert_eq!(curl(&["-X", "DELETE", &own]).status, 204);
    let again = setting.sandbox.send(&setting.link(), "tail.bin", &bytes);
    setting.arrived(&again, &bytes).await;
}
