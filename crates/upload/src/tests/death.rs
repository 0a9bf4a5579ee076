//! The process dies at any call to the bucket. The next one recovers what can be recovered and sweeps the rest.

use tokio::runtime::{Builder, Runtime};

use super::*;

/// A process with tasks and connections of its own.
fn process() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Ends the process, and waits until none of its tasks runs.
fn die(process: Runtime) {
    tokio::task::block_in_place(|| process.shutdown_timeout(PATIENCE));
}

/// The process dies during a call to the bucket, before or after it was performed. Returns false if there was no such call.
async fn dies_at(world: &World, call: u64, when: When, sent: &Bytes) -> bool {
    world.faults("*", call, 1, Fault::Delay(PATIENCE * 2, when));
    let process = process();
    let (dir, s3, body) = (world.dir.path().to_owned(), world.sandbox.s3.clone(), sent.clone());
    let sending = process.spawn(async move {
        let engine = Engine::open(&dir, &s3, 64 * MIB).await;
        engine.send("a.bin", &body).await
    });
    let mut died = false;
    until("the call is held or the file is sent", async || {
        died = world.fault_report().await["rules"][0]["hit"] == 1;
        died || sending.is_finished()
    })
    .await;
    die(process);
    world.sandbox.faults().clear();
    died
}

/// The next process recovers the whole file, or nothing.
async fn assert_all_or_nothing(world: &World, sent: &Bytes) -> Option<Upload> {
    let engine = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    engine.recover_and_sweep().await;
    let complete = engine.ledger.idle_uploads(State::Complete, i64::MAX).await.unwrap();
    assert!(complete.len() <= 1);
    for state in [State::Open, State::Completing] {
        assert!(engine.ledger.idle_uploads(state, i64::MAX).await.unwrap().is_empty(), "{state:?}");
    }
    let expected: Vec<_> = complete.iter().map(|upload| upload.object_key.clone()).collect();
    // A request of the dead process may be performed after the sweep. The next sweep finds what it left.
    until("only the complete file is there", async || {
        let clean = engine.present("").await == expected;
        if !clean {
            assert!(engine.uploads.sweep(false).await.unwrap().waiting > 0, "no sweep will look again");
        }
        clean
    })
    .await;
    if let Some(upload) = complete.first() {
        engine.assert_stored(upload, sent).await;
    }
    complete.into_iter().next()
}

/// Dies at every call in turn. Returns whether the file was complete nevertheless, for each call.
async fn deaths(size: usize, when: When) -> Vec<(u64, bool)> {
    let world = World::start().await;
    let mut outcomes = Vec::new();
    for call in 0.. {
        let sent = pattern(size, call + 1);
        if !dies_at(&world, call, when, &sent).await {
            break;
        }
        let complete = assert_all_or_nothing(&world, &sent).await;
        if let Some(upload) = &complete {
            world.uploads.remove(&upload.id, "operator").await.unwrap();
        }
        world.assert_nothing_left().await;
        outcomes.push((call, complete.is_some()));
    }
    outcomes
}

// The calls for a large file: create, three parts, complete. For a small one: put.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_before_each_call_of_a_large_file() {
    let outcomes = deaths(LARGE, When::Before).await;
    assert_eq!(outcomes, [(0, false), (1, false), (2, false), (3, false), (4, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_after_each_call_of_a_large_file() {
    let outcomes = deaths(LARGE, When::After).await;
    assert_eq!(outcomes, [(0, false), (1, false), (2, false), (3, false), (4, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_before_the_put_of_a_small_file() {
    assert_eq!(deaths(SMALL, When::Before).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_after_the_put_of_a_small_file() {
    assert_eq!(deaths(SMALL, When::After).await, [(0, true)]);
}

/// Dies at arbitrary moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_at_any_time() {
    let world = World::start().await;
    for round in 0..8_u64 {
        let sent = pattern(LARGE, 100 + round);
        let process = process();
        let (dir, s3, body) = (world.dir.path().to_owned(), world.sandbox.s3.clone(), sent.clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        process.spawn(async move {
            let engine = Engine::open(&dir, &s3, 64 * MIB).await;
            begun.send(()).unwrap();
            engine.send("a.bin", &body).await
        });
        begins.await.unwrap();
        tokio::time::sleep(Duration::from_millis(round * 40)).await;
        die(process);
        if let Some(upload) = assert_all_or_nothing(&world, &sent).await {
            world.uploads.remove(&upload.id, "operator").await.unwrap();
        }
        world.assert_nothing_left().await;
    }
}

/// Dies while the sender stalls in the middle of a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_while_the_body_stalls() {
    let world = World::start().await;
    let process = process();
    let (sender, body) = Sender::new();
    let (dir, s3) = (world.dir.path().to_owned(), world.sandbox.s3.clone());
    process.spawn(async move {
        let engine = Engine::open(&dir, &s3, 64 * MIB).await;
        let upload = engine.create("a.bin", None).await.unwrap();
        engine.uploads.append(&upload.id, &engine.begin(), body).await
    });
    sender.send(&pattern(18 * MIB, 1));
    until("two parts are durable", async || {
        let open = world.ledger.idle_uploads(State::Open, i64::MAX).await.unwrap();
        open.first().is_some_and(|upload| usize::try_from(upload.offset) == Ok(16 * MIB))
    })
    .await;
    die(process);
    assert!(assert_all_or_nothing(&world, &Bytes::new()).await.is_none());
    world.assert_nothing_left().await;
}

/// Dies after the last byte is durable and before the upload is completed. A sender that asks for the offset has nothing to send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fully_received_upload_is_completed_by_recovery() {
    let world = World::start().await;
    for size in [MIB, LARGE] {
        let sent = pattern(size, 7);
        let upload = world.create_resumable("whole.bin", Some(size as u64)).await.unwrap();
        let append = Append { end: crate::End::Later, body_bytes: Some(size as u64), ..world.begin() };
        let open = world.uploads.append(&upload.id, &append, frames(&sent)).await.unwrap();
        assert_eq!((open.state, open.offset), (State::Open, open.length.unwrap()));
        let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
        next.uploads.recover(Duration::from_secs(60)).await.unwrap();
        assert_eq!(next.ledger.upload(&upload.id).await.unwrap().state, State::Open, "it changed just now");
        next.uploads.recover(Duration::ZERO).await.unwrap();
        next.assert_stored(&next.ledger.upload(&upload.id).await.unwrap(), &sent).await;
        next.recover_and_sweep().await;
        assert_eq!(world.present("").await, [upload.object_key]);
        world.uploads.remove(&upload.id, "operator").await.unwrap();
        world.assert_nothing_left().await;
    }
}
