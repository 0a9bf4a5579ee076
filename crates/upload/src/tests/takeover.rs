//! The same file twice, a newer append of the same upload, and cancelling: which one wins, and what is left.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_file_twice_is_one_upload() {
    let world = World::start().await;
    for size in [0, SMALL, LARGE] {
        let sent = pattern(size, 1);
        let name = format!("{size}.bin");
        let first = world.send(&name, &sent).await.unwrap();
        let second = world.send(&name, &sent).await.unwrap();
        assert_eq!(first.id, second.id, "the answer is the first receipt");
        world.recover_and_sweep().await;
        let present = world.present(&format!("files/1001/{}", first.id)).await;
        assert_eq!(present, std::slice::from_ref(&first.object_key));
        world.assert_stored(&first, &sent).await;
    }
    assert_eq!(world.present("").await.len(), 3);
    let other_name = world.send("other.bin", &pattern(SMALL, 1)).await.unwrap();
    world.uploads.remove(&other_name.id, "operator").await.unwrap();
    let again = world.send("other.bin", &pattern(SMALL, 1)).await.unwrap();
    assert_ne!(other_name.id, again.id, "a removed upload is not the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_file_twice_at_once_is_one_upload() {
    let world = World::start().await;
    for size in [SMALL, LARGE] {
        let name = format!("{size}.bin");
        let sent = pattern(size, 1);
        let (one, two) = tokio::join!(world.send(&name, &sent), world.send(&name, &sent));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.id, two.id);
        world.assert_stored(&one, &sent).await;
    }
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await.len(), 2);
    world.assert_memory_free().await;
}

/// The one that waits for the other continues itself if the other fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_file_twice_and_the_first_fails() {
    let world = World::start().await;
    let sent = pattern(SMALL, 1);
    world.fault("PutObject", Fault::Status(403));
    let (one, two) = tokio::join!(world.send("a.bin", &sent), world.send("a.bin", &sent));
    world.assert_hit().await;
    world.sandbox.faults().clear();
    let ((Ok(upload), Err(_)) | (Err(_), Ok(upload))) = (one, two) else { panic!("one of two") };
    world.assert_stored(&upload, &sent).await;
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await.len(), 1);
}

/// One that is cancelled while it waits for the other ends when the other is complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_file_twice_and_the_second_is_cancelled() {
    let world = World::start().await;
    let sent = pattern(SMALL, 1);
    world.fault("PutObject", Fault::Delay(PATIENCE * 2, When::Before));
    let (engine, body) = (world.engine.clone(), sent.clone());
    let first = tokio::spawn(async move { engine.send("a.bin", &body).await });
    until("the first is being stored", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
    let second = world.create("a.bin", None).await.unwrap();
    let (engine, id, body) = (world.engine.clone(), second.id.clone(), sent.clone());
    let append =
        tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), frames(&body)).await });
    until("the second waits", async || world.ledger.upload(&second.id).await.unwrap().epoch == 1).await;
    world.uploads.cancel(&second.id, "operator", "").await.unwrap();
    world.sandbox.faults().clear();
    world.assert_stored(&soon(first).await.unwrap().unwrap(), &sent).await;
    let ended = soon(append).await.unwrap();
    assert!(matches!(ended, Err(Error::Gone)), "{ended:?}");
    world.assert_memory_free().await;
}

type Appending = tokio::task::JoinHandle<Result<Upload>>;

