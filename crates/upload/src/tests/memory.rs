//! Memory: a request is refused soon when none is free, and everything arrives when there is little.

use super::*;
use crate::{Algorithm, Digest};

/// The same engine with a link of another partner.
async fn another_partner(world: &World) -> Engine {
    world.ledger.put_partner("globex", "Globex", None).await.unwrap();
    let new = NewLink { partner_id: "globex".into(), created_by: "operator".into(), ..NewLink::default() };
    let link = world.ledger.create_link(&Token::random(), &new).await.unwrap();
    Engine { link, ..world.engine.clone() }
}

/// Parts in flight are stuck: their partner holds its share of the memory, and nobody else is affected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_without_memory_does_not_block_another() {
    let world = World::with_memory(0).await;
    let other = another_partner(&world).await;
    let waiting = world.create("waiting.bin", None).await.unwrap();
    world.faults("UploadPart", 0, 0, Fault::Delay(PATIENCE * 2, When::Before));
    let holding = world.create("holding.bin", None).await.unwrap();
    let (engine, id) = (world.engine.clone(), holding.id.clone());
    let sending =
        tokio::spawn(
            async move { engine.uploads.append(&id, &engine.begin(), frames(&pattern(LARGE, 1))).await },
        );
    let budget = world.uploads.budget();
    until("it holds its share", async || budget.waiting() > 0).await;
    assert!(matches!(world.create("a.bin", None).await, Err(Error::Busy { .. })));
    let sent = pattern(SMALL, 1);
    let refused = world.uploads.append(&waiting.id, &world.begin(), frames(&sent)).await;
    assert!(matches!(refused, Err(Error::Busy { .. })));
    assert!(matches!(world.uploads.status(&world.link.id, &waiting.id).await, Err(Error::Gone)));
    let again = world.uploads.append(&holding.id, &world.begin(), frames(&sent)).await;
    assert!(matches!(again, Err(Error::Busy { .. })));
    assert_eq!(world.uploads.status(&world.link.id, &holding.id).await.unwrap().state, State::Open);
    let small = soon(other.send("small.bin", &sent)).await.unwrap();
    world.assert_stored(&small, &sent).await;
    world.uploads.cancel(&holding.id, "operator", "").await.unwrap();
    world.sandbox.faults().clear();
    assert!(soon(sending).await.unwrap().is_err());
    world.assert_memory_free().await;
    let sent = pattern(LARGE, 2);
    let upload = world.send("a.bin", &sent).await.unwrap();
    world.assert_stored(&upload, &sent).await;
}

/// Twelve files of 20 MiB at a time through 64 MiB of memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budget_pressure() {
    let world = World::start().await;
    let mut sending = Vec::new();
    for seed in 0..12 {
        let engine = world.engine.clone();
        sending.push(tokio::spawn(async move {
            // Twelve take nearly all of it. One that comes while parts are slow is refused, and retries.
            loop {
                let sent = match engine.create(&format!("{seed}.bin"), None).await {
                    Ok(upload) => {
                        let body = frames(&pattern(LARGE, seed));
                        engine.uploads.append(&upload.id, &engine.begin(), body).await
                    }
                    Err(error) => Err(error),
                };
                if !matches!(sent, Err(Error::Busy { .. })) {
                    return sent;
                }
            }
        }));
    }
    let budget = world.uploads.budget();
    until("all are sent", async || {
        assert!(budget.used_bytes() <= budget.total_bytes());
        tokio::time::sleep(Duration::from_millis(1)).await;
        sending.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    for (seed, sent) in sending.into_iter().enumerate() {
        let upload = sent.await.unwrap().unwrap();
        world.assert_stored(&upload, &pattern(LARGE, seed as u64)).await;
    }
    world.assert_memory_free().await;
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await.len(), 12);
}

/// With the smallest budget every part is the smallest one, and files of any length still arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smallest_budget_is_enough() {
    let world = World::with_memory(0).await;
    for size in [0, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, LARGE] {
        let sent = pattern(size, size as u64);
        let upload = soon(world.send("a.bin", &sent)).await.unwrap();
        world.assert_stored(&upload, &sent).await;
        world.assert_memory_free().await;
    }
}

/// What is kept of an interrupted append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Everything received.
    Resumable,
    /// Nothing: a file of a form.
    NotResumable,
    /// Nothing: the request has a digest of its own.
    WithDigest,
}

const WAYS: [Kept; 3] = [Kept::Resumable, Kept::NotResumable, Kept::WithDigest];

/// Appends a file that is sent step by step.
async fn sending(
    engine: &Engine,
    name: &str,
    file: &Bytes,
    kept: Kept,
) -> (Upload, Sender, tokio::task::JoinHandle<Result<Upload>>) {
    let new = Create { resumable: kept != Kept::NotResumable, ..engine.new_upload(name, None) };
    let upload = engine.uploads.create(&new).await.unwrap();
    let mut append = engine.begin();
    if kept == Kept::WithDigest {
        append.content = vec![Digest { algorithm: Algorithm::Sha256, hex: sha256(file) }];
    }
    let (sender, body) = Sender::new();
    let (engine, id) = (engine.clone(), upload.id.clone());
    let task = tokio::spawn(async move { engine.uploads.append(&id, &append, body).await });
    (upload, sender, task)
}

