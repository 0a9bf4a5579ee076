//! Acknowledged bytes stay, whatever a bucket answers and however often, and whatever else a sender brings. An outage is
//! waited out within the request.

use futures_util::{StreamExt as _, stream};

use super::*;
use crate::End;

/// Cases of a test that run together, since they mostly wait.
const AT_ONCE: usize = 7;

/// An upload of known length whose first bytes are durable.
async fn begun(engine: &Engine, file: &Bytes, durable: usize) -> Upload {
    let upload = engine.create_resumable("a.bin", Some(file.len() as u64)).await.unwrap();
    let append = Append { body_bytes: Some(durable as u64), end: End::Later, ..engine.begin() };
    engine.uploads.append(&upload.id, &append, frames(&file.slice(..durable))).await.unwrap()
}

async fn resume(engine: &Engine, upload: &Upload, file: &Bytes) -> Result<Upload> {
    let from = engine.offset_of(&upload.id).await;
    let append = Append { offset: from as u64, end: End::Length, ..engine.begin() };
    soon(engine.uploads.append(&upload.id, &append, frames(&file.slice(from..)))).await
}

/// S3 answers so many calls of a kind, 0 for all, with this error code.
fn answers(world: &World, operation: &str, times: u64, (status, code): (u16, &str)) {
    let body = format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
    let rule = serde_json::json!({
        "service": "s3", "operation": operation, "times": times, "fault": "status", "status": status, "body": body,
    });
    world.sandbox.faults().add(serde_json::from_value(rule).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_ends_an_acknowledged_upload() {
    let codes = [
        ("UploadPart", 400, "BadDigest"),
        ("UploadPart", 400, "XAmzContentChecksumMismatch"),
        ("UploadPart", 404, "NoSuchUpload"),
        ("CreateMultipartUpload", 404, "NoSuchKey"),
        ("CompleteMultipartUpload", 400, "BadDigest"),
        ("CompleteMultipartUpload", 400, "InvalidPart"),
        ("CompleteMultipartUpload", 404, "NoSuchUpload"),
        ("PutObject", 400, "BadDigest"),
        ("GetObject", 404, "NoSuchKey"),
        ("GetObject", 412, "PreconditionFailed"),
        ("*", 404, "NoSuchUpload"),
        ("*", 404, "NoSuchKey"),
        ("*", 400, "BadDigest"),
        ("*", 400, "InvalidRequest"),
    ];
    // A file of several parts, and one that fits in one.
    let cases = codes.iter().flat_map(|code| [(code, 20 * MIB, 13 * MIB), (code, 4 * MIB, 3 * MIB)]);
    stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |(answer, size, durable)| survives(*answer, size, durable))
        .await;
}

/// A call to S3 is answered so, again and again. The upload keeps what it has, and can be resumed afterwards.
async fn survives((operation, status, code): (&str, u16, &str), size: usize, durable: usize) {
    let world = World::start().await;
    let file = pattern(size, 31);
    let upload = begun(&world, &file, durable).await;
    answers(&world, operation, 0, (status, code));
    let what = format!("{operation} {code} of {size}");
    for _ in 0..2 {
        match resume(&world, &upload, &file).await {
            Ok(done) => assert_eq!(done.state, State::Complete, "{what}: it does not make this call"),
            // All bytes arrived the first time.
            Err(Error::Gone) => {
                let now = world.ledger.upload(&upload.id).await.unwrap().state;
                assert!(matches!(now, State::Completing | State::Complete), "{what}: {now:?}");
            }
            Err(error) => assert!(error.is_temporary(), "{what}: {error}"),
        }
        world.uploads.recover(Duration::ZERO).await.unwrap();
        assert!(world.offset_of(&upload.id).await >= durable, "{what}");
    }
    world.sandbox.faults().clear();
    world.uploads.recover(Duration::ZERO).await.unwrap();
    if world.ledger.upload(&upload.id).await.unwrap().state != State::Complete {
        resume(&world, &upload, &file).await.unwrap();
    }
    world.recover_and_sweep().await;
    world.assert_stored(&upload, &file).await;
    assert_eq!(world.present("").await, std::slice::from_ref(&upload.object_key), "{what}");
}

/// Bytes are damaged again and again on their way to S3, or back: the request fails for now, and the upload can be resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_retried_and_then_fails_for_now() {
    let cases = [
        ("UploadPart", 20 * MIB, 13 * MIB),
        ("PutObject", 4 * MIB, 3 * MIB),
        ("GetObject", 20 * MIB, 11 * MIB),
        ("GetObject", 4 * MIB, 3 * MIB),
    ];
    let cases = stream::iter(cases);
    let run = async |(operation, size, durable)| {
        let world = World::start().await;
        let file = pattern(size, 32);
        let upload = begun(&world, &file, durable).await;
        world.faults(operation, 0, 0, Fault::Corrupt);
        for _ in 0..2 {
            let result = resume(&world, &upload, &file).await;
            assert!(matches!(result, Err(Error::Damaged(_))), "{operation}: {result:?}");
            assert!(world.offset_of(&upload.id).await >= durable, "{operation}");
        }
        let hits = world.fault_report().await["rules"][0]["hit"].as_u64().unwrap();
        assert!(hits > 4, "{operation}: each request retries, {hits} calls in all");
        world.sandbox.faults().clear();
        let done = resume(&world, &upload, &file).await.unwrap();
        world.assert_stored(&done, &file).await;
        world.assert_memory_free().await;
    };
    cases.for_each_concurrent(AT_ONCE, run).await;
}

