//! Memory: refused at once when none is free, and everything arrives when there is little.

use super::*;

/// An append that holds memory until it is cancelled.
async fn holding(world: &World) -> Upload {
    let used = world.uploads.budget().used_bytes();
    let upload = world.create("holding.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (world.engine.clone(), upload.id.clone());
    tokio::spawn(async move {
        let _sender = sender;
        engine.uploads.append(&id, &engine.begin(), body).await
    });
    until("it is admitted", async || world.uploads.budget().used_bytes() > used).await;
    upload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_when_the_budget_is_exhausted_and_then_works_again() {
    let world = World::with_memory(12 * MIB).await;
    let waiting = world.create("waiting.bin", None).await.unwrap();
    let holding = holding(&world).await;
    assert!(matches!(world.create("a.bin", None).await, Err(Error::Busy { .. })));
    let sent = pattern(SMALL, 1);
    let small = world.send("small.bin", &sent).await.unwrap();
    world.assert_stored(&small, &sent).await;
    let refused = world.uploads.append(&waiting.id, &world.begin(), frames(&sent)).await;
    assert!(matches!(refused, Err(Error::Busy { .. })));
    assert!(matches!(world.uploads.status(&world.link.id, &waiting.id).await, Err(Error::Gone)));
    let again = world.uploads.append(&holding.id, &world.begin(), frames(&sent)).await;
    assert!(matches!(again, Err(Error::Busy { .. })));
    assert_eq!(world.uploads.status(&world.link.id, &holding.id).await.unwrap().state, State::Open);
    world.uploads.cancel(&holding.id).await.unwrap();
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
            // Twelve take nearly all of it: one that comes while parts are slow is told to come back, and does.
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
async fn the_smallest_budget_is_enough() {
    let world = World::with_memory(0).await;
    for size in [0, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, LARGE] {
        let sent = pattern(size, size as u64);
        let upload = soon(world.send("a.bin", &sent)).await.unwrap();
        world.assert_stored(&upload, &sent).await;
        world.assert_memory_free().await;
    }
}

/// Appends to an upload that may be resumed, as its sender sends.
async fn sending(world: &World, name: &str) -> (Upload, Sender, tokio::task::JoinHandle<Result<Upload>>) {
    let upload = world.create_resumable(name, None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (world.engine.clone(), upload.id.clone());
    let task = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), body).await });
    (upload, sender, task)
}

/// Twelve senders at a time that each stop in the middle of a part, through memory for less than two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_slow_senders_go_on_in_little_memory() {
    let world = World::with_memory(16 * MIB).await;
    let mut all = Vec::new();
    for seed in 0..12 {
        let file = pattern(7 * MIB, seed);
        let (upload, sender, task) = sending(&world, &format!("{seed}.bin")).await;
        until("it is admitted", async || world.ledger.upload(&upload.id).await.unwrap().epoch == 1).await;
        all.push((file, upload, sender, task));
    }
    for (file, _, sender, _) in &all {
        sender.send(&file.slice(..3 * MIB));
    }
    let budget = world.uploads.budget();
    for (_, upload, ..) in &all {
        until("what does not fit in memory is durable", async || {
            assert!(budget.used_bytes() <= budget.total_bytes());
            world.offset_of(&upload.id).await >= 2 * MIB
        })
        .await;
    }
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

/// Memory that a stalled sender holds comes back when somebody waits for it, and nothing of the file is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_sender_gives_its_memory_back() {
    let world = World::with_memory(12 * MIB).await;
    let file = pattern(9 * MIB, 1);
    let (upload, sender, task) = sending(&world, "stalled.bin").await;
    sender.send(&file.slice(..4 * MIB));
    let budget = world.uploads.budget();
    until("it is in memory", async || budget.used_bytes() >= 4 * MIB as u64).await;
    assert_eq!(world.offset_of(&upload.id).await, 0);
    // Not resumable: this one needs memory for a part.
    let other = pattern(LARGE, 2);
    let done = soon(world.send("other.bin", &other)).await.unwrap();
    world.assert_stored(&done, &other).await;
    assert_eq!(world.offset_of(&upload.id).await, 4 * MIB);
    sender.send(&file.slice(4 * MIB..));
    drop(sender);
    world.assert_stored(&soon(task).await.unwrap().unwrap(), &file).await;
    world.assert_memory_free().await;
}
