//! `wb --s3` finds Garage and its keys as AWS tools do: by variables, and by a profile of the configuration files.

use bytes::Bytes;
use serde_json::Value;

use crate::{bucket, ends, garage, put, put_as_stranger, text, wb, wb_with_keys};

const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";

/// A bucket with one upload and one object of a stranger; answers `s3://…` of it.
async fn filled(home: &std::path::Path) -> String {
    let garage = garage();
    let name = garage.make_bucket("access");
    let bucket = bucket(&garage, &name).await;
    let content = Bytes::from_static(b"content");
    let receipt = serde_json::json!({"id": ID, "name": "a.log", "size": 7, "sha256": tests::sha256(&content),
        "partner": "acme", "ticket": "1001", "destination": "support-uploader", "delivery": "done"});
    put(&bucket, &format!("1001/{ID}/a.log"), &content).await;
    put(&bucket, &format!("1001/{ID}/a.log.receipt.json"), &receipt.to_string().into()).await;
    std::fs::write(home.join("theirs"), "put by another tool").unwrap();
    put_as_stranger(&garage, &name, "theirs/core%20dump.bin", &home.join("theirs"));
    format!("s3://{name}")
}

#[tokio::test]
async fn access_by_environment_variables() {
    let (garage, home) = (garage(), tempfile::tempdir().unwrap());
    let place = filled(home.path()).await;
    let run = |status: i32, arguments: &[&str]| {
        ends(&mut wb_with_keys(&garage, home.path(), &[&["--s3", &place], arguments].concat()), status)
    };
    let listed = text(&run(0, &["ls", "--json"]));
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> = listed
        .iter()
        .map(|line| (line["key"].as_str().unwrap(), line["unverified"].as_bool().unwrap()))
        .collect();
    assert_eq!(shown, [(&*format!("1001/{ID}/a.log"), false), ("theirs/core dump.bin", true)]);
    let table = text(&run(0, &["ls"]));
    assert!(table.contains("unverified") && table.contains(ID), "{table}");

    assert_eq!(run(0, &["get", "1001", "-o", "-"]).stdout, b"content");
    run(0, &["get", ID, "theirs/core dump.bin", "-o", "out"]);
    assert_eq!(std::fs::read(home.path().join("out/a.log")).unwrap(), b"content");
    assert_eq!(std::fs::read(home.path().join("out/core dump.bin")).unwrap(), b"put by another tool");
    run(0, &["verify", ID]);
    // Nothing vouches for what another tool has put there: it is said, not passed over.
    run(3, &["verify", "theirs/core dump.bin"]);
    run(5, &["get", "theirs/core dump.bin", "--require-verified"]);
    run(3, &["get", "theirs/nothing"]);
    let mut wrong = wb_with_keys(&garage, home.path(), &["--s3", &place, "ls"]);
    ends(wrong.env("AWS_SECRET_ACCESS_KEY", "wrong"), 4);
    let mut missing = wb_with_keys(&garage, home.path(), &["--s3", "s3://there-is-no-such-bucket", "ls"]);
    ends(&mut missing, 3);
}

#[tokio::test]
async fn access_by_profile() {
    let (garage, home) = (garage(), tempfile::tempdir().unwrap());
    let place = filled(home.path()).await;
    let (config, credentials) = (home.path().join("config.ini"), home.path().join("keys.ini"));
    let (endpoint, region) = (&garage.endpoint, &garage.region);
    std::fs::write(&config, format!("[profile desk]\nregion = {region}\nendpoint_url = {endpoint}\n"))
        .unwrap();
    let keys =
        format!("[desk]\naws_access_key_id = {}\naws_secret_access_key = {}\n", garage.key_id, garage.secret);
    std::fs::write(&credentials, keys).unwrap();
    let run = |status: i32, profile: &str, arguments: &[&str]| {
        let mut command = wb(home.path(), &[&["--s3", &place], arguments].concat());
        command.env("AWS_PROFILE", profile).env("AWS_CONFIG_FILE", &config);
        ends(command.env("AWS_SHARED_CREDENTIALS_FILE", &credentials), status)
    };
    assert_eq!(text(&run(0, "desk", &["ls", "--json"])).lines().count(), 2);
    assert_eq!(run(0, "desk", &["get", ID, "-o", "-"]).stdout, b"content");
    run(0, "desk", &["verify", "1001"]);
    run(4, "nobody", &["ls"]);
}
