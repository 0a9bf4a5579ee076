//! Faults over their HTTP control, as a test of the gateway uses them.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use serde_json::{Value, json};

use crate::multipart::parts;
use crate::{BUCKET, TestStore, client, code, crc64, pattern, put};

impl TestStore {
    async fn fault(&self, rule: Value) {
        let answer = reqwest::Client::new().post(&self.sandbox.faults_url).json(&rule).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{}", answer.text().await.unwrap());
    }

    async fn faults(&self) -> Value {
        reqwest::get(&self.sandbox.faults_url).await.unwrap().json().await.unwrap()
    }

    async fn clear_faults(&self) {
        let answer = reqwest::Client::new().delete(&self.sandbox.faults_url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 204);
    }

    /// Until the first rule has begun to act.
    async fn until_hit(&self) {
        let hit = async { while self.faults().await["rules"][0]["hit"] != 1 {} };
        tokio::time::timeout(Duration::from_secs(20), hit).await.expect("the fault is hit");
    }
}

fn rule(operation: &str, fault: &str) -> Value {
    json!({"service": "s3", "operation": operation, "fault": fault})
}

#[tokio::test]
async fn put_reset_once() {
    let world = TestStore::start().await;
    world.fault(rule("PutObject", "reset")).await;
    assert_eq!(put(&world.client, "k", b"one").await, Err("no answer".to_owned()));
    assert!(!world.exists("k").await);
    put(&world.client, "k", b"two").await.unwrap();
    world.clear_faults().await;
    world.fault(rule("PutObject", "reset")).await;
    put(&client(&world.sandbox.s3, 3), "k", b"three").await.expect("a retrying client does not notice");
    let report = world.faults().await;
    assert_eq!(report["rules"][0]["seen"], 2);
    assert_eq!(report["rules"][0]["hit"], 1);
    assert_eq!(report["calls"], json!({"s3": {"PutObject": 2}}), "clearing resets the counters");
}

#[tokio::test]
async fn get_busy_with_retry_after() {
    let world = TestStore::start().await;
    world.put("k", b"x").await;
    let rule = json!({"service": "s3", "operation": "GetObject", "after": 1, "fault": "status", "status": 503,
                      "retry_after": 7, "times": 1});
    world.fault(rule).await;
    let minute = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = world.client.get_object().bucket(BUCKET).key("k").presigned(minute).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = reqwest::get(url.uri()).await.unwrap();
        let wait = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        answers.push((answer.status().as_u16(), wait, answer.text().await.unwrap().contains("SlowDown")));
    }
    let usual = (200, None, false);
    assert_eq!(answers, [usual.clone(), (503, Some("7".to_owned()), true), usual]);
}

#[tokio::test]
async fn large_put_busy_is_answered_not_cut() {
    let world = TestStore::start().await;
    world.fault(json!({"service": "s3", "operation": "*", "fault": "status", "status": 503})).await;
    assert_eq!(put(&world.client, "k", &pattern(9_000_000, 1)).await, Err("SlowDown".to_owned()));
    assert!(!world.exists("k").await);
}

#[tokio::test]
async fn complete_performed_but_answer_lost() {
    let world = TestStore::start().await;
    let id = world.create("k").await;
    let part = world.part("k", &id, 1, b"hello").await;
    world.fault(rule("CompleteMultipartUpload", "lost-answer")).await;
    let complete = || {
        let call = world.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id);
        call.multipart_upload(parts(vec![part.clone()])).send()
    };
    assert_eq!(code(&complete().await.unwrap_err()), "no answer");
    assert_eq!(world.faults().await["rules"][0]["hit"], 1);
    assert_eq!(code(&complete().await.unwrap_err()), "NoSuchUpload");
    assert_eq!(world.get("k").await, b"hello", "no such upload, but complete");
}

