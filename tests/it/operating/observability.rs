//! What an operator can see: every request has an id, every upload one span and one final line, and metrics tell outcomes and
//! reasons. No token appears anywhere.

use serde_json::Value;
use tests::{Gateway, RawClient, Sandbox, World, curl, curl_raw, eventually, noise, piped, side_by_side};

use std::process::{Command, Stdio};

/// A world that logs JSON, of ours everything.
fn world() -> World {
    world_with(&[])
}

fn world_with(limits: &[&str]) -> World {
    world_on(Sandbox::start(), limits)
}

fn world_on(sandbox: Sandbox, limits: &[&str]) -> World {
    let limits: toml::Table = limits.join("\n").parse().unwrap();
    let gateway = sandbox.gateway_with(|config| {
        let log: toml::Table = "format = \"json\"\nlevel = \"debug\"".parse().unwrap();
        config.insert("log".into(), log.into());
        config.insert("limits".into(), limits.into());
    });
    World { gateway, sandbox }
}

/// Every line of the log, which must be JSON.
fn lines(gateway: &Gateway) -> Vec<Value> {
    gateway
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The spans a line is in, from the outermost, that have this name.
fn spans<'a>(line: &'a Value, name: &str) -> Vec<&'a Value> {
    let all = line["spans"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|span| span["name"] == name).collect()
}

/// The lines at the end of this upload; they come after its answer, so they are waited for.
fn ends(world: &World, id: &str) -> Vec<Value> {
    let of_it = |line: &Value| {
        line["message"] == "upload ended" && spans(line, "upload").iter().any(|span| span["upload.id"] == id)
    };
    eventually("the upload's end is logged", || {
        let found: Vec<_> = lines(&world.gateway).into_iter().filter(of_it).collect();
        (!found.is_empty()).then_some(found)
    })
}

#[test]
fn answers_carry_the_request_id() {
    let world = world();
    let (url, link) = (&world.gateway.url, world.link("acme"));
    let file = world.path("id.log", b"id");
    let cases: Vec<Vec<String>> = [
        vec![format!("{url}/healthz")],
        vec![format!("{url}/nothing")],
        vec![format!("{url}/u/unknown/")],
        vec![link.clone()],
        vec!["-X".into(), "PATCH".into(), link.clone()],
        vec!["-X".into(), "POST".into(), format!("{url}/healthz")],
        vec![format!("{url}/api/v1/uploads")],
        vec![format!("{url}/api/v1/nothing")],
        vec!["-T".into(), file, format!("{link}/")],
        vec!["-X".into(), "OPTIONS".into(), link.clone()],
    ]
    .into();
    side_by_side(2, &cases, async |case| {
        let arguments: Vec<_> = case.iter().map(String::as_str).collect();
        let ours = curl(&arguments);
        let id = ours.headers["x-request-id"].clone();
        assert_eq!(id.len(), 26, "{ours:?}");
        if ours.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json") {
            assert_eq!(ours.json()["request_id"], id.as_str(), "{ours:?}");
        }
        let theirs = curl(&[&["-H", "X-Request-Id: proxy-7.a_B"], &arguments[..]].concat());
        assert_eq!(theirs.headers["x-request-id"], "proxy-7.a_B", "{theirs:?}");
        let long = format!("X-Request-Id: {}", "x".repeat(65));
        for bad in [long.as_str(), "X-Request-Id: a b", "X-Request-Id: <script>"] {
            let answer = curl(&[&["-H", bad], &arguments[..]].concat());
            assert_eq!(answer.headers["x-request-id"].len(), 26, "{bad}: {answer:?}");
        }
    });
    let page = curl_raw(
        &["-H", "Accept: text/html", "-H", "X-Request-Id: seen-by-a-person", &format!("{url}/u/unknown/")],
        Stdio::null(),
    );
    assert!(page.body.contains("seen-by-a-person"), "{page:?}");
    let named = lines(&world.gateway).into_iter().any(|line| {
        line["message"] == "request answered"
            && line["status"] == 404
            && spans(&line, "request").iter().any(|span| {
                span["request_id"] == "seen-by-a-person"
                    && span["route"] == "/u/{link}"
                    && span["method"] == "GET"
            })
    });
    assert!(named, "{}", world.gateway.log());
}

