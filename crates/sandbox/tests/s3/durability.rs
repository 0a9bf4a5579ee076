//! Answered writes survive a restart and a kill; unanswered ones leave nothing behind.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::multipart::parts;
use crate::{BUCKET, MIB, TestStore, client, crc64, pattern, start};

/// Set for the process that [`serve_until_killed`] is to run in.
const CHILD: &str = "SANDBOX_TEST_CHILD_DIR";

/// Not a test of its own: the process that `what_was_answered_survives_a_kill` kills.
#[tokio::test]
async fn serve_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let sandbox = start(dir.as_ref()).await.unwrap();
    println!("\nlistening {}", sandbox.s3.endpoint);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    // Makes the key pair, which the other process will use as well.
    let sandbox = start(dir.path()).await.unwrap();
    let mut access = sandbox.s3.clone();
    sandbox.stop().await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::serve_until_killed", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    access.endpoint = loop {
        let line = lines.next_line().await.unwrap().expect("the other process says where it listens");
        if let Some(endpoint) = line.strip_prefix("listening ") {
            break endpoint.to_owned();
        }
    };

    let remote = client(&access, 1);
    let data = pattern(5 * MIB, 1);
    crate::put(&remote, "whole", &data).await.unwrap();
    let id =
        remote.create_multipart_upload().bucket(BUCKET).key("big").send().await.unwrap().upload_id.unwrap();
    let call = remote.upload_part().bucket(BUCKET).key("big").upload_id(&id).part_number(1);
    let sent = call.body(data.clone().into()).send().await.unwrap();
    // A presigned PUT that stops half way, then the kill.
    let expiry =
        aws_sdk_s3::presigning::PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
    let half = remote.put_object().bucket(BUCKET).key("half").presigned(expiry).await.unwrap();
    let (host, path) = half.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    let length = data.len() * 2;
    write!(socket, "PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n").unwrap();
    socket.write_all(&data).unwrap();
    // SIGKILL, and waits for the end.
    child.kill().await.unwrap();

    let world = TestStore::start_on(dir).await;
    assert!(world.get("whole").await == data);
    assert!(!world.exists("half").await);
    assert_eq!(world.blobs(), 2, "half a body is gone");
    let last = world.part("big", &id, 2, b"end").await;
    let first = aws_sdk_s3::types::CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag).build();
    let call = world.client.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&id);
    let whole = [&data[..], b"end"].concat();
    let call = call.checksum_crc64_nvme(crc64(&whole)).multipart_upload(parts(vec![first, last]));
    call.send().await.unwrap();
    assert!(world.get("big").await == whole);
}

#[tokio::test]
async fn leftovers_are_removed_at_start() {
    let world = TestStore::start().await;
    world.put("kept", b"kept").await;
    let id = world.create("open").await;
    world.part("open", &id, 1, b"kept, too").await;
    let (dir, sandbox) = (world.dir, world.sandbox);
    sandbox.stop().await;
    let blobs = dir.path().join("s3/blobs");
    for name in ["tmp-1", "0123456789abcdef0123456789abcdef"] {
        std::fs::write(blobs.join(name), b"orphan").unwrap();
    }
    std::fs::write(dir.path().join("s3/objects/tmp-2"), b"{").unwrap();
    let world = TestStore::start_on(dir).await;
    assert_eq!(world.blobs(), 2);
    assert_eq!(world.get("kept").await, b"kept");
}

#[tokio::test]
async fn one_sandbox_per_folder_on_loopback_only() {
    let world = TestStore::start().await;
    let keys = (world.sandbox.s3.access_key_id.clone(), world.sandbox.s3.secret_access_key.clone());
    let error = start(world.dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("another process runs a sandbox on"), "{error}");
    let shown = format!("{:?}", world.sandbox);
    assert!(!shown.contains(&keys.1) && !shown.contains(&world.sandbox.desk.api_token), "{shown}");
    let world = world.restart().await;
    assert_eq!(keys, (world.sandbox.s3.access_key_id.clone(), world.sandbox.s3.secret_access_key.clone()));

    let open = sandbox::Listen { s3: "0.0.0.0:0".parse().unwrap(), ..sandbox::Listen::any_port() };
    let elsewhere = TempDir::new().unwrap();
    let error = sandbox::Sandbox::start(elsewhere.path(), open, &sandbox::Seed::default()).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn incomplete_uploads_end_as_the_lifecycle_rule_says() {
    let dir = TempDir::new().unwrap();
    let sandbox = start(dir.path()).await.unwrap();
    let remote = client(&sandbox.s3, 1);
    let rules = remote.get_bucket_lifecycle_configuration().bucket(BUCKET).send().await.unwrap();
    let abort = rules.rules()[0].abort_incomplete_multipart_upload().unwrap();
    assert_eq!(abort.days_after_initiation(), Some(7));
    let begin = || remote.create_multipart_upload().bucket(BUCKET).key("k").send();
    let old = begin().await.unwrap().upload_id.unwrap();
    let young = begin().await.unwrap().upload_id.unwrap();
    let call = remote.upload_part().bucket(BUCKET).key("k").upload_id(&old).part_number(1);
    call.body(pattern(MIB, 1).into()).send().await.unwrap();
    sandbox.stop().await;
    let record = dir.path().join("s3/uploads").join(format!("{old}.json"));
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    json["started_ms"] = (json["started_ms"].as_i64().unwrap() - 8 * 24 * 60 * 60 * 1000).into();
    std::fs::write(&record, json.to_string()).unwrap();

    let sandbox = start(dir.path()).await.unwrap();
    let left = client(&sandbox.s3, 1).list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    let left: Vec<_> = left.uploads().iter().filter_map(|upload| upload.upload_id()).collect();
    assert_eq!(left, [young]);
    assert_eq!(std::fs::read_dir(dir.path().join("s3/blobs")).unwrap().count(), 0, "its parts are gone");
    sandbox.stop().await;
}