/// A call that fails for a while, and how the file comes that needs it.
const OUTAGES: [(&str, usize, Comes); 6] = [
    ("CreateMultipartUpload", LARGE, Comes::AtOnce),
    ("UploadPart", LARGE, Comes::AtOnce),
    ("CompleteMultipartUpload", LARGE, Comes::AtOnce),
    ("PutObject", SMALL, Comes::AtOnce),
    // The first bytes are stored as a piece of the tail, which the rest reads back.
    ("PutObject", LARGE, Comes::InTwo(3 * MIB)),
    ("GetObject", LARGE, Comes::InTwo(3 * MIB)),
];

#[derive(Clone, Copy)]
enum Comes {
    AtOnce,
    /// The first request brings so many bytes.
    InTwo(usize),
}

/// Calls fail as `fail` has them, so often: the file arrives with the requests that bring it.
async fn is_waited_out(times: u64, fail: impl Fn(&World, &str)) {
    for (operation, size, comes) in OUTAGES {
        let world = World::start().await;
        let engine = world.patient(PATIENCE).await;
        fail(&world, operation);
        let sent = pattern(size, 33);
        let done = match comes {
            Comes::AtOnce => soon(engine.send("a.bin", &sent)).await,
            Comes::InTwo(first) => {
                let id = soon(begun(&engine, &sent, first)).await.id;
                let upload = engine.ledger.upload(&id).await.unwrap();
                assert!(upload.tails_written > 0 && upload.multipart_id.is_none(), "{operation}: {upload:?}");
                resume(&engine, &upload, &sent).await
            }
        };
        assert_eq!(world.fault_report().await["rules"][0]["hit"], times, "{operation} {size}");
        let done = done.unwrap();
        engine.assert_stored(&done, &sent).await;
        engine.recover_and_sweep().await;
        assert_eq!(world.present("").await, [done.object_key], "{operation} {size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_is_waited_out_within_the_request() {
    // More than the SDK's attempts.
    is_waited_out(6, |world, operation| world.faults(operation, 0, 6, Fault::Reset)).await;
}

/// The clock has been set: until the SDK has learnt how far it is off, the store refuses what it signs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skewed_clock_is_waited_out_within_the_request() {
    let skewed = (403, "RequestTimeTooSkewed");
    is_waited_out(3, |world, operation| answers(world, operation, 3, skewed)).await;
}

/// A newer append, a cancel, a stopping gateway and a broken connection end the wait for a bucket at once. Durable bytes stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_for_a_bucket_ends_at_once() {
    for by in ["newer", "cancel", "stop", "hung up"] {
        let world = World::start().await;
        let engine = world.patient(60 * PATIENCE).await;
        let file = pattern(60 * MIB, 34);
        let upload = begun(&engine, &file, 9 * MIB).await;
        world.faults("UploadPart", 0, 0, Fault::Corrupt);
        let (sender, body) = Sender::new();
        let append = Append { offset: 9 * MIB as u64, end: End::Length, ..engine.begin() };
        let (uploads, id) = (engine.uploads.clone(), upload.id.clone());
        let waiting = tokio::spawn(async move { uploads.append(&id, &append, body).await });
        // As much as is read before the pipeline is full.
        sender.send(&file.slice(9 * MIB..if by == "hung up" { 20 * MIB } else { 60 * MIB }));
        until("it waits", async || world.fault_report().await["rules"][0]["hit"].as_u64() > Some(4)).await;
        match by {
            "newer" => {
                world.sandbox.faults().clear();
                let done = resume(&engine, &upload, &file).await.unwrap();
                engine.assert_stored(&done, &file).await;
            }
            "cancel" => {
                assert!(engine.uploads.cancel(&upload.id, "staff:1", "").await.unwrap());
            }
            "stop" => engine.uploads.stop(),
            _ => sender.0.send(Err(BodyError::Interrupted)).unwrap(),
        }
        let ended = soon(waiting).await.unwrap();
        let right = match by {
            "newer" => matches!(ended, Err(Error::Superseded)),
            "cancel" => matches!(ended, Err(Error::Gone)),
            "stop" => ended.as_ref().is_err_and(Error::is_temporary) || matches!(ended, Err(Error::Draining)),
            _ => matches!(ended, Err(Error::Interrupted { .. })),
        };
        assert!(right, "{by}: {ended:?}");
        if by == "cancel" {
            let audit = engine.ledger.audit(&ledger::AuditFilter::about(&upload.id)).await.unwrap();
            let actors: Vec<_> = audit.iter().map(|entry| (&*entry.actor, &*entry.action)).collect();
            assert_eq!(actors, [("staff:1", "upload.cancel")]);
        } else {
            assert!(engine.offset_of(&upload.id).await >= 9 * MIB, "{by}");
        }
    }
}

