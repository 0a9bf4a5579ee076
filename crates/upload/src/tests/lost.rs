//! Durable bytes are gone from the bucket, or a part number is in doubt, or a process died: nothing is acknowledged that is not
//! there.

use super::*;
use crate::{Algorithm, Digest, End};

/// An upload with a tail of 3 MiB.
async fn with_a_tail(world: &World) -> (Upload, Bytes) {
    let file = pattern(LARGE, 7);
    let upload = world.create_resumable("tail.bin", Some(LARGE as u64)).await.unwrap();
    let append = Append { body_bytes: Some((3 * MIB) as u64), end: End::Later, ..world.begin() };
    world.uploads.append(&upload.id, &append, frames(&file.slice(..3 * MIB))).await.unwrap();
    (upload, file)
}

async fn rest(world: &World, upload: &Upload, file: &Bytes, from: usize) -> Result<Upload> {
    let append = Append { offset: from as u64, end: End::Length, ..world.begin() };
    soon(world.uploads.append(&upload.id, &append, frames(&file.slice(from..)))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_tail_ends_its_upload() {
    let world = World::start().await;
    let (upload, file) = with_a_tail(&world).await;
    let key = world.ledger.tails(&upload.id).await.unwrap().remove(0).key;
    bucket(&world.sandbox.s3).await.delete(&key).await.unwrap();
    let result = rest(&world, &upload, &file, 3 * MIB).await;
    assert!(matches!(result, Err(Error::Gone)), "{result:?}");
    assert!(matches!(world.uploads.status(&world.link.id, &upload.id).await, Err(Error::Gone)));
    world.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_tail_does_not_end_its_upload() {
    let world = World::start().await;
    let (upload, file) = with_a_tail(&world).await;
    world.faults("GetObject", 0, 100, Fault::Status(503));
    let result = rest(&world, &upload, &file, 3 * MIB).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    world.sandbox.faults().clear();
    let done = rest(&world, &upload, &file, 3 * MIB).await.unwrap();
    world.assert_stored(&done, &file).await;
    world.assert_memory_free().await;
}

/// Somebody, or a lifecycle rule, aborted the multipart upload. It is noticed at the next part, or at the completion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_multipart_upload_ends_its_upload() {
    let world = World::start().await;
    for from in [16 * MIB, LARGE - 1] {
        let file = pattern(LARGE, 8);
        let upload = world.create_resumable("parts.bin", Some(LARGE as u64)).await.unwrap();
        let append = Append { body_bytes: Some(from as u64), end: End::Later, ..world.begin() };
        let open = world.uploads.append(&upload.id, &append, frames(&file.slice(..from))).await.unwrap();
        let bucket = bucket(&world.sandbox.s3).await;
        bucket.abort_multipart(&upload.object_key, &open.multipart_id.unwrap()).await.unwrap();
        let result = rest(&world, &upload, &file, from).await;
        assert!(matches!(result, Err(Error::Gone)), "{result:?}");
        world.assert_nothing_left().await;
    }
}

/// A part number that an older writer may still be sending is not sent. If the gateway stops meanwhile, the bytes go to the tail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_does_not_wait_for_an_older_writer() {
    let world = World::start().await;
    let file = pattern(30 * MIB, 9);
    let upload = world.create_resumable("doubt.bin", Some(file.len() as u64)).await.unwrap();
    let append = Append { body_bytes: Some((8 * MIB) as u64), end: End::Later, ..world.begin() };
    world.uploads.append(&upload.id, &append, frames(&file.slice(..8 * MIB))).await.unwrap();
    let eight = i64::try_from(8 * MIB).unwrap();
    // Another gateway took over, and died with its first part in flight.
    let other = world.ledger.begin_append(&upload.id, eight, None).await.unwrap();
    let hour = ledger::now_ms() + 3_600_000;
    let reservation = ledger::Reservation {
        upload_id: &upload.id,
        epoch: other.epoch,
        number: 2,
        offset: eight,
        size: eight,
        crc64: "0",
        deadline: hour,
        attempts_until: hour,
    };
    world.ledger.reserve_part(&reservation).await.unwrap();
    let (uploads, id, body) = (world.uploads.clone(), upload.id.clone(), file.slice(8 * MIB..));
    let append = Append { offset: 8 * MIB as u64, end: End::Length, ..world.begin() };
    let waiting = tokio::spawn(async move { uploads.append(&id, &append, frames(&body)).await });
    until("a part is full", async || world.uploads.budget().used_bytes() >= 8 * MIB as u64).await;
    world.uploads.stop();
    let result = soon(waiting).await.unwrap();
    assert!(matches!(result, Err(Error::Draining)), "{result:?}");
    let kept = world.offset_of(&upload.id).await;
    assert!((15 * MIB..=16 * MIB).contains(&kept), "{kept} bytes");
    assert_eq!(world.ledger.parts(&upload.id).await.unwrap().len(), 1, "no part was sent");
    // The next gateway finds no older writer.
    world.ledger.release_claims().await.unwrap();
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    let append = Append { offset: kept as u64, end: End::Length, ..next.begin() };
    let done = soon(next.uploads.append(&upload.id, &append, frames(&file.slice(kept..)))).await.unwrap();
    next.assert_stored(&done, &file).await;
}

/// The process dies after a side file is stored and before the ledger knows. The side file is effective nevertheless, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_file_is_effective_after_a_crash() {
    let world = World::start().await;
    let text = Bytes::from(format!("{}  core.gz\n", "a".repeat(32)));
    world.fault("PutObject", Fault::Delay(PATIENCE * 2, When::After));
    let (engine, body) = (world.engine.clone(), text.clone());
    let dying = tokio::spawn(async move { engine.send("core.gz.md5", &body).await });
    until("it is stored", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
    dying.abort();
    let _ = dying.await;
    world.sandbox.faults().clear();
    assert!(world.ledger.announced(&world.link.id, "core.gz").await.unwrap().is_empty());
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    next.recover_and_sweep().await;
    let announced = next.ledger.announced(&world.link.id, "core.gz").await.unwrap();
    assert_eq!(announced, [("md5".to_owned(), "a".repeat(32))]);
    let result = world.send("core.gz", &pattern(SMALL, 1)).await;
    let expected = Digest { algorithm: Algorithm::Md5, hex: "a".repeat(32) };
    assert!(
        matches!(&result, Err(Error::DigestMismatch { announced, .. }) if *announced == expected.hex),
        "{result:?}"
    );
}
