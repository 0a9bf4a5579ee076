//! Something between the gateway and its store answers in the store's place: a proxy without a backend, a login page. Its answers
//! say nothing about an object or an upload, so nothing is given up and nothing is counted as done.

use super::*;
use crate::End;

/// What such things answer. S3's own answer has a code in it, or is one to a `HEAD`.
const NOT_FOUND: [&str; 3] = ["404 page not found\n", "", "<html><head><title>404</title></head></html>"];

/// Something that is not the store answers `times` calls.
fn answers(world: &World, operation: &str, times: u64, status: u16, body: &str) {
    let rule = serde_json::json!({
        "service": "s3", "operation": operation, "times": times, "fault": "status", "status": status, "body": body,
    });
    world.sandbox.faults().add(serde_json::from_value(rule).unwrap()).unwrap();
}

/// An upload whose first bytes are durable.
async fn begun(world: &World, file: &Bytes, durable: usize) -> Upload {
    let upload = world.create_resumable("a.bin", Some(file.len() as u64)).await.unwrap();
    let append = Append { body_bytes: Some(durable as u64), end: End::Later, ..world.begin() };
    world.uploads.append(&upload.id, &append, frames(&file.slice(..durable))).await.unwrap()
}

/// Sends the rest of the file.
async fn resume(world: &World, upload: &Upload, file: &Bytes) -> Result<Upload> {
    let from = world.offset_of(&upload.id).await;
    let append = Append { offset: from as u64, end: End::Length, ..world.begin() };
    soon(world.uploads.append(&upload.id, &append, frames(&file.slice(from..)))).await
}

