//! Side files that arrive during the upload of their file, and files that arrive during the upload of their side file. Whichever
//! completes last, the two are compared once, and the outcome is reported.

use ledger::JobKind;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{Algorithm, SideFile};

const DELAY: Duration = Duration::from_secs(4);

fn md5(bytes: &[u8]) -> String {
    hex::encode(md5::Md5::digest(bytes))
}

/// Does the work of `delivery`: reads files back for their MD5.
fn compare_in_background(world: &World) -> AbortOnDropHandle<()> {
    let (ledger, bucket) = (world.ledger.clone(), world.bucket.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let claimed = ledger.claim_jobs(JobKind::Compare, ledger::now_ms() + 60_000).await.unwrap();
            for job in claimed.iter().flat_map(|claimed| &claimed.jobs) {
                let file = ledger.upload(&job.subject).await.unwrap();
                let md5 = bucket.md5(&file.object_key).await.unwrap();
                ledger.finish_comparison(&job.id, &file.id, Some(&md5)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }))
}

fn line(digest: &str) -> Bytes {
    Bytes::from(format!("{digest}\n"))
}

type Sending = tokio::task::JoinHandle<Result<Upload>>;

/// A file whose first half has been received. The other half is sent on a signal.
async fn half_sent(world: &World, name: &'static str, file: &Bytes) -> (oneshot::Sender<()>, Sending) {
    let (signal, signalled) = oneshot::channel();
    let (reached, has_reached) = oneshot::channel();
    let (engine, file) = (world.engine.clone(), file.clone());
    let sending = tokio::spawn(async move {
        let length = Some(file.len() as u64);
        let (first, second) = (file.slice(..file.len() / 2), file.slice(file.len() / 2..));
        let second = stream::once(async move {
            reached.send(()).unwrap();
            signalled.await.unwrap();
            Ok(second)
        });
        let upload = engine.create(name, length).await?;
        let append = Append { length, ..engine.begin() };
        engine.uploads.append(&upload.id, &append, Box::pin(frames(&first).chain(second))).await
    });
    soon(has_reached).await.unwrap();
    (signal, sending)
}

async fn other_half((signal, sending): (oneshot::Sender<()>, Sending)) -> Result<Upload> {
    signal.send(()).unwrap();
    soon(sending).await.unwrap()
}

async fn announced(world: &World, name: &str) -> usize {
    world.ledger.announced(&world.link.id, name).await.unwrap().len()
}

async fn marks(world: &World) -> usize {
    let counts = world.ledger.job_counts().await.unwrap();
    let comments = counts.iter().find(|(kind, ..)| kind == JobKind::MismatchComment.name());
    comments.map_or(0, |(_, count, _)| usize::try_from(*count).unwrap())
}

async fn now(world: &World, upload: &Upload) -> Upload {
    world.ledger.upload(&upload.id).await.unwrap()
}

/// The algorithms whose digests match, whether one does not, and the number of jobs to report that.
async fn outcome(world: &World, upload: &Upload) -> (Vec<String>, bool, usize) {
    let now = now(world, upload).await;
    (now.checked, now.mismatch.is_some(), marks(world).await)
}

