//! One fault at a time, on each kind of call that an upload makes: the file arrives nevertheless.

use std::time::Duration;

use super::*;

/// One call fails once: the file arrives, and a sweep leaves nothing else.
async fn check(operation: &str, fault: Fault, size: usize) {
    let world = World::start().await;
    world.fault(operation, fault);
    let sent = pattern(size, 1);
    let upload = world.send("a.bin", &sent).await.unwrap();
    world.assert_hit().await;
    world.assert_stored(&upload, &sent).await;
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await, [upload.object_key]);
    world.assert_memory_free().await;
}

macro_rules! fails_once {
    ($($test:ident: $operation:literal $fault:expr, $size:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            check($operation, $fault, $size).await;
        }
    )*};
}

fails_once! {
    create_multipart_reset_once: "CreateMultipartUpload" Fault::Reset, LARGE;
    create_multipart_lost_answer: "CreateMultipartUpload" Fault::LostAnswer, LARGE;
    part_put_reset_once: "UploadPart" Fault::Reset, LARGE;
    part_put_503_once: "UploadPart" Fault::Status(503), LARGE;
    part_put_lost_answer_once: "UploadPart" Fault::LostAnswer, LARGE;
    part_corrupt_once: "UploadPart" Fault::Corrupt, LARGE;
    complete_reset_once: "CompleteMultipartUpload" Fault::Reset, LARGE;
    complete_lost_answer: "CompleteMultipartUpload" Fault::LostAnswer, LARGE;
    complete_503_once: "CompleteMultipartUpload" Fault::Status(503), LARGE;
    put_object_reset: "PutObject" Fault::Reset, SMALL;
    put_object_503: "PutObject" Fault::Status(503), SMALL;
    put_object_lost_answer: "PutObject" Fault::LostAnswer, SMALL;
    put_object_corrupt: "PutObject" Fault::Corrupt, SMALL;
}

/// The answer to the completion is lost, and the check whether it was performed fails, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_lost_answer_and_head_503() {
    let world = World::start().await;
    world.fault("CompleteMultipartUpload", Fault::LostAnswer);
    world.fault("HeadObject", Fault::Status(503));
    let sent = pattern(LARGE, 1);
    let upload = world.send("a.bin", &sent).await.unwrap();
    world.assert_stored(&upload, &sent).await;
}

/// All bytes are stored, but the bucket does not publish them while the request waits. Recovery does, later.
async fn complete_fails_for_long(status: u16) {
    let world = World::start().await;
    world.faults("CompleteMultipartUpload", 0, 0, Fault::Status(status));
    let sent = pattern(LARGE, 1);
    let error = world.send("a.bin", &sent).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    // A recovery that fails, too, changes nothing.
    world.uploads.recover(Duration::ZERO).await.unwrap();
    let [upload] = &world.ledger.idle_uploads(State::Completing, i64::MAX).await.unwrap()[..] else {
        panic!("it does not stay `completing`");
    };
    world.sandbox.faults().clear();
    world.recover_and_sweep().await;
    world.assert_stored(upload, &sent).await;
    assert_eq!(world.present("").await, std::slice::from_ref(&upload.object_key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_503_many() {
    complete_fails_for_long(503).await;
}

/// For example with expired credentials, which an operator fixes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_refused_many() {
    complete_fails_for_long(403).await;
}

/// The bucket refuses before all bytes are stored: the sender gets the error, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_at_every_call() {
    let world = World::start().await;
    for (operation, size) in [("CreateMultipartUpload", LARGE), ("UploadPart", LARGE), ("PutObject", SMALL)] {
        world.fault(operation, Fault::Status(403));
        let error = world.send("a.bin", &pattern(size, 1)).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{operation}: {error}");
        world.assert_hit().await;
        world.sandbox.faults().clear();
        world.assert_nothing_left().await;
    }
}

/// Storage is down from the first call on, and comes back.
async fn storage_down(size: usize) {
    let world = World::start().await;
    world.faults("*", 0, 0, Fault::Status(503));
    let error = world.send("a.bin", &pattern(size, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    world.uploads.drain().await;
    world.sandbox.faults().clear();
    world.assert_nothing_left().await;
    let sent = pattern(size, 2);
    let upload = world.send("a.bin", &sent).await.unwrap();
    world.assert_stored(&upload, &sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_down_whole() {
    storage_down(SMALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_down_multipart() {
    storage_down(LARGE).await;
}

/// Storage goes down in the middle of a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_down_from_the_second_part_on() {
    let world = World::start().await;
    world.faults("UploadPart", 1, 0, Fault::Reset);
    let error = world.send("a.bin", &pattern(LARGE, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    world.sandbox.faults().clear();
    world.assert_nothing_left().await;
}

/// The answer to every attempt is lost: the object is stored, but the sender gets an error. So nothing may be left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_object_lost_answer_forever() {
    let world = World::start().await;
    world.faults("PutObject", 0, 0, Fault::LostAnswer);
    let error = world.send("a.bin", &pattern(SMALL, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    world.sandbox.faults().clear();
    world.assert_nothing_left().await;
}

/// Leftovers of a lost answer are deleted. Multipart uploads of others are counted and left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweep_touches_only_its_own() {
    let world = World::start().await;
    world.fault("CreateMultipartUpload", Fault::LostAnswer);
    let upload = world.send("a.bin", &pattern(LARGE, 1)).await.unwrap();
    let foreign = "files/1001/not-ours/b.bin";
    world.bucket.create_multipart(foreign, "text/plain", &Vec::new()).await.unwrap();
    world.bucket.create_multipart("elsewhere", "text/plain", &Vec::new()).await.unwrap();
    for dry_run in [true, false] {
        let swept = world.uploads.sweep(dry_run).await.unwrap();
        assert_eq!((swept.stray, swept.failed), (1, 0));
        assert_eq!(swept.leaks.total(LeakKind::Multipart).count, 1);
    }
    assert_eq!(world.uploads.sweep(false).await.unwrap().stray, 0);
    let present = world.present("").await;
    assert_eq!(present.len(), 3, "{present:?}");
    assert_eq!(present[0], upload.object_key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_upload_leaves_nothing() {
    let world = World::start().await;
    for size in [SMALL, LARGE] {
        let upload = world.send("a.bin", &pattern(size, 1)).await.unwrap();
        world.uploads.remove(&upload.id, "staff:1").await.unwrap();
        assert!(matches!(world.uploads.status(&world.link.id, &upload.id).await, Err(Error::Gone)));
        assert!(world.uploads.remove(&upload.id, "staff:1").await.is_err());
        world.assert_nothing_left().await;
    }
}