/// An append that stalls after these bytes.
async fn stalled(world: &World, sent: &Bytes, durable: usize) -> (Upload, Sender, Appending) {
    let upload = world.create("a.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (world.engine.clone(), upload.id.clone());
    let append = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), body).await });
    sender.send(sent);
    until("the parts are committed", async || {
        world.ledger.upload(&upload.id).await.unwrap().epoch == 1
            && world.offset_of(&upload.id).await == durable
    })
    .await;
    (upload, sender, append)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_while_running() {
    let world = World::start().await;
    for (sent, durable) in [(0, 0), (MIB, 0), (18 * MIB, 16 * MIB)] {
        let (upload, _sender, append) = stalled(&world, &pattern(sent, 1), durable).await;
        world.uploads.cancel(&upload.id, "operator", "").await.unwrap();
        let result = soon(append).await.unwrap();
        assert!(matches!(result, Err(Error::Gone)), "{result:?}");
        assert!(matches!(world.uploads.status(&world.link.id, &upload.id).await, Err(Error::Gone)));
        let again = world.uploads.append(&upload.id, &world.begin(), frames(&Bytes::new())).await;
        assert!(matches!(again, Err(Error::Gone)));
        assert!(!world.uploads.is_running(&upload.id));
        world.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_leaves_a_complete_upload_alone() {
    let world = World::start().await;
    let sent = pattern(SMALL, 1);
    let upload = world.send("a.bin", &sent).await.unwrap();
    world.uploads.cancel(&upload.id, "operator", "").await.unwrap();
    world.recover_and_sweep().await;
    world.assert_stored(&upload, &sent).await;
}

/// Cancels during every call to the bucket, before and after it is performed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_during_every_call() {
    let world = World::start().await;
    for (operation, size) in [
        ("CreateMultipartUpload", LARGE),
        ("UploadPart", LARGE),
        ("CompleteMultipartUpload", LARGE),
        ("PutObject", SMALL),
    ] {
        for when in [When::Before, When::After] {
            world.fault(operation, Fault::Delay(PATIENCE * 2, when));
            let (engine, sent) = (world.engine.clone(), pattern(size, 1));
            let sending = tokio::spawn(async move { engine.send("a.bin", &sent).await });
            until("the call is held", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
            let state = if size == SMALL || operation.starts_with("Complete") {
                State::Completing
            } else {
                State::Open
            };
            let under_way = world.ledger.idle_uploads(state, i64::MAX).await.unwrap();
            assert_eq!(under_way.len(), 1, "{operation}");
            world.uploads.cancel(&under_way[0].id, "operator", "").await.unwrap();
            world.sandbox.faults().clear();
            let result = soon(sending).await.unwrap();
            assert!(result.is_err(), "{operation} {when:?}");
            world.assert_nothing_left().await;
        }
    }
}

/// A newer append of the same upload takes over at the durable offset: at the beginning, or after two parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_append_takes_over() {
    let world = World::start().await;
    for (seed, sent_before, durable) in [(1, MIB, 0), (2, 18 * MIB, 16 * MIB)] {
        let sent = pattern(LARGE, seed);
        let (upload, _sender, older) = stalled(&world, &sent.slice(..sent_before), durable).await;
        let append = Append {
            offset: durable as u64,
            digests: vec![crate::Digest { algorithm: crate::Algorithm::Sha256, hex: sha256(&sent) }],
            length: Some(LARGE as u64),
            ..world.begin()
        };
        let newer = world.uploads.append(&upload.id, &append, frames(&sent.slice(durable..)));
        let complete = soon(newer).await.unwrap();
        assert_eq!(complete.id, upload.id);
        assert!(matches!(soon(older).await.unwrap(), Err(Error::Superseded)));
        world.assert_stored(&complete, &sent).await;
        world.recover_and_sweep().await;
        world.assert_stored(&complete, &sent).await;
    }
    assert_eq!(world.present("").await.len(), 2);
    world.assert_memory_free().await;
}

/// The older append has a part in flight: the newer one waits for it, and skips its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_append_waits_for_parts_in_flight() {
    let world = World::start().await;
    world.fault("UploadPart", Fault::Delay(PATIENCE * 2, When::Before));
    let sent = pattern(12 * MIB, 1);
    let (upload, _sender, older) = stalled(&world, &sent.slice(..9 * MIB), 0).await;
    until("the part is in flight", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
    let used = world.uploads.budget().used_bytes();
    let (engine, id, all) = (world.engine.clone(), upload.id.clone(), sent.clone());
    let newer = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), frames(&all)).await });
    until("the newer is admitted", async || world.uploads.budget().used_bytes() > used).await;
    world.sandbox.faults().clear();
    assert!(matches!(soon(older).await.unwrap(), Err(Error::Superseded)));
    let complete = soon(newer).await.unwrap().unwrap();
    assert_eq!(
        world.ledger.parts(&upload.id).await.unwrap()[0].size,
        8 << 20,
        "the older append's part counts"
    );
    world.assert_stored(&complete, &sent).await;
}