/// For a file of one part and one of several, the wrong digest and the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn md5_that_arrives_midway_is_compared() {
    for (size, right) in [(SMALL, true), (SMALL, false), (LARGE, true), (LARGE, false)] {
        let world = World::start().await;
        let _worker = compare_in_background(&world);
        let file = pattern(size, 1);
        let sending = half_sent(&world, "mid.bin", &file).await;
        let digest = if right { md5(&file) } else { "0".repeat(32) };
        world.send("mid.bin.md5", &line(&digest)).await.unwrap();
        assert_eq!(announced(&world, "mid.bin").await, 1, "the upload still runs");
        let upload = other_half(sending).await.unwrap();
        world.assert_stored(&upload, &file).await;
        let expected = if right { (vec!["md5".to_owned()], false, 0) } else { (vec![], true, 1) };
        assert_eq!(outcome(&world, &upload).await, expected, "{size} {right}");
        assert_eq!(upload.mismatch.is_some(), !right, "the answer tells its sender");
        assert_eq!(announced(&world, "mid.bin").await, 0);
        // It does not bind the next file of that name.
        world.send("mid.bin", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// Every byte has been compared with the digests known then, and the file is being published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digest_that_arrives_during_publication_is_compared() {
    let file = pattern(LARGE, 1);
    for (suffix, digest, checked) in [
        ("sha256", "0".repeat(64), None),
        ("sha256", sha256(&file), Some("sha-256")),
        ("md5", "0".repeat(32), None),
        ("md5", md5(&file), Some("md5")),
    ] {
        let world = World::start().await;
        let _worker = compare_in_background(&world);
        world.fault("CompleteMultipartUpload", Fault::Delay(DELAY, When::Before));
        let (engine, body) = (world.engine.clone(), file.clone());
        let sending = tokio::spawn(async move { engine.send("race.bin", &body).await });
        until("it is published", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
        world.send(&format!("race.bin.{suffix}"), &line(&digest)).await.unwrap();
        let upload = soon(sending).await.unwrap().unwrap();
        let expected = match checked {
            Some(checked) => (vec![checked.to_owned()], false, 0),
            None => (vec![], true, 1),
        };
        assert_eq!(outcome(&world, &upload).await, expected, "{suffix}");
        world.send("race.bin", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// The side file is the first to be sent and the last to be complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_arrives_before_its_side_file_is_stored_is_compared() {
    let file = pattern(LARGE, 1);
    for (suffix, digest, checked) in [
        ("sha256", sha256(&file), Some("sha-256")),
        ("sha256", "0".repeat(64), None),
        ("md5", md5(&file), Some("md5")),
        ("md5", "0".repeat(32), None),
    ] {
        let world = World::start().await;
        let _worker = compare_in_background(&world);
        world.fault("PutObject", Fault::Delay(DELAY, When::Before));
        let (engine, name, body) = (world.engine.clone(), format!("daily.log.{suffix}"), line(&digest));
        let sending = tokio::spawn(async move { engine.send(&name, &body).await });
        until("the side file is stored", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
        let upload = world.send("daily.log", &file).await.unwrap();
        let side = soon(sending).await.unwrap();
        match checked {
            Some(checked) => {
                side.unwrap();
                assert_eq!(outcome(&world, &upload).await, (vec![checked.to_owned()], false, 0));
            }
            None => {
                let is_reported = matches!(
                    &side,
                    Err(Error::DigestMismatch { side_file: Some(SideFile::After(name)), .. }) if name == "daily.log"
                );
                assert!(is_reported, "{side:?}");
                assert_eq!(outcome(&world, &upload).await, (vec![], true, 1));
                world.recover_and_sweep().await;
                assert_eq!(
                    world.present("").await,
                    std::slice::from_ref(&upload.object_key),
                    "it was refused"
                );
            }
        }
        // It was about that file and does not bind another.
        assert_eq!(announced(&world, "daily.log").await, 0);
        world.send("daily.log", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// A side file that arrives while the same file is sent again is about that file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digest_that_arrives_while_a_file_is_sent_again_is_compared() {
    let world = World::start().await;
    let _worker = compare_in_background(&world);
    let file = pattern(SMALL, 1);
    let first = world.send("again.bin", &file).await.unwrap();
    world.send("again.bin.md5", &line(&md5(&file))).await.unwrap();
    assert_eq!(outcome(&world, &first).await.0, ["md5"]);
    let sending = half_sent(&world, "again.bin", &file).await;
    world.send("again.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    let again = other_half(sending).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_eq!(outcome(&world, &first).await, (vec!["md5".to_owned()], true, 1));
    assert_eq!(announced(&world, "again.bin").await, 0);
}

/// If the comparison takes too long, neither sender waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_comparison_is_left_to_its_job() {
    let world = World::start().await;
    let file = pattern(SMALL, 1);
    let sending = half_sent(&world, "mid.bin", &file).await;
    world.send("mid.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    let upload = other_half(sending).await.unwrap();
    assert_eq!(outcome(&world, &upload).await, (vec![], false, 0), "not known yet");
    let _worker = compare_in_background(&world);
    until("it is compared", async || now(&world, &upload).await.mismatch.is_some()).await;
    assert_eq!(outcome(&world, &upload).await, (vec![], true, 1));
}

/// A side file that comes after its file is accepted if the file's MD5 is not known in time, and compared later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_file_is_compared_after_its_answer() {
    let world = World::start().await;
    let upload = world.send("mid.bin", &pattern(SMALL, 1)).await.unwrap();
    world.send("mid.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    assert_eq!(announced(&world, "mid.bin").await, 0, "it is about the file that arrived");
    let _worker = compare_in_background(&world);
    until("it is compared", async || now(&world, &upload).await.mismatch.is_some()).await;
    assert_eq!(outcome(&world, &upload).await, (vec![], true, 1));
}

/// Six wrong side files at once, and a right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_is_read_back_once() {
    let world = World::start().await;
    let _worker = compare_in_background(&world);
    let file = pattern(LARGE, 1);
    let upload = world.send("big.bin", &file).await.unwrap();
    world.faults("GetObject", 0, 0, Fault::Delay(Duration::from_millis(1), When::Before));
    let wrong = (0..6).map(|number| {
        let (engine, body) = (world.engine.clone(), line(&format!("{number:032x}")));
        tokio::spawn(async move { engine.send("big.bin.md5", &body).await })
    });
    for sent in wrong.collect::<Vec<_>>() {
        let result = soon(sent).await.unwrap();
        assert!(
            matches!(&result, Err(Error::DigestMismatch { algorithm: Algorithm::Md5, .. })),
            "{result:?}"
        );
    }
    world.send("big.bin.md5", &line(&md5(&file))).await.unwrap();
    assert_eq!(world.fault_report().await["rules"][0]["hit"], 1);
    assert_eq!(now(&world, &upload).await.checked, ["md5"]);
}