/// Every call of a kind gets this answer: acknowledged bytes stay, and the upload can be resumed afterwards.
async fn costs_nothing(operation: &str, durable: usize, status: u16, body: &str) {
    let world = World::start().await;
    let file = pattern(LARGE, 21);
    let upload = begun(&world, &file, durable).await;
    answers(&world, operation, 0, status, body);
    let result = resume(&world, &upload, &file).await;
    let is_temporary = matches!(result, Err(Error::Unavailable(_) | Error::Refused(_)));
    assert!(is_temporary, "{operation} {status} {body:?}: {result:?}");
    world.assert_hit().await;
    world.sandbox.faults().clear();
    assert!(world.offset_of(&upload.id).await >= durable, "acknowledged bytes are gone");
    let done = resume(&world, &upload, &file).await.unwrap();
    world.assert_stored(&done, &file).await;
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await, [done.object_key]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_a_part() {
    // Resuming after a part that failed takes 10 s.
    costs_nothing("UploadPart", 8 * MIB, 404, NOT_FOUND[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_a_tail() {
    for body in NOT_FOUND {
        costs_nothing("GetObject", 3 * MIB, 404, body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_answers_for_a_tail() {
    // The last one is S3's own: the configured bucket is wrong, and the tail is not gone.
    let gone = "<Error><Code>NoSuchBucket</Code><Message>there is none</Message></Error>";
    for (status, body) in [(412, "no\n"), (403, "no\n"), (200, "<html>Sign in</html>"), (404, gone)] {
        costs_nothing("GetObject", 3 * MIB, status, body).await;
    }
}

/// The store publishes the file, its answer is lost, and something else answers the questions about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_the_end_of_a_file() {
    for (operation, status, body) in [
        ("CompleteMultipartUpload", 404, NOT_FOUND[0]),
        ("CompleteMultipartUpload", 404, NOT_FOUND[1]),
        ("CompleteMultipartUpload", 200, "<html>Sign in</html>"),
        ("HeadObject", 404, NOT_FOUND[1]),
        ("HeadObject", 200, "<html>Sign in</html>"),
    ] {
        let world = World::start().await;
        answers(&world, operation, 1, status, body);
        if operation == "HeadObject" {
            world.fault("CompleteMultipartUpload", Fault::LostAnswer);
        }
        let sent = pattern(LARGE, 22);
        let upload = world.patient(PATIENCE).await.send("a.bin", &sent).await.unwrap();
        world.assert_hit().await;
        world.assert_stored(&upload, &sent).await;
    }
}

/// The process dies after the file is stored and before the ledger knows. At the restart the proxy answers for the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_at_the_next_start() {
    let world = World::start().await;
    let file = pattern(SMALL, 23);
    world.fault("PutObject", Fault::Delay(PATIENCE * 2, When::After));
    let (engine, body) = (world.engine.clone(), file.clone());
    let dying = tokio::spawn(async move { engine.send("a.bin", &body).await });
    until("it is stored", async || world.fault_report().await["rules"][0]["hit"] == 1).await;
    dying.abort();
    let _ = dying.await;
    world.sandbox.faults().clear();
    let next = Engine::open(world.dir.path(), &world.sandbox.s3, 64 * MIB).await;
    // The listing contradicts it, and then the listing fails, too.
    for listing in [0, 1] {
        answers(&world, "HeadObject", 1, 404, "");
        if listing > 0 {
            answers(&world, "ListObjectsV2", 1, 404, NOT_FOUND[0]);
        }
        next.uploads.recover(Duration::ZERO).await.unwrap();
        world.assert_hit().await;
        assert_eq!(next.ledger.idle_uploads(State::Completing, i64::MAX).await.unwrap().len(), 1);
        world.sandbox.faults().clear();
    }
    let upload = next.ledger.idle_uploads(State::Completing, i64::MAX).await.unwrap().remove(0);
    next.recover_and_sweep().await;
    next.assert_stored(&upload, &file).await;
}

/// Nothing counts as cleared that the store did not clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_a_delete() {
    for operation in ["DeleteObject", "AbortMultipartUpload"] {
        let world = World::start().await;
        let upload = begun(&world, &pattern(LARGE, 24), 11 * MIB).await;
        answers(&world, operation, 0, 404, NOT_FOUND[0]);
        world.uploads.cancel(&upload.id, "operator", "").await.unwrap();
        world.uploads.drain().await;
        let swept = world.uploads.sweep_ended(false).await.unwrap();
        assert_eq!((swept.cleared, swept.failed), (0, 1), "{operation}: {swept:?}");
        world.assert_hit().await;
        assert_ne!(world.present("").await, Vec::<String>::new(), "{operation}");
        world.sandbox.faults().clear();
        world.assert_nothing_left().await;
    }
}

/// A false answer about a receipt is an error, not its absence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_a_receipt() {
    let world = World::start().await;
    let done = world.send("a.bin", &pattern(SMALL, 25)).await.unwrap();
    let key = format!("{}.receipt.json", done.object_key);
    let (bytes, mut crc64) = (Bytes::from_static(b"{}"), bucket::Crc64Hasher::new());
    crc64.update(&bytes);
    let payload = bucket::Payload::new(vec![bytes], crc64.value());
    world.bucket.put(&key, "application/json", &Vec::new(), &payload).await.unwrap();
    for body in NOT_FOUND {
        for operation in ["HeadObject", "ListObjectsV2"] {
            answers(&world, operation, 0, 404, body);
        }
        assert!(world.bucket.is_listed(&key).await.is_err(), "{body:?}");
        assert!(world.bucket.head(&key).await.is_err(), "{body:?}");
        world.sandbox.faults().clear();
    }
    assert!(world.bucket.is_listed(&key).await.unwrap());
    // Other keys begin with it.
    assert!(!world.bucket.is_listed(&done.object_key[..done.object_key.len() - 1]).await.unwrap());
    assert!(world.bucket.head("files/none").await.unwrap().is_none());
}

/// The answer to a `HEAD` cannot tell whether a bucket exists. The listing can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_for_a_bucket() {
    let world = World::start().await;
    answers(&world, "HeadBucket", 1, 404, NOT_FOUND[0]);
    let found = world.bucket.examine().await.findings(Duration::from_secs(3600));
    world.assert_hit().await;
    assert!(found.iter().all(|finding| finding.weight != bucket::Weight::Error), "{found:?}");
    answers(&world, "ListObjectsV2", 1, 404, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>");
    answers(&world, "HeadBucket", 1, 404, NOT_FOUND[0]);
    let found = world.bucket.examine().await.findings(Duration::from_secs(3600));
    assert!(found.len() == 1 && found[0].text.contains("does not exist"), "{found:?}");
}

/// A login page answers 200 to everything: no receipt for a file that it swallowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_page_swallows_a_file() {
    let world = World::start().await;
    answers(&world, "PutObject", 0, 200, "<html>Sign in</html>");
    let result = world.send("a.bin", &pattern(SMALL, 26)).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    world.assert_hit().await;
    world.sandbox.faults().clear();
    world.assert_nothing_left().await;
}

/// A tail that is damaged as it is read back is read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_damaged_in_transit() {
    let world = World::start().await;
    let file = pattern(LARGE, 27);
    // Two pieces of a tail.
    let upload = begun(&world, &file, 2 * MIB).await;
    let append =
        Append { offset: 2 * MIB as u64, body_bytes: Some(MIB as u64), end: End::Later, ..world.begin() };
    world.uploads.append(&upload.id, &append, frames(&file.slice(2 * MIB..3 * MIB))).await.unwrap();
    assert_eq!(world.ledger.tails(&upload.id).await.unwrap().len(), 2);
    world.faults("GetObject", 1, 1, Fault::Corrupt);
    let done = resume(&world, &upload, &file).await.unwrap();
    world.assert_hit().await;
    world.assert_stored(&done, &file).await;
    world.assert_memory_free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_damaged_at_rest() {
    let world = World::start().await;
    let file = pattern(LARGE, 28);
    let upload = begun(&world, &file, 3 * MIB).await;
    let key = world.ledger.tails(&upload.id).await.unwrap().remove(0).key;
    let (bytes, mut crc64) = (pattern(3 * MIB, 29), bucket::Crc64Hasher::new());
    crc64.update(&bytes);
    let payload = bucket::Payload::new(vec![bytes], crc64.value());
    world.bucket.put(&key, "application/octet-stream", &Vec::new(), &payload).await.unwrap();
    let result = resume(&world, &upload, &file).await;
    assert!(matches!(result, Err(Error::Damaged(_))), "{result:?}");
    assert_eq!(world.offset_of(&upload.id).await, 3 * MIB);
    // The operator restores the object.
    let (bytes, mut crc64) = (file.slice(..3 * MIB), bucket::Crc64Hasher::new());
    crc64.update(&bytes);
    let payload = bucket::Payload::new(vec![bytes], crc64.value());
    world.bucket.put(&key, "application/octet-stream", &Vec::new(), &payload).await.unwrap();
    let done = resume(&world, &upload, &file).await.unwrap();
    world.assert_stored(&done, &file).await;
}