/// Nothing of the older append is durable. That would cancel its upload, but a newer append has it now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_append_does_not_cancel_the_upload() {
    let world = World::start().await;
    let sent = pattern(LARGE, 5);
    let upload = world.create_resumable("a.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (world.engine.clone(), upload.id.clone());
    let older = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), body).await });
    sender.send(&sent.slice(..MIB));
    until("it has begun", async || world.ledger.upload(&upload.id).await.unwrap().epoch == 1).await;
    let append = world.begin();
    let newer = world.uploads.append(&upload.id, &append, frames(&sent));
    let complete = soon(newer).await.unwrap();
    assert!(matches!(soon(older).await.unwrap(), Err(Error::Superseded)));
    world.assert_stored(&complete, &sent).await;
    // An upload that nobody took over, and nobody can know, is cancelled.
    let upload = world.create_unacknowledged("b.bin").await.unwrap();
    let broken = broken(&Bytes::new(), BodyError::Interrupted);
    assert!(world.uploads.append(&upload.id, &world.begin(), broken).await.is_err());
    assert!(matches!(world.uploads.status(&world.link.id, &upload.id).await, Err(Error::Gone)));
}

/// A file that ends before the bytes of an older append is another file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_append_of_a_shorter_file_is_refused() {
    let world = World::start().await;
    world.fault("UploadPart", Fault::Delay(PATIENCE * 2, When::Before));
    let sent = pattern(12 * MIB, 1);
    let (upload, _sender, older) = stalled(&world, &sent.slice(..9 * MIB), 0).await;
    until("the part is in flight", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
    let used = world.uploads.budget().used_bytes();
    let (engine, id, short) = (world.engine.clone(), upload.id.clone(), sent.slice(..MIB));
    let newer =
        tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), frames(&short)).await });
    until("the newer is admitted", async || world.uploads.budget().used_bytes() > used).await;
    world.sandbox.faults().clear();
    assert!(matches!(soon(older).await.unwrap(), Err(Error::Superseded)));
    let result = soon(newer).await.unwrap();
    assert!(
        matches!(result, Err(Error::LengthMismatch { declared, actual })
            if declared == 8 * MIB as u64 && actual == MIB as u64),
        "{result:?}"
    );
    world.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_at_a_wrong_offset_gets_the_right_one() {
    let world = World::start().await;
    let upload = world.create("a.bin", None).await.unwrap();
    let append = Append { offset: 5, ..world.begin() };
    let result = world.uploads.append(&upload.id, &append, frames(&pattern(1, 1))).await;
    assert!(matches!(result, Err(Error::OffsetMismatch { expected: 0 })));
    let sent = pattern(SMALL, 1);
    let complete = world.uploads.append(&upload.id, &world.begin(), frames(&sent)).await.unwrap();
    world.assert_stored(&complete, &sent).await;
    assert!(matches!(
        world.uploads.append("none", &world.begin(), frames(&sent)).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_open() {
    let world = World::start().await;
    let mut link = world.link.clone();
    link.max_open = Some(2);
    let new = Create { link: &link, ..world.new_upload("a", None) };
    let first = world.uploads.create(&new).await.unwrap();
    world.uploads.create(&new).await.unwrap();
    assert!(matches!(world.uploads.create(&new).await, Err(Error::TooManyOpen)));
    world.uploads.cancel(&first.id, "operator", "").await.unwrap();
    world.uploads.create(&new).await.unwrap();
    assert!(matches!(world.uploads.status("another-link", &first.id).await, Err(Error::NotFound)));
}

/// An upload of a revoked link ends at the next part, or at the end of its body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_while_running() {
    for (before, after) in [(MIB, MIB), (18 * MIB, 8 * MIB), (18 * MIB, 0)] {
        let world = World::start().await;
        let (_, sender, append) = stalled(&world, &pattern(before, 1), before / (8 * MIB) * (8 * MIB)).await;
        world.ledger.revoke_link(&world.link.id, "operator").await.unwrap();
        sender.send(&pattern(after, 2));
        drop(sender);
        let result = soon(append).await.unwrap();
        assert!(matches!(result, Err(Error::Revoked)), "{result:?}");
        world.assert_nothing_left().await;
    }
}
