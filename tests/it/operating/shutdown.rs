//! SIGTERM: new connections are refused, running uploads finish within the drain time, and the process exits in time.

use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{
    Answer, RawClient, World, comments_naming, curl, eventually, eventually_async, noise, object, sha256,
    unfinished,
};

/// Scheduling and process end on a loaded machine.
const SLACK: Duration = Duration::from_secs(5);

/// Sends a file at this rate in the background.
fn begin(world: &World, name: &str, bytes: &[u8], rate: &str) -> JoinHandle<Answer> {
    let path = world.path(name, bytes);
    let (url, rate) = (format!("{}/{name}", world.link("acme")), rate.to_owned());
    std::thread::spawn(move || curl(&["--limit-rate", &rate, "-T", &path, &url]))
}

/// SIGTERM; answers the exit status and how long it took.
fn terminate(world: &mut World) -> (Option<i32>, Duration) {
    let begun = Instant::now();
    (world.gateway.terminate().code(), begun.elapsed())
}

#[tokio::test]
async fn running_uploads_finish_with_receipts() {
    let mut world = World::start();
    let (small, large) = (noise(1_500_000, 1), noise(30_000_000, 2));
    let senders = [begin(&world, "small.bin", &small, "250k"), begin(&world, "large.bin", &large, "5M")];
    world.until_open(2);
    let address = world.gateway.address().to_owned();
    let refused = std::thread::spawn(move || {
        eventually("new connections are refused", || TcpStream::connect(&address).is_err().then_some(()));
        Instant::now()
    });
    let (code, took) = terminate(&mut world);
    let ended = Instant::now();
    assert_eq!(code, Some(0), "everything ended in time: {}", world.gateway.log());
    assert!(took < Duration::from_secs(30) + SLACK, "{took:?}");
    assert!(refused.join().unwrap() <= ended);
    let receipts = senders.map(|sender| sender.join().unwrap());
    for answer in &receipts {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    // What was promised is kept by the next process.
    world.gateway.restart();
    let bucket = world.sandbox.bucket(None).await;
    for (answer, (name, bytes)) in receipts.iter().zip([("small.bin", &small), ("large.bin", &large)]) {
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert!(object(&bucket, &format!("1001/{id}/{name}")).await == *bytes, "{name}");
        eventually_async("the ticket has one note", async || {
            (comments_naming(&world.sandbox.comments("1001").await, &id) == 1).then_some(())
        })
        .await;
    }
}

#[test]
fn readiness_fails_before_the_listener_closes() {
    let mut world = World::with(&["drain_notice = \"3s\""]);
    let ready = format!("{}/readyz", world.gateway.url);
    let (small, link) = (world.path("late.log", b"late"), world.link("acme"));
    assert_eq!(curl(&[&ready]).status, 200);
    let address = world.gateway.address().to_owned();
    let watching = std::thread::spawn(move || {
        eventually("it is not ready", || (curl(&[&ready]).status == 503).then_some(()));
        let told = Instant::now();
        // Until the load balancer has seen it, requests still come, and are served.
        let sent = curl(&["-T", &small, &format!("{link}/")]);
        eventually("new connections are refused", || TcpStream::connect(&address).is_err().then_some(()));
        (sent, told.elapsed())
    });
    let (code, took) = terminate(&mut world);
    let (sent, between) = watching.join().unwrap();
    assert_eq!((code, sent.status), (Some(0), 201), "{sent:?}");
    assert!(took >= Duration::from_secs(3) && between >= Duration::from_secs(1), "{took:?} {between:?}");
}

#[tokio::test]
async fn unfinished_upload_is_kept_and_can_be_resumed() {
    // Half of it is for storing what has arrived, which takes seconds on a loaded machine.
    let mut world = World::with(&["drain_time = \"16s\""]);
    let bytes = noise(20_000_000, 3);
    let slow = begin(&world, "slow.bin", &bytes, "100k");
    // Fast enough for a part to lie in the bucket, and too slow to end in time.
    let more = noise(60_000_000, 4);
    let parts = begin(&world, "parts.bin", &more, "3M");
    let bucket = world.sandbox.bucket(None).await;
    eventually_async("a part is stored", async || (!unfinished(&bucket).await.is_empty()).then_some(()))
        .await;
    let (code, took) = terminate(&mut world);
    assert_eq!(code, Some(0), "everything was stored in time: {}", world.gateway.log());
    assert!((Duration::from_secs(8)..Duration::from_secs(16) + SLACK).contains(&took), "{took:?}");
    world.gateway.restart();
    for (sender, bytes) in [(slow, bytes), (parts, more)] {
        let answer = sender.join().unwrap();
        assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        let offset: usize = answer.headers["upload-offset"].parse().unwrap();
        assert!(offset > 0 && offset < bytes.len(), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("tail -c +"), "{answer:?}");
        let rest = world.path("rest.bin", &bytes[offset..]);
        let header = format!("Upload-Offset: {offset}");
        let done = curl(&["-H", &header, "-T", &rest, &answer.headers["location"]]);
        assert_eq!((done.status, &done.json()["sha256"]), (201, &sha256(&bytes).into()), "{done:?}");
    }
}

#[tokio::test]
async fn hanging_storage_does_not_delay_exit() {
    let mut world = World::embedded_with(&["drain_time = \"2s\""]);
    let hang =
        json!({"service": "s3", "operation": "PutObject", "fault": "delay", "delay_ms": 60_000, "times": 0});
    world.sandbox.fault(hang).await;
    let bytes = noise(1_000, 5);
    let sender = begin(&world, "a.log", &bytes, "100M");
    world.sandbox.fault_hit(1).await;
    let (code, took) = terminate(&mut world);
    assert!(code == Some(1) && took < Duration::from_secs(2) + SLACK, "{code:?} {took:?}");
    assert_ne!(sender.join().unwrap().status, 201);
    world.sandbox.clear_faults().await;
    world.gateway.restart();
    let again = begin(&world, "a.log", &bytes, "100M").join().unwrap();
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(world.sandbox.listed("1001").len(), 1);
}

#[tokio::test]
async fn hanging_desk_does_not_delay_exit_and_gets_one_note() {
    let mut world = World::start();
    let hang = json!({"service": "desk", "operation": "UpdateTicket", "fault": "delay", "when": "after",
        "delay_ms": 60_000, "times": 0});
    world.sandbox.fault(hang).await;
    let id = world.sandbox.sent(&world.link("acme"), "a.log", b"a")["id"].as_str().unwrap().to_owned();
    world.sandbox.fault_hit(1).await;
    let (code, took) = terminate(&mut world);
    assert!(code == Some(0) && took < Duration::from_secs(10) + SLACK, "{code:?} {took:?}");
    world.sandbox.clear_faults().await;
    world.gateway.restart();
    eventually("the delivery is done", || {
        (world.sandbox.listed("1001")[0]["delivery"] == "done").then_some(())
    });
    let comments = world.sandbox.comments("1001").await;
    assert_eq!(comments_naming(&comments, &id), 1, "{comments:#?}");
}

#[test]
fn idle_connections_are_closed() {
    let mut world = World::start();
    let address = world.gateway.address().to_owned();
    let idle: Vec<_> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // Kept alive after an answer.
    let mut kept = RawClient::request("GET", &format!("{}/healthz", world.gateway.url), &[]);
    assert_eq!(kept.answer().unwrap().status, 200);
    let (code, took) = terminate(&mut world);
    assert!(code == Some(0) && took < SLACK, "{code:?} {took:?}");
    drop(idle);
}