/// Too many bytes, in every framing: the request fails, and acknowledged bytes stay. If the protocol demands it, the upload is
/// cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excess_bytes_fail_only_their_request() {
    let world = World::start().await;
    let file = pattern(20, 35);
    let more = pattern(11, 36);
    for (length, body_bytes, end) in [
        (None, None, End::Body),
        (None, None, End::Length),
        (None, None, End::Later),
        (None, Some(10), End::Body),
        (Some(20), Some(10), End::Length),
        (Some(20), None, End::Length),
        (None, Some(5), End::Later),
    ] {
        for invalidates in [false, true] {
            let upload = begun(&world, &file, 10).await;
            let append = Append { offset: 10, length, body_bytes, end, invalidates, ..world.begin() };
            let result = soon(world.uploads.append(&upload.id, &append, frames(&more))).await;
            let what = format!("{append:?}");
            assert!(matches!(result, Err(Error::LengthMismatch { .. })), "{what}: {result:?}");
            let status = world.uploads.status(&world.link.id, &upload.id).await;
            // A body longer than announced does not make the file longer.
            if invalidates && body_bytes.is_none() {
                assert!(matches!(status, Err(Error::Gone)), "{what}: {status:?}");
                continue;
            }
            assert_eq!(status.unwrap().offset, 10, "{what}");
            let done = resume(&world, &upload, &file).await.unwrap();
            world.uploads.remove(&done.id, "operator").await.unwrap();
        }
    }
    // More than the link accepts.
    let upload = world.create_resumable("unknown.bin", None).await.unwrap();
    let append = Append { body_bytes: Some(10), end: End::Later, ..world.begin() };
    world.uploads.append(&upload.id, &append, frames(&file.slice(..10))).await.unwrap();
    let append = Append { offset: 10, max_bytes: 20, ..Append::default() };
    let result = soon(world.uploads.append(&upload.id, &append, frames(&more))).await;
    assert!(matches!(result, Err(Error::TooLarge { max: 20 })), "{result:?}");
    assert_eq!(world.offset_of(&upload.id).await, 10);
    let status = world.uploads.status(&world.link.id, &upload.id).await.unwrap();
    assert_eq!(status.state, State::Open);
}
