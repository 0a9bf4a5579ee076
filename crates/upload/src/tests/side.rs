//! Side files that come while their file is on its way, and files that come while their side file is: whichever rests
//! last, the two are compared, once, and it is said.

use tokio::sync::oneshot;

use super::*;
use crate::{Algorithm, SideFile};

const DELAY: Duration = Duration::from_secs(4);

fn md5(bytes: &[u8]) -> String {
    let mut md5 = crate::hash::Md5Hasher::default();
    md5.update(bytes);
    md5.finish()
}

fn line(digest: &str) -> Bytes {
    Bytes::from(format!("{digest}\n"))
}

type Sending = tokio::task::JoinHandle<Result<Upload>>;

/// A file whose first half has been taken in; the other comes on the word.
async fn half_sent(world: &World, name: &'static str, file: &Bytes) -> (oneshot::Sender<()>, Sending) {
    let (word, asked) = oneshot::channel();
    let (reached, has_reached) = oneshot::channel();
    let (engine, file) = (world.engine.clone(), file.clone());
    let sending = tokio::spawn(async move {
        let length = Some(file.len() as u64);
        let (first, second) = (file.slice(..file.len() / 2), file.slice(file.len() / 2..));
        let second = stream::once(async move {
            reached.send(()).unwrap();
            asked.await.unwrap();
            Ok(second)
        });
        let upload = engine.create(name, length).await?;
        let append = Append { length, ..engine.begin() };
        engine.uploads.append(&upload.id, &append, Box::pin(frames(&first).chain(second))).await
    });
    soon(has_reached).await.unwrap();
    (word, sending)
}

async fn other_half((word, sending): (oneshot::Sender<()>, Sending)) -> Result<Upload> {
    word.send(()).unwrap();
    soon(sending).await.unwrap()
}

async fn announced(world: &World, name: &str) -> usize {
    world.ledger.announced(&world.link.id, name).await.unwrap().len()
}

async fn marks(world: &World) -> usize {
    let counts = world.ledger.job_counts().await.unwrap();
    let comments = counts.iter().find(|(kind, ..)| kind == ledger::JobKind::MismatchComment.name());
    comments.map_or(0, |(_, count, _)| usize::try_from(*count).unwrap())
}

async fn now(world: &World, upload: &Upload) -> Upload {
    world.ledger.upload(&upload.id).await.unwrap()
}

/// The names of the hashes that agree, whether one does not, and how often that is to be marked.
async fn said(world: &World, upload: &Upload) -> (Vec<String>, bool, usize) {
    let now = now(world, upload).await;
    (now.checked, now.mismatch.is_some(), marks(world).await)
}