/// Twelve senders stall in the middle of a part each, with memory for less than two parts. Meanwhile another partner's file
/// passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_of_every_kind_resume_in_little_memory() {
    let world = World::with_memory(16 * MIB).await;
    let other = another_partner(&world).await;
    let mut all = Vec::new();
    for (seed, kept) in (0..12).zip(WAYS.iter().cycle()) {
        let file = pattern(7 * MIB, seed);
        let (upload, sender, task) = sending(&world, &format!("{seed}.bin"), &file, *kept).await;
        sender.send(&file.slice(..3 * MIB));
        all.push((file, upload, sender, task));
    }
    let budget = world.uploads.budget();
    let stored = async || {
        let keys = world.present("files/.weighbridge/").await;
        all.iter().filter(|(_, upload, ..)| keys.iter().any(|key| key.contains(&upload.id))).count()
    };
    until("what does not fit in memory is in the bucket", async || {
        assert!(budget.used_bytes() <= budget.total_bytes());
        budget.waiting() == 0 && stored().await >= 8
    })
    .await;
    let sent = pattern(LARGE, 99);
    let passed = soon(other.send("other.bin", &sent)).await.unwrap();
    world.assert_stored(&passed, &sent).await;
    for (file, _, sender, task) in all {
        sender.send(&file.slice(3 * MIB..));
        drop(sender);
        let done = tokio::time::timeout(PATIENCE * 4, task).await.unwrap().unwrap().unwrap();
        world.assert_stored(&done, &file).await;
    }
    world.assert_memory_free().await;
    world.recover_and_sweep().await;
    until("the tails are deleted", async || world.present("files/.weighbridge/").await.is_empty()).await;
}

/// An append that is asked for its memory again and again stores one piece of a tail after the other, and merges them when they
/// are many. Nothing is lost, and a body with a digest is kept as a whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releasing_memory_repeatedly_loses_nothing() {
    let world = World::with_memory(0).await;
    for (seed, kept) in (0..).zip(WAYS) {
        for right in [true, false] {
            let file = pattern(MIB, seed);
            let (upload, sender, task) = sending(&world, &format!("{kept:?}{right}"), &file, kept).await;
            // More than there is: it waits, and so asks.
            let budget = world.uploads.budget().clone();
            let mut waiting = budget.admit("globex", "other").await.unwrap();
            let asking = tokio::spawn(async move { waiting.reserve(u64::MAX / 2).await });
            let mut sent = 0;
            for step in 1..=7 {
                sender.send(&file.slice(sent..sent + 100_000));
                sent += 100_000;
                until("it is stored", async || {
                    world.ledger.upload(&upload.id).await.unwrap().tails_written == step
                })
                .await;
            }
            let durable = if kept == Kept::WithDigest { 0 } else { sent };
            until("it is committed", async || world.offset_of(&upload.id).await == durable).await;
            asking.abort();
            if right {
                sender.send(&file.slice(sent..));
                drop(sender);
                world.assert_stored(&soon(task).await.unwrap().unwrap(), &file).await;
            } else {
                sender.0.send(Err(BodyError::Interrupted)).unwrap();
                assert!(soon(task).await.unwrap().is_err());
                let kept = if kept == Kept::Resumable { durable } else { 0 };
                if kept > 0 {
                    assert_eq!(world.offset_of(&upload.id).await, kept);
                    let append = Append { offset: kept as u64, ..world.begin() };
                    let done = world.uploads.append(&upload.id, &append, frames(&file.slice(kept..))).await;
                    world.assert_stored(&done.unwrap(), &file).await;
                }
            }
            until("its tail is deleted", async || {
                world.present(&format!("files/.weighbridge/{}", upload.id)).await.is_empty()
            })
            .await;
        }
    }
    world.assert_memory_free().await;
}

/// A stalled sender's memory is released when somebody waits for it, and nothing of its file is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_sender_s_memory_is_released() {
    let world = World::with_memory(0).await;
    for kept in WAYS {
        let file = pattern(9 * MIB, 1);
        let (upload, sender, task) = sending(&world, &format!("{kept:?}"), &file, kept).await;
        sender.send(&file.slice(..4 * MIB));
        let budget = world.uploads.budget();
        until("it is in memory", async || budget.used_bytes() >= 4 * MIB as u64).await;
        assert_eq!(world.offset_of(&upload.id).await, 0);
        // This one needs memory for parts.
        let other = pattern(LARGE, 2);
        let done = soon(world.send("other.bin", &other)).await.unwrap();
        world.assert_stored(&done, &other).await;
        let durable = if kept == Kept::WithDigest { 0 } else { 4 * MIB };
        assert_eq!(world.offset_of(&upload.id).await, durable);
        sender.send(&file.slice(4 * MIB..));
        drop(sender);
        world.assert_stored(&soon(task).await.unwrap().unwrap(), &file).await;
        world.assert_memory_free().await;
    }
}
