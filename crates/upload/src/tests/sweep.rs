//! What a sweep cancels, deletes, reports and leaves alone.

use super::*;

async fn put(world: &World, key: &str, bytes: &'static [u8]) {
    let mut crc64 = bucket::Crc64Hasher::new();
    crc64.update(bytes);
    let payload = bucket::Payload::new(vec![Bytes::from_static(bytes)], crc64.value());
    world.bucket.put(key, "text/plain", &Vec::new(), &payload).await.unwrap();
}

/// A sweep from the command line beside the gateway, whose running appends it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_append_may_finish_after_its_upload_expires() {
    let world = World::start().await;
    let (dir, s3) = (world.dir.path(), &world.sandbox.s3);
    let gateway = Engine::with(dir, s3, 64 * MIB, Duration::from_secs(3)).await;
    let beside = Engine::with(dir, s3, 64 * MIB, Duration::ZERO).await;
    let sent = gateway.create_resumable("sent.bin", None).await.unwrap();
    let left = gateway.create_resumable("left.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (gateway.clone(), sent.id.clone());
    let append = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), body).await });
    sender.send(&pattern(MIB, 1));
    until("it is running", async || gateway.ledger.upload(&sent.id).await.unwrap().epoch > 0).await;
    // The other upload changed longer ago, but is kept alive.
    let broken = broken(&pattern(MIB, 2), BodyError::Interrupted);
    gateway.uploads.append(&left.id, &gateway.begin(), broken).await.unwrap_err();
    assert_eq!(beside.uploads.sweep_ended(false).await.unwrap().expired, 0, "both changed just now");
    until("the abandoned upload has expired", async || {
        gateway.uploads.keep_alive().await.unwrap();
        assert_eq!(gateway.uploads.sweep_ended(true).await.unwrap().failed, 0);
        beside.uploads.sweep_ended(false).await.unwrap().expired == 1
    })
    .await;
    assert_eq!(world.ledger.upload(&left.id).await.unwrap().state, State::Cancelled);
    sender.send(&pattern(MIB, 3));
    drop(sender);
    let done = soon(append).await.unwrap().unwrap();
    world.assert_stored(&done, &[pattern(MIB, 1), pattern(MIB, 3)].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaks_are_reported_and_stay() {
    let world = World::start().await;
    let ended = world.create("ended.bin", None).await.unwrap();
    world.uploads.cancel(&ended.id, "operator", "").await.unwrap();
    let open = world.create_resumable("open.bin", None).await.unwrap();
    let body = broken(&pattern(9 * MIB, 1), BodyError::Interrupted);
    world.uploads.append(&open.id, &world.begin(), body).await.unwrap_err();
    let ours = world.present("").await;
    assert_eq!(ours.len(), 2, "a part and a tail: {ours:?}");
    // A late attempt of an ended upload; somebody else's tail; not a tail at all; somebody else's parts.
    put(&world, &format!("files/.weighbridge/{}/0-1", ended.id), b"late").await;
    put(&world, "files/.weighbridge/01ARZ3NDEKTSV4RRFFQ69G5FAV/0-1", b"theirs").await;
    put(&world, "files/.weighbridge/loose", b"loose!").await;
    let parts = format!("files/1001/{}/other.bin", open.id);
    let multipart = world.bucket.create_multipart(&parts, "text/plain", &Vec::new()).await.unwrap();
    let part = pattern(5 * MIB, 2);
    let mut crc64 = bucket::Crc64Hasher::new();
    crc64.update(&part);
    let payload = bucket::Payload::new(vec![part], crc64.value());
    world.bucket.put_part(&parts, &multipart, 1, &payload).await.unwrap();
    let dry = world.uploads.sweep(true).await.unwrap();
    assert_eq!(world.present("").await.len(), 6, "a dry run changes nothing");
    let swept = world.uploads.sweep(false).await.unwrap();
    for swept in [&dry, &swept] {
        assert_eq!((swept.stray, swept.failed), (1, 0), "{swept:?}");
        let bytes = i64::try_from(5 * MIB).unwrap();
        assert_eq!(swept.leaks.total(LeakKind::Multipart), Total { count: 1, bytes });
        assert_eq!(swept.leaks.total(LeakKind::Tail), Total { count: 2, bytes: 12 });
        let named: Vec<_> = swept.leaks.named.iter().map(|leak| leak.key.as_str()).collect();
        assert_eq!(named.len(), 3, "{named:?}");
        assert!(named.contains(&parts.as_str()) && named.contains(&"files/.weighbridge/loose"), "{named:?}");
        assert!(swept.leaks.named.iter().all(|leak| ledger::now_ms() - leak.since < 60_000));
    }
    let left = world.present("").await;
    assert!(ours.iter().all(|key| left.contains(key)) && left.len() == 5, "{left:?}");
}

/// After an older ledger was restored, it has a complete file as unfinished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_with_a_receipt_is_never_cleared_as_cancelled() {
    let world = World::start().await;
    let upload = world.create("a.bin", None).await.unwrap();
    let until = ledger::now_ms() + 1;
    world.ledger.begin_append(&upload.id, 0, None).await.unwrap();
    world.ledger.extend_attempts(&upload.id, 1, until).await.unwrap();
    put(&world, &upload.object_key, b"whole").await;
    put(&world, &format!("{}.receipt.json", upload.object_key), b"{}").await;
    world.uploads.recover(Duration::ZERO).await.unwrap();
    assert_eq!(world.ledger.upload(&upload.id).await.unwrap().state, State::Cancelled);
    world.uploads.drain().await;
    assert_eq!(world.uploads.sweep(false).await.unwrap().failed, 1);
    assert_eq!(world.present("").await.len(), 2, "nothing is deleted");
}