/// Of a file of one part and of one of several, the wrong digest and the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_md5_that_comes_midway_is_compared() {
    for (size, right) in [(SMALL, true), (SMALL, false), (LARGE, true), (LARGE, false)] {
        let world = World::start().await;
        let file = pattern(size, 1);
        let sending = half_sent(&world, "mid.bin", &file).await;
        let digest = if right { md5(&file) } else { "0".repeat(32) };
        world.send("mid.bin.md5", &line(&digest)).await.unwrap();
        assert_eq!(announced(&world, "mid.bin").await, 1, "it is on its way still");
        let upload = other_half(sending).await.unwrap();
        world.assert_stored(&upload, &file).await;
        let expected = if right { (vec!["md5".to_owned()], false, 0) } else { (vec![], true, 1) };
        assert_eq!(said(&world, &upload).await, expected, "{size} {right}");
        assert_eq!(upload.mismatch.is_some(), !right, "its sender is told in the answer");
        assert_eq!(announced(&world, "mid.bin").await, 0);
        // The next of that name is free.
        world.send("mid.bin", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// Every byte has been compared with what was there, and the file is being published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_comes_during_the_publication_is_compared() {
    let file = pattern(LARGE, 1);
    for (suffix, digest, checked) in [
        ("sha256", "0".repeat(64), None),
        ("sha256", sha256(&file), Some("sha-256")),
        ("md5", "0".repeat(32), None),
        ("md5", md5(&file), Some("md5")),
    ] {
        let world = World::start().await;
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
        assert_eq!(said(&world, &upload).await, expected, "{suffix}");
        world.send("race.bin", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// The side file was the first to be sent and is the last to rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_while_its_side_file_is_stored_is_compared() {
    let file = pattern(LARGE, 1);
    for (suffix, digest, checked) in [
        ("sha256", sha256(&file), Some("sha-256")),
        ("sha256", "0".repeat(64), None),
        ("md5", md5(&file), Some("md5")),
        ("md5", "0".repeat(32), None),
    ] {
        let world = World::start().await;
        world.fault("PutObject", Fault::Delay(DELAY, When::Before));
        let (engine, name, body) = (world.engine.clone(), format!("daily.log.{suffix}"), line(&digest));
        let sending = tokio::spawn(async move { engine.send(&name, &body).await });
        until("the side file is stored", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
        let upload = world.send("daily.log", &file).await.unwrap();
        let side = soon(sending).await.unwrap();
        match checked {
            Some(checked) => {
                side.unwrap();
                assert_eq!(said(&world, &upload).await, (vec![checked.to_owned()], false, 0));
            }
            None => {
                let told = matches!(
                    &side,
                    Err(Error::DigestMismatch { side_file: Some(SideFile::After(name)), .. }) if name == "daily.log"
                );
                assert!(told, "{side:?}");
                assert_eq!(said(&world, &upload).await, (vec![], true, 1));
                world.recover_and_sweep().await;
                assert_eq!(
                    world.present("").await,
                    std::slice::from_ref(&upload.object_key),
                    "it was refused"
                );
            }
        }
        // It was about that file and binds no other.
        assert_eq!(announced(&world, "daily.log").await, 0);
        world.send("daily.log", &pattern(SMALL, 2)).await.unwrap();
    }
}

/// What comes while a file's second copy is on its way is about that copy, and so about the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_comes_while_a_file_is_sent_again_is_compared() {
    let world = World::start().await;
    let file = pattern(SMALL, 1);
    let first = world.send("again.bin", &file).await.unwrap();
    world.send("again.bin.md5", &line(&md5(&file))).await.unwrap();
    assert_eq!(said(&world, &first).await.0, ["md5"]);
    let sending = half_sent(&world, "again.bin", &file).await;
    world.send("again.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    let again = other_half(sending).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_eq!(said(&world, &first).await, (vec!["md5".to_owned()], true, 1));
    assert_eq!(announced(&world, "again.bin").await, 0);
}

/// The bucket cannot be read just now, or the process dies: the comparison is made up for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_failed_is_made_up_for() {
    let world = World::start().await;
    world.faults("GetObject", 0, 0, Fault::Status(403));
    let file = pattern(LARGE, 1);
    let sending = half_sent(&world, "mid.bin", &file).await;
    world.send("mid.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    let upload = other_half(sending).await.unwrap();
    world.assert_hit().await;
    assert_eq!(said(&world, &upload).await, (vec![], false, 0), "nobody knows yet");
    world.recover_and_sweep().await;
    assert_eq!(said(&world, &upload).await, (vec![], false, 0), "nor now");
    world.sandbox.faults().clear();
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    next.recover_and_sweep().await;
    assert_eq!(said(&world, &upload).await, (vec![], true, 1));
    assert!(now(&world, &upload).await.mismatch.unwrap().ends_with(&md5(&file)));
    next.recover_and_sweep().await;
    assert_eq!(marks(&world).await, 1, "once");
}

/// Somebody has deleted the object: there is nothing to compare, and no look at it for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_is_not_looked_for_for_ever() {
    let world = World::start().await;
    world.faults("GetObject", 0, 0, Fault::Status(403));
    let file = pattern(SMALL, 1);
    let sending = half_sent(&world, "mid.bin", &file).await;
    world.send("mid.bin.md5", &line(&"0".repeat(32))).await.unwrap();
    let upload = other_half(sending).await.unwrap();
    world.sandbox.faults().clear();
    world.bucket.delete(&upload.object_key).await.unwrap();
    world.recover_and_sweep().await;
    world.faults("GetObject", 0, 0, Fault::Delay(Duration::from_millis(1), When::Before));
    world.recover_and_sweep().await;
    assert_eq!(world.fault_report().await["rules"][0]["hit"], 0, "it was looked for again");
    assert_eq!(said(&world, &upload).await, (vec![], false, 0));
}

/// Six wrong ones at once, and a right one: the file is read once, also by the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_back_once() {
    let world = World::start().await;
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
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    next.uploads.recover(Duration::ZERO).await.unwrap();
    world.send("big.bin.md5", &line(&md5(&file))).await.unwrap();
    assert_eq!(world.fault_report().await["rules"][0]["hit"], 1);
    assert_eq!(now(&world, &upload).await.checked, ["md5"]);
}