#[test]
fn one_span_and_one_final_line_per_upload() {
    let world = world();
    let name = "a \"b\"; c=d.log";
    let receipt = world.sandbox.sent(&world.link("acme"), name, &noise(2_000_000, 1));
    let id = receipt["id"].as_str().unwrap();
    eventually("the note is on the ticket", || {
        (world.metric("weighbridge_uploads{state=\"complete\",delivery=\"done\"}") >= 1.0).then_some(())
    });
    let found = ends(&world, id);
    let [end] = &found[..] else { panic!("not one line: {found:#?}") };
    assert_eq!((&end["level"], &end["outcome"]), (&"INFO".into(), &"completed".into()), "{end}");
    assert_eq!(end["bytes"], 2_000_000, "{end}");
    for field in ["duration_s", "mb_per_s", "sender_s", "storage_s", "parts"] {
        assert!(end[field].is_number(), "{field}: {end}");
    }
    assert_eq!(spans(end, "request").len(), 1, "{end}");
    // Delivery is under the same span, in a line of its own; a receipt's job knows the id.
    let told = lines(&world.gateway).into_iter().find(|line| line["message"] == "delivered").unwrap();
    for line in [end, &told] {
        let upload = spans(line, "upload");
        assert_eq!(upload.len(), 1, "{line}");
        for (field, value) in
            [("upload.id", id), ("upload.name", name), ("partner", "acme"), ("ticket", "1001")]
        {
            assert_eq!(upload[0][field], value, "{field}: {line}");
        }
        assert!(upload[0]["link.id"].as_str().is_some_and(|id| id.len() == 26), "{line}");
    }
    // The same file again is distinguishable.
    let again = curl_again(&world, name);
    assert_eq!(again["id"], id);
    eventually("the repeat is logged", || {
        lines(&world.gateway).into_iter().any(|line| line["outcome"] == "repeated").then_some(())
    });
}

fn curl_again(world: &World, name: &str) -> Value {
    world.sandbox.sent(&world.link("acme"), name, &noise(2_000_000, 1))
}

#[test]
fn failures_are_counted_by_reason_and_logged_once() {
    let world = world_with(&["max_upload_bytes = 3000000", "min_rate = 100000", "min_rate_window = \"1s\""]);
    let link = world.link("acme");
    let file = world.path("f.bin", &noise(1_000_000, 2));
    let digest = format!("Repr-Digest: sha-256=:{}=:", "A".repeat(43));
    assert_eq!(curl(&["-T", &file, "-H", &digest, &format!("{link}/digest.bin")]).status, 422);
    // Of unknown length, or the request is refused before there is an upload.
    let (input, mut cat) = piped(&world.path("large.bin", &noise(4_000_000, 3)));
    assert_eq!(curl_raw(&["-T", "-", &format!("{link}/large.bin")], input).status, 413);
    cat.kill().unwrap();
    cat.wait().unwrap();
    let mut cut = RawClient::request("PUT", &format!("{link}/cut.bin"), &["Content-Length: 1000"]);
    cut.send(b"half");
    drop(cut);
    let mut slow = RawClient::request("PUT", &format!("{link}/slow.bin"), &["Content-Length: 1000"]);
    slow.send(b"half");
    assert_eq!(slow.answer().unwrap().status, 408);
    for reason in ["digest-mismatch", "too-large", "interrupted", "too-slow"] {
        // What its sender may resume is kept.
        let outcome = if matches!(reason, "interrupted" | "too-slow") { "kept" } else { "failed" };
        let series = format!("weighbridge_uploads_ended_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}");
        eventually(&series, || (world.metric(&series) >= 1.0).then_some(()));
        let of_it = |line: &Value| line["message"] == "upload ended" && line["reason"] == reason;
        let found: Vec<_> = lines(&world.gateway).into_iter().filter(of_it).collect();
        assert_eq!(found.len(), 1, "{reason}: {found:#?}");
        assert_eq!(spans(&found[0], "upload").len(), 1, "{found:#?}");
        assert_eq!(found[0]["outcome"], outcome);
    }
    // An interrupted body gets no answer, or one that is never read.
    for (series, at_least) in [
        ("weighbridge_requests_total{method=\"PUT\",route=\"/u/{link}/{name}\",status=\"4xx\"}", 3.0),
        ("weighbridge_received_bytes_total", 1_000_000.0),
    ] {
        assert!(world.metric(series) >= at_least, "{series}: {}", world.metric(series));
    }
    assert_eq!(world.metric("weighbridge_uploads_ended_total{outcome=\"completed\""), 0.0);
}

