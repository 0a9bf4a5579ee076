//! What an operator watches: metrics on an address of their own, liveness and readiness.

use serde_json::json;
use tests::{Sandbox, World, curl, eventually, eventually_async, noise};

#[tokio::test]
async fn gauges_return_to_zero() {
    let world = World::start();
    let (sandbox, link) = (&world.sandbox, world.link("acme"));
    let down = json!({"service": "desk", "operation": "*", "fault": "status", "status": 503, "times": 0});
    sandbox.fault(down).await;
    sandbox.sent(&link, "small.log", &noise(1_000, 1));
    sandbox.sent(&world.link("globex"), "large.bin", &noise(20_500_000, 2));
    assert_eq!(sandbox.send(&link, "a\u{202e}b", b"x").status, 400);
    assert_eq!(sandbox.send(&format!("{}/u/unknown", world.gateway.url), "a", b"x").status, 404);
    assert_eq!(world.metric("weighbridge_jobs_waiting{kind=\"deliver\"}"), 2.0);
    assert_eq!(world.metric("weighbridge_uploads{state=\"complete\",delivery=\"pending\"}"), 2.0);
    eventually("failures are counted", || {
        (world.metric("weighbridge_delivery_failures_total{reason=\"unavailable\"}") >= 2.0).then_some(())
    });
    sandbox.clear_faults().await;
    eventually("both tickets have notes", || {
        (world.metric("weighbridge_uploads{state=\"complete\",delivery=\"done\"}") == 2.0).then_some(())
    });
    eventually("nothing waits any more", || (world.metric("weighbridge_jobs_waiting") == 0.0).then_some(()));
    for (series, value) in [
        ("weighbridge_committed_bytes_total", 20_501_000.0),
        ("weighbridge_parts_total", 3.0),
        ("weighbridge_notes_total", 2.0),
        ("weighbridge_deliveries_total{outcome=\"done\"}", 2.0),
        ("weighbridge_problems_total{type=\"/problems/bad-name\"}", 1.0),
        ("weighbridge_problems_total{type=\"/problems/unknown-link\"}", 1.0),
        ("weighbridge_uploads{state=\"complete\",delivery=\"pending\"}", 0.0),
        ("weighbridge_uploads{state=\"open\"", 0.0),
        ("weighbridge_jobs_oldest_seconds", 0.0),
        ("weighbridge_memory_used_bytes", 0.0),
        ("weighbridge_memory_budget_bytes", 268_435_456.0),
    ] {
        assert_eq!(world.metric(series), value, "{series}");
    }
    // The text is what Prometheus reads: comments, and names of ours with a number.
    let answer = curl(&[&sandbox.text("/metrics")]);
    assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"), "{answer:?}");
    for line in answer.body.lines().filter(|line| !line.is_empty()) {
        let sample = line.rsplit_once(' ').filter(|_| line.starts_with("weighbridge_"));
        let good = line.starts_with("# TYPE ")
            || line.starts_with("# HELP ")
            || sample.is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(good, "{line}");
    }
    for secret in [link.rsplit('/').next().unwrap(), "small.log"] {
        assert!(!answer.body.contains(secret), "{secret} in the metrics");
    }
    // Health is served here, too, whatever happens at the public address.
    for (path, body) in [("healthz", "ok\n"), ("readyz", "ready\n")] {
        let answer = curl(&[&sandbox.text("/metrics").replace("metrics", path)]);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
    }
    let free = world.metric("weighbridge_ledger_disk_free_bytes");
    assert_eq!(free > 0.0, sandbox.postgres().is_none(), "{free}");
    // Not where partners can see them.
    assert_eq!(curl(&[&format!("{}/metrics", world.gateway.url)]).status, 404);
}

#[tokio::test]
async fn unknown_objects_are_reported_with_their_size() {
    let sandbox = Sandbox::start();
    let bucket = sandbox.bucket(Some("globex")).await;
    bucket.create_multipart("theirs.bin", "text/plain", &vec![]).await.unwrap();
    let mut crc64 = bucket::Crc64Hasher::new();
    crc64.update(b"theirs");
    let payload = bucket::Payload::new(vec!["theirs".into()], crc64.value());
    let key = ".weighbridge/01ARZ3NDEKTSV4RRFFQ69G5FAV/0-1";
    bucket.put(key, "text/plain", &vec![], &payload).await.unwrap();
    let world = World::on(sandbox, &[]);
    let of = |bucket: &str, kind: &str| format!("{{bucket=\"{bucket}\",kind=\"{kind}\"}}");
    let (tail, multipart) = (of("globex", "tail"), of("globex", "multipart"));
    eventually("it is reported", || {
        (world.metric(&format!("weighbridge_leaked_bytes{tail}")) == 6.0).then_some(())
    });
    assert_eq!(world.metric(&format!("weighbridge_leaked_objects{tail}")), 1.0);
    assert_eq!(world.metric(&format!("weighbridge_leaked_objects{multipart}")), 1.0);
    assert_eq!(world.metric("weighbridge_leaked_objects{bucket=\"support-uploader\""), 0.0);
    assert_eq!(world.metric("weighbridge_unswept_uploads"), 0.0);
    assert_eq!(world.metric("weighbridge_unswept_bytes"), 0.0);
    assert!(tests::objects(&bucket).await.contains(&key.to_owned()), "and left alone");
}

#[tokio::test]
async fn readiness_depends_on_storage_only() {
    let world = World::start_embedded();
    let get = |path: &str| curl(&[&format!("{}{path}", world.gateway.url)]);
    assert_eq!((get("/healthz").status, get("/healthz").body.as_str()), (200, "ok\n"));
    assert_eq!((get("/readyz").status, get("/readyz").body.as_str()), (200, "ready\n"));
    let fault = |service: &str, fault: &str| {
        let mut rule = json!({"service": service, "operation": "*", "fault": fault, "times": 0});
        if fault == "status" {
            rule["status"] = 503.into();
        }
        rule
    };
    world.sandbox.fault(fault("desk", "status")).await;
    assert_eq!(get("/readyz").status, 200, "uploads do not need the desk");
    for how in ["status", "reset"] {
        world.sandbox.clear_faults().await;
        world.sandbox.fault(fault("s3", how)).await;
        let answer = get("/readyz");
        assert_eq!(answer.status, 503, "{how}: {answer:?}");
        assert!(answer.body.contains("bucket"), "it says why: {answer:?}");
        assert_eq!(get("/healthz").status, 200, "a restart would not help");
    }
    world.sandbox.clear_faults().await;
    eventually_async("ready again", async || (get("/readyz").status == 200).then_some(())).await;
}