#[tokio::test]
async fn part_corrupted_on_the_wire_is_refused() {
    let world = TestStore::start().await;
    let id = world.create("k").await;
    let data = pattern(100_000, 6);
    world.fault(rule("UploadPart", "corrupt")).await;
    let send = || {
        let call = world.client.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(1);
        let call = call.checksum_crc64_nvme(crc64(&data)).body(data.clone().into());
        call.customize().disable_payload_signing().send()
    };
    assert_eq!(code(&send().await.unwrap_err()), "BadDigest");
    assert_eq!(world.blobs(), 0);
    send().await.unwrap();
}

#[tokio::test]
async fn get_corrupted_differs_in_one_byte() {
    let world = TestStore::start().await;
    let data = pattern(700_000, 8);
    world.put("k", &data).await;
    world.fault(rule("GetObject", "corrupt")).await;
    let damaged = world.get("k").await;
    assert_eq!(damaged.len(), data.len());
    assert_eq!(damaged.iter().zip(&data).filter(|(a, b)| a != b).count(), 1);
    assert!(world.get("k").await == data);
}

#[tokio::test]
async fn delays_hold_before_and_after_the_effect() {
    let world = TestStore::start().await;
    for (when, performed) in [("before", false), ("after", true)] {
        let mut rule = rule("PutObject", "delay");
        rule["delay_ms"] = json!(600_000);
        rule["when"] = json!(when);
        world.fault(rule).await;
        let client = world.client.clone();
        let held = tokio::spawn(async move { put(&client, when, b"x").await });
        world.until_hit().await;
        assert_eq!(world.exists(when).await, performed, "{when}");
        assert!(!held.is_finished());
        world.clear_faults().await;
        held.await.unwrap().unwrap();
        assert!(world.exists(when).await);
    }
}

#[tokio::test]
async fn bad_rules_are_explained() {
    let world = TestStore::start().await;
    let http = reqwest::Client::new();
    for (body, part) in [
        ("{", "not JSON"),
        (r#"{"service": "s3", "operation": "*"}"#, "missing field `fault`"),
        (r#"{"service": "s3", "operation": "*", "fault": "reset", "count": 1}"#, "unknown field `count`"),
        (r#"{"service": "ftp", "operation": "*", "fault": "reset"}"#, "unknown variant `ftp`"),
        (
            r#"[{"service": "s3", "operation": "*", "fault": "reset"}, {"service": "s3", "operation": "*", "fault": "delay"}]"#,
            "rule 2: the fault delay needs `delay_ms`",
        ),
    ] {
        let answer = http.post(&world.sandbox.faults_url).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    assert_eq!(world.faults().await["rules"], json!([]), "none of an array with a bad one");
}

#[tokio::test]
async fn desk_and_slack_are_within_reach() {
    let world = TestStore::start().await;
    world
        .fault(json!([{"service": "desk", "operation": "*", "fault": "status", "status": 500},
                       {"service": "slack", "operation": "*", "fault": "corrupt"}]))
        .await;
    let desk = reqwest::get(format!("{}/api/v2/users/me.json", world.sandbox.desk.url)).await.unwrap();
    assert_eq!(desk.status().as_u16(), 500);
    let slack = reqwest::get(format!("{}/messages", world.sandbox.slack.url)).await.unwrap();
    assert_eq!(slack.status().as_u16(), 200);
    assert!(slack.json::<Value>().await.is_err());
    let me = reqwest::Client::new().get(format!("{}/api/v2/users/me.json", world.sandbox.desk.url));
    let me = me.header("authorization", &world.sandbox.desk.authorization).send().await.unwrap();
    assert_eq!(me.status().as_u16(), 200);
}

#[tokio::test]
async fn reset_is_a_reset_not_an_end() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = TestStore::start().await;
    let mut expected = Vec::new();
    for fault in ["reset", "lost-answer"] {
        world.fault(json!({"service": "slack", "operation": "*", "fault": fault})).await;
        let address = world.sandbox.slack.url.strip_prefix("http://").unwrap();
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /messages HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        expected.push(socket.read(&mut [0; 100]).await.unwrap_err().kind());
    }
    assert_eq!(expected, [std::io::ErrorKind::ConnectionReset; 2]);
}