#[tokio::test]
async fn metrics_report_speed_and_upstream_answers() {
    let world = world_on(Sandbox::start_embedded(), &[]);
    let down = serde_json::json!({"service": "s3", "operation": "UploadPart", "fault": "status", "status": 503, "times": 1});
    world.sandbox.fault(down).await;
    world.sandbox.sent(&world.link("globex"), "large.bin", &noise(20_500_000, 4));
    world.sandbox.sent(&world.link("acme"), "small.bin", &noise(1_500_000, 5));
    eventually("both tickets have notes", || {
        (world.metric("weighbridge_delivery_seconds_count") >= 2.0).then_some(())
    });
    for (series, value) in [
        ("weighbridge_uploads_ended_total{outcome=\"completed\"", 2.0),
        ("weighbridge_completed_bytes_total{destination=\"partner-bucket\"}", 20_500_000.0),
        ("weighbridge_completed_bytes_total{destination=\"ticket-attachment\"}", 1_500_000.0),
        ("weighbridge_received_bytes_total", 22_000_000.0),
        ("weighbridge_upload_seconds_count{destination=\"partner-bucket\"}", 1.0),
        ("weighbridge_upload_bytes_per_second_count", 2.0),
        ("weighbridge_requests_total{method=\"PUT\",route=\"/u/{link}/{name}\",status=\"2xx\"}", 2.0),
        ("weighbridge_memory_waiting", 0.0),
        ("weighbridge_build_info", 1.0),
        ("weighbridge_ledger_errors_total", 0.0),
    ] {
        assert_eq!(world.metric(series), value, "{series}");
    }
    let text = curl(&[&world.sandbox.text("/metrics")]).body;
    let has = |name: &str, labels: &[&str]| {
        text.lines().any(|line| {
            line.starts_with(name) && labels.iter().all(|label| line.contains(label)) && !line.ends_with(" 0")
        })
    };
    for (name, labels) in [
        ("weighbridge_s3_attempts_total", &["operation=\"UploadPart\"", "result=\"503\""][..]),
        ("weighbridge_s3_attempts_total", &["operation=\"UploadPart\"", "result=\"ok\""]),
        ("weighbridge_s3_attempts_total", &["operation=\"PutObject\"", "result=\"ok\""]),
        ("weighbridge_s3_attempt_seconds_bucket", &["operation=\"CompleteMultipartUpload\""]),
        ("weighbridge_desk_calls_total", &["about=\"tickets\"", "method=\"PUT\"", "result=\"ok\""]),
        ("weighbridge_desk_call_seconds_bucket", &["about=\"uploads\""]),
        ("weighbridge_ledger_transaction_seconds_bucket", &[]),
        ("# HELP weighbridge_requests_total", &[]),
        ("# TYPE weighbridge_upload_seconds histogram", &[]),
    ] {
        assert!(has(name, labels), "{name} {labels:?}: {text}");
    }
}

#[test]
fn no_token_at_any_log_level() {
    let sandbox = Sandbox::start();
    let config = sandbox.data().join("serve.toml");
    let output = Command::new(tests::program("weighbridge"))
        .args(["config", "check", "--config"])
        .arg(&config)
        .env("RUST_LOG", "loud")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("RUST_LOG"), "{output:?}");
    let gateway = sandbox.gateway_with(|config| {
        let log: toml::Table = "level = \"trace\"".parse().unwrap();
        config.insert("log".into(), log.into());
    });
    let (link, staff) = (sandbox.link("acme"), sandbox.text("/staff_token"));
    sandbox.sent(&link, "t.log", b"t");
    assert_eq!(sandbox.staff("/uploads?ticket=1001", &[]).status, 200);
    let token = link.rsplit('/').next().unwrap();
    let hidden = format!("{}/u/-/h.log", gateway.url);
    let file = sandbox.file("hidden", "h.log", b"h");
    assert_eq!(curl(&["-u", &format!("any:{token}"), "-T", file.to_str().unwrap(), &hidden]).status, 201);
    assert_eq!(curl(&[&format!("{}/u/{token}x/", gateway.url)]).status, 404);
    eventually("the last request is logged", || gateway.log().contains("status=404").then_some(()));
    for secret in [token, &staff] {
        assert!(!gateway.log().contains(secret), "a token is in the log: {}", gateway.log());
    }
}
