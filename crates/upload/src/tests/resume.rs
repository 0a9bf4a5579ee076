//! What is kept of an interrupted append, and how it is resumed.

use std::collections::HashSet;

use super::*;
use crate::{Algorithm, Digest, End};

/// Appends this range of the file.
async fn part_of(
    engine: &Engine,
    id: &str,
    file: &Bytes,
    range: std::ops::Range<usize>,
    end: End,
) -> Result<Upload> {
    let append =
        Append { offset: range.start as u64, body_bytes: Some(range.len() as u64), end, ..engine.begin() };
    soon(engine.uploads.append(id, &append, frames(&file.slice(range)))).await
}

/// Appends this range of the file, after which the connection breaks. All of it is durable.
async fn cut_off(engine: &Engine, id: &str, file: &Bytes, range: std::ops::Range<usize>) {
    let append = Append { offset: range.start as u64, ..engine.begin() };
    let body = broken(&file.slice(range.clone()), BodyError::Interrupted);
    let error = soon(engine.uploads.append(id, &append, body)).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { received } if received == range.len() as u64), "{error}");
    assert_eq!(engine.offset_of(id).await, range.end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_received_byte_is_kept() {
    let world = World::start().await;
    for cuts in [
        vec![0],
        vec![1],
        vec![MIB, 2 * MIB],
        vec![5 * MIB - 1, 5 * MIB, 5 * MIB + 1],
        vec![8 * MIB, 16 * MIB],
        vec![8 * MIB + 1, 8 * MIB + 2, 13 * MIB + 3, 20 * MIB],
    ] {
        let size = cuts.last().unwrap() + 3 * MIB + 7;
        let file = pattern(size, size as u64);
        let upload = world.create_resumable("a.bin", None).await.unwrap();
        let mut at = 0;
        for cut in &cuts {
            cut_off(&world, &upload.id, &file, at..*cut).await;
            at = *cut;
        }
        let done = part_of(&world, &upload.id, &file, at..size, End::Body).await.unwrap();
        assert_eq!(done.id, upload.id);
        world.assert_stored(&done, &file).await;
        world.recover_and_sweep().await;
        let present = world.present("").await;
        assert!(!present.iter().any(|key| key.contains("(multipart")), "{cuts:?}: {present:?}");
        world.uploads.remove(&done.id, "operator").await.unwrap();
    }
    world.assert_memory_free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_appends_write_each_byte_a_few_times() {
    let world = World::start().await;
    let size = 11 * MIB;
    let file = pattern(size, 3);
    let upload = world.create_resumable("small.bin", Some(size as u64)).await.unwrap();
    let step = 100_000;
    for at in (0..size).step_by(step) {
        let now = part_of(&world, &upload.id, &file, at..size.min(at + step), End::Length).await.unwrap();
        assert_eq!(now.offset, i64::try_from(size.min(at + step)).unwrap());
    }
    let done = world.ledger.upload(&upload.id).await.unwrap();
    world.assert_stored(&done, &file).await;
    let calls = &world.fault_report().await["calls"]["s3"];
    let (puts, gets) = (calls["PutObject"].as_u64().unwrap(), calls["GetObject"].as_u64().unwrap());
    let appends = (size / step) as u64 + 1;
    assert!(puts <= appends + 10 && gets <= appends + 10, "{calls}");
    world.recover_and_sweep().await;
    until("the tails are deleted", async || world.present("files/.weighbridge/").await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_with_a_digest_is_kept_as_a_whole_or_not_at_all() {
    let world = World::start().await;
    let size = 20 * MIB;
    let file = pattern(size, 4);
    let upload = world.create_resumable("held.bin", Some(size as u64)).await.unwrap();
    part_of(&world, &upload.id, &file, 0..MIB, End::Later).await.unwrap();
    let digest = |bytes: &[u8]| vec![Digest { algorithm: Algorithm::Sha256, hex: sha256(bytes) }];
    let append = |content| Append {
        offset: MIB as u64,
        body_bytes: Some((18 * MIB) as u64),
        end: End::Length,
        content,
        ..world.begin()
    };
    let body = file.slice(MIB..19 * MIB);
    let wrong = world.uploads.append(&upload.id, &append(digest(b"other")), frames(&body)).await;
    assert!(matches!(wrong, Err(Error::ContentMismatch { .. })), "{wrong:?}");
    assert_eq!(world.offset_of(&upload.id).await, MIB);
    let cut = broken(&body, BodyError::Interrupted);
    let cut = world.uploads.append(&upload.id, &append(digest(&body)), cut).await;
    assert!(matches!(cut, Err(Error::Interrupted { .. })), "{cut:?}");
    assert_eq!(world.offset_of(&upload.id).await, MIB);
    let right = world.uploads.append(&upload.id, &append(digest(&body)), frames(&body)).await.unwrap();
    assert_eq!((right.state, right.offset), (State::Open, i64::try_from(19 * MIB).unwrap()));
    let done = part_of(&world, &upload.id, &file, 19 * MIB..size, End::Length).await.unwrap();
    world.assert_stored(&done, &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_parts_survive_a_crash() {
    let world = World::start().await;
    let size = 30 * MIB;
    let file = pattern(size, 5);
    let upload = world.create_resumable("dead.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (uploads, id, append) = (world.uploads.clone(), upload.id.clone(), world.begin());
    let dying = tokio::spawn(async move { uploads.append(&id, &append, body).await });
    sender.send(&file.slice(..20 * MIB));
    until("two parts are committed", async || world.offset_of(&upload.id).await == 16 * MIB).await;
    dying.abort();
    let _ = dying.await;
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    next.ledger.release_claims().await.unwrap();
    next.uploads.recover(Duration::ZERO).await.unwrap();
    assert_eq!(next.offset_of(&upload.id).await, 16 * MIB);
    let done = part_of(&next, &upload.id, &file, 16 * MIB..size, End::Body).await.unwrap();
    next.assert_stored(&done, &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_append_continues_after_a_stalled_one() {
    let world = World::start().await;
    let size = 30 * MIB;
    let file = pattern(size, 6);
    let upload = world.create_resumable("half.bin", Some(size as u64)).await.unwrap();
    let (sender, body) = Sender::new();
    let (uploads, id, append) = (world.uploads.clone(), upload.id.clone(), world.begin());
    let older = tokio::spawn(async move { uploads.append(&id, &append, body).await });
    sender.send(&file.slice(..20 * MIB));
    until("a part is committed", async || world.offset_of(&upload.id).await >= 8 * MIB).await;
    // The older one may commit more before it ends. Then the newer one gets the new offset, and retries.
    let done = loop {
        let seen = world.offset_of(&upload.id).await;
        match part_of(&world, &upload.id, &file, seen..size, End::Length).await {
            Err(Error::OffsetMismatch { expected }) => assert!(expected > i64::try_from(seen).unwrap()),
            done => break done.unwrap(),
        }
    };
    assert!(matches!(older.await.unwrap(), Err(Error::Superseded)));
    world.assert_stored(&done, &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_offsets_and_lengths_change_nothing() {
    let world = World::start().await;
    let file = pattern(3 * MIB, 7);
    let upload = world.create_resumable("w.bin", Some((3 * MIB) as u64)).await.unwrap();
    part_of(&world, &upload.id, &file, 0..MIB, End::Length).await.unwrap();
    for start in [0, MIB - 1, MIB + 1, 2 * MIB] {
        let wrong = part_of(&world, &upload.id, &file, start..2 * MIB, End::Length).await.unwrap_err();
        assert!(matches!(wrong, Error::OffsetMismatch { expected } if expected == 1 << 20), "{wrong}");
    }
    let other_length = Append { offset: MIB as u64, length: Some(5), ..world.begin() };
    let wrong = world.uploads.append(&upload.id, &other_length, frames(&file)).await.unwrap_err();
    assert!(matches!(wrong, Error::LengthMismatch { .. }), "{wrong}");
    assert_eq!(world.offset_of(&upload.id).await, MIB);
    let done = part_of(&world, &upload.id, &file, MIB..3 * MIB, End::Length).await.unwrap();
    world.assert_stored(&done, &file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_keeps_received_bytes() {
    let world = World::start().await;
    let file = pattern(10 * MIB, 8);
    let upload = world.create_resumable("s.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (uploads, id, append) = (world.uploads.clone(), upload.id.clone(), world.begin());
    let running = tokio::spawn(async move { uploads.append(&id, &append, body).await });
    sender.send(&file.slice(..9 * MIB));
    until("a part is committed", async || world.offset_of(&upload.id).await == 8 * MIB).await;
    until("all of it was read", async || world.uploads.budget().used_bytes() > 0).await;
    world.uploads.stop();
    assert!(matches!(soon(running).await.unwrap(), Err(Error::Draining)));
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    let at = next.offset_of(&upload.id).await;
    assert!(at >= 8 * MIB);
    let done = part_of(&next, &upload.id, &file, at..10 * MIB, End::Body).await.unwrap();
    next.assert_stored(&done, &file).await;
}

/// The process dies before anything is durable. An upload that its sender knows stays; one that nobody can know is cancelled, so
/// that it is not in the way of the next one of its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unacknowledged_upload_ends_with_its_process() {
    let world = World::start().await;
    let unfinished = async || {
        let found = world.uploads.unfinished(&world.link.id, "a.bin").await.unwrap();
        found.into_iter().map(|upload| upload.id).collect::<HashSet<_>>()
    };
    let known = world.create_resumable("a.bin", None).await.unwrap();
    let begun = world.create_unacknowledged("a.bin").await.unwrap();
    let durable = world.create_unacknowledged("a.bin").await.unwrap();
    let taken_up = world.create_unacknowledged("a.bin").await.unwrap();
    world.create_unacknowledged("a.bin").await.unwrap();
    let file = pattern(8 * MIB, 3);
    cut_off(&world, &durable.id, &file, 0..MIB).await;
    world.ledger.begin_append(&begun.id, 0, None).await.unwrap();
    for _ in 0..2 {
        world.ledger.begin_append(&taken_up.id, 0, None).await.unwrap();
    }
    world.uploads.recover(Duration::ZERO).await.unwrap();
    assert_eq!(unfinished().await, HashSet::from([taken_up.id, durable.id, known.id]));
    assert!(matches!(world.uploads.status(&world.link.id, &begun.id).await, Err(Error::Gone)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_and_cancelled_uploads_leave_nothing() {
    let world = World::start().await;
    let file = pattern(20 * MIB, 9);
    for cancelled in [true, false] {
        let upload = world.create_resumable("gone.bin", None).await.unwrap();
        cut_off(&world, &upload.id, &file, 0..18 * MIB).await;
        cut_off(&world, &upload.id, &file, 18 * MIB..19 * MIB).await;
        if cancelled {
            world.uploads.cancel(&upload.id, "operator", "").await.unwrap();
        } else {
            let window = Duration::ZERO;
            let engine = Engine::with(world.dir.path(), &world.sandbox.s3, 64 * MIB, window).await;
            engine.uploads.recover(Duration::ZERO).await.unwrap();
        }
        world.assert_nothing_left().await;
        let gone = world.uploads.status(&world.link.id, &upload.id).await;
        assert!(matches!(gone, Err(Error::Gone)), "{gone:?}");
    }
}
