//! What can only be tested with a real S3 server: that the suite speaks to it, `wb --s3` as AWS tools are set up for it, and
//! a bucket of 20,000 objects. `.ci/garage` runs these beside the whole suite; without a running Garage each one fails.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

mod access;
mod many;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bucket::{Bucket, Config, Crc64Hasher, Credentials, Metadata, Payload};
use bytes::Bytes;
use tests::{Garage, World, eventually, eventually_async, noise, object, objects, program};

fn garage() -> Garage {
    Garage::from_environment().expect("run `.ci/garage`: it starts a Garage and says where it is")
}

/// A bucket of Garage in the gateway's configuration.
fn config(garage: &Garage, name: &str) -> Config {
    Config {
        bucket: name.to_owned(),
        prefix: String::new(),
        endpoint: Some(garage.endpoint.clone()),
        public_endpoint: Some(garage.endpoint.clone()),
        region: garage.region.clone(),
        path_style: true,
        credentials: Credentials::Static {
            access_key_id: garage.key_id.clone(),
            secret_access_key: garage.secret.clone(),
        },
        expected_owner: None,
        kms_key: None,
    }
}

async fn bucket(garage: &Garage, name: &str) -> Bucket {
    Bucket::new(config(garage, name)).await
}

/// Puts an object as the gateway does, with a checksum.
async fn put(bucket: &Bucket, key: &str, bytes: &Bytes) {
    try_put(bucket, key, bytes).await.unwrap();
}

async fn try_put(bucket: &Bucket, key: &str, bytes: &Bytes) -> bucket::Result<()> {
    let mut crc64 = Crc64Hasher::new();
    crc64.update(bytes);
    let payload = Payload::new(vec![bytes.clone()], crc64.value());
    bucket.put(key, "application/octet-stream", &Metadata::new(), &payload).await
}

/// Puts an object as a third-party tool does, without a checksum.
fn put_as_stranger(garage: &Garage, bucket: &str, key: &str, file: &Path) {
    let status = Command::new("curl")
        .args(["-sSf", "--max-time", "60", "--aws-sigv4", &format!("aws:amz:{}:s3", garage.region)])
        .args(["--user", &format!("{}:{}", garage.key_id, garage.secret)])
        .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T"])
        .arg(file)
        .arg(format!("{}/{bucket}/{key}", garage.endpoint))
        .status();
    assert!(status.unwrap().success(), "{key}");
}

/// `wb` with nothing of the caller's environment.
fn wb(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("wb"));
    command.args(arguments).current_dir(home).env_clear().env("HOME", home);
    command
}

/// The same with keys, region and address in the environment.
fn wb_with_keys(garage: &Garage, home: &Path, arguments: &[&str]) -> Command {
    let mut command = wb(home, arguments);
    command.env("AWS_ACCESS_KEY_ID", &garage.key_id).env("AWS_SECRET_ACCESS_KEY", &garage.secret);
    command.env("AWS_REGION", &garage.region).env("AWS_ENDPOINT_URL", &garage.endpoint);
    command
}

/// Runs it; it must end with this status.
fn ends(command: &mut Command, status: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{command:?}: {}", tests::printed(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn files_are_stored_in_garage() {
    let garage = garage();
    let world = World::start();
    assert_eq!(world.sandbox.text("/s3/endpoint"), garage.endpoint);
    for (partner, bucket) in [("acme", None), ("globex", Some("globex"))] {
        let (small, large) = (noise(1_000, 1), noise(30_000_000, 2));
        let bucket = world.sandbox.bucket(bucket).await;
        for (name, bytes) in [("small.log", &small), ("large.bin", &large)] {
            let receipt = world.sandbox.sent(&world.link(partner), name, bytes);
            let key =
                format!("{}/{}/{name}", receipt["ticket"].as_str().unwrap(), receipt["id"].as_str().unwrap());
            assert!(object(&bucket, &key).await == *bytes, "{key}");
        }
        eventually_async("both receipts are written", async || {
            (objects(&bucket).await.len() == 4).then_some(())
        })
        .await;
        // Not by our own client, but by Garage's own account of the bucket; it counts a moment later.
        eventually("garage counts four objects", || {
            let info = garage.bucket_info(bucket.name());
            let objects = info.lines().find(|line| line.trim_start().starts_with("Objects:"))?;
            objects.split_whitespace().any(|word| word == "4").then_some(())
        });
    }
}

/// A presigned URL that has expired is refused with a status on which `wb get` asks for a new one.
#[tokio::test]
async fn expired_url_gets_a_status_that_wb_knows() {
    let garage = garage();
    let bucket = bucket(&garage, &garage.make_bucket("expired")).await;
    put(&bucket, "a", &Bytes::from_static(b"content")).await;
    let url = bucket.presign("a", "attachment", Duration::from_secs(3)).await.unwrap();
    let fetch = || tests::curl(&["-r", "0-3", &url]);
    let first = fetch();
    assert_eq!((first.status, first.body.as_str()), (206, "cont"));
    let status = eventually("it expires", || Some(fetch().status).filter(|status| *status != 206));
    assert!([400, 401, 403].contains(&status), "{status}");
}

/// What deploy/README.md says that Garage does not do. When this fails, it may have learnt it.
#[tokio::test]
async fn missing_features_of_garage() {
    let garage = garage();
    let name = garage.make_bucket("gaps");
    let content = Bytes::from_static(b"content");
    let plain = bucket(&garage, &name).await;
    put(&plain, "a.html", &content).await;
    // A range of a presigned URL comes without the attachment header that the whole object comes with.
    let url = plain.presign("a.html", "attachment", Duration::from_secs(60)).await.unwrap();
    let (whole, range) = (tests::curl(&[&url]), tests::curl(&["-r", "0-3", &url]));
    let disposition = |answer: &tests::Answer| answer.headers.get("content-disposition").cloned();
    assert_eq!((whole.status, disposition(&whole).as_deref()), (200, Some("attachment")));
    assert_eq!((range.status, disposition(&range)), (206, None));
    // Whom a bucket belongs to is not checked.
    let owned = Config { expected_owner: Some("123456789012".into()), ..config(&garage, &name) };
    assert!(Bucket::new(owned).await.probe().await.is_ok());
    // A KMS key is not used, and nothing says so.
    let encrypted = Config { kms_key: Some("alias/key".into()), ..config(&garage, &name) };
    let outcome = try_put(&Bucket::new(encrypted).await, "encrypted", &content).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    // Keys may be as long as S3 allows.
    put(&plain, &"k".repeat(1_024), &content).await;
}
