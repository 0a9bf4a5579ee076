//! A store that is down for longer than calls are retried, or that receives damaged bytes. The request waits; if that does not
//! help, it gets a 503. Nothing acknowledged is lost.

use serde_json::json;
use tests::{RawClient, World, ask, curl, eventually, noise};

const TUS: [&str; 2] = ["Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"];

/// The store refuses every call until it has been asked more often than one call is made again; the sender keeps its connection.
#[tokio::test]
async fn short_outage_is_waited_out() {
    let world = World::embedded_with(&["storage_wait = \"60s\""]);
    let (link, bytes) = (world.link("acme"), noise(50_000_000, 61));
    let length = format!("Content-Length: {}", bytes.len());
    let mut sender = RawClient::request("PUT", &format!("{link}/away.bin"), &[&length]);
    assert!(sender.send(&bytes[..20_000_000]));
    let down = json!({"service": "s3", "operation": "*", "fault": "status", "status": 503, "times": 0});
    world.sandbox.fault(down).await;
    let answer = std::thread::scope(|threads| {
        let rest = threads.spawn(|| {
            sender.send(&bytes[20_000_000..]);
            sender.answer().unwrap()
        });
        let refused = "weighbridge_s3_attempts_total{operation=\"UploadPart\",bucket=\"support-uploader\",result=\"503\"";
        eventually("calls are made again, and then again", || (world.metric(refused) > 10.0).then_some(()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sandbox = &world.sandbox;
        let clear = move || runtime.block_on(sandbox.clear_faults());
        threads.spawn(clear).join().unwrap();
        rest.join().unwrap()
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    let receipt = curl(&[&answer.headers["location"]]);
    assert_eq!(receipt.json()["sha256"], tests::sha256(&bytes), "{receipt:?}");
}

/// Thirteen MiB are acknowledged, and then S3 says of everything that it is damaged on its way: to it, or back from it.
#[tokio::test]
async fn corruption_is_503_and_reported_to_operators() {
    for (operation, durable) in [("UploadPart", 13 << 20), ("PutObject", 13 << 20), ("GetObject", 11 << 20)] {
        let world = World::start_embedded();
        let bytes = noise(20 << 20, 62);
        let length = format!("Upload-Length: {}", bytes.len());
        let created =
            ask("POST", &format!("{}/uploads", world.link("acme")), &[TUS[0], &length], b"").is(201);
        let url = created.header("location");
        let patch = |from: usize, to: usize| {
            ask("PATCH", url, &[TUS[0], TUS[1], &format!("Upload-Offset: {from}")], &bytes[from..to])
        };
        let offset =
            || ask("HEAD", url, &TUS[..1], b"").is(200).header("upload-offset").parse::<usize>().unwrap();
        patch(0, durable).is(204);
        world
            .sandbox
            .fault(json!({"service": "s3", "operation": operation, "fault": "corrupt", "times": 0}))
            .await;
        for _ in 0..2 {
            let at = offset();
            // Some more, stored as a separate piece; or all of it.
            let to = if operation == "PutObject" { at + 100_000 } else { bytes.len() };
            patch(at, to).refuses(503, "/problems/unavailable").has("upload-offset", &offset().to_string());
            assert!(offset() >= durable, "{operation}");
        }
        assert!(world.metric("weighbridge_damaged_total") > 4.0, "{operation}");
        world.sandbox.clear_faults().await;
        patch(offset(), bytes.len()).is(204);
        assert_eq!(curl(&["-H", "Accept: application/json", url]).json()["sha256"], tests::sha256(&bytes));
    }
}
