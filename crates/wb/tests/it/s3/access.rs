//! As whom, and where: the AWS settings of the environment and of the configuration files.

use std::fs;

use bytes::Bytes;

use crate::run;
use crate::store::{Store, id};

fn store() -> Store {
    let store = Store::new();
    store.upload("1001", &id(1), "a.log", &Bytes::from("content"));
    fs::create_dir(store.path(".aws")).unwrap();
    store
}

#[test]
fn profiles_say_endpoint_region_and_keys() {
    let store = store();
    let access = &store.access;
    let keys = format!(
        "[desk]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        access.access_key_id, access.secret_access_key
    );
    fs::write(store.path(".aws/credentials"), keys).unwrap();
    let (endpoint, region) = (&access.endpoint, &access.region);
    let plain = format!("[profile desk]\nregion = {region}\nendpoint_url = {endpoint}\n");
    let of_s3 = format!(
        "[profile desk]\nregion = {region}\nservices = store\n[services store]\ns3 =\n  endpoint_url = {endpoint}\n"
    );
    // Without a region, too: a store of one's own seldom has one.
    let no_region = format!("[profile desk]\nendpoint_url = {endpoint}\n");
    for config in [plain, of_s3, no_region] {
        fs::write(store.path(".aws/config"), &config).unwrap();
        let mut command = store.plain(&["--s3", "s3://uploads/in", "get", &id(1), "-o", "-"]);
        let run = run(command.env("AWS_PROFILE", "desk")).ends(0);
        assert_eq!(run.stdout, b"content", "{config}");
    }
}

#[test]
fn the_environment_wins_and_one_endpoint_may_serve_all() {
    let store = store();
    fs::write(
        store.path(".aws/config"),
        "[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n",
    )
    .unwrap();
    store.wb(&["get", &id(1), "-o", "-"]).ends(0);
    let mut command = store.command(&["ls"]);
    run(command.env_remove("AWS_ENDPOINT_URL_S3").env("AWS_ENDPOINT_URL", &store.access.endpoint)).ends(0);
}

#[test]
fn a_program_of_the_profile_may_hand_out_the_keys() {
    let store = store();
    let access = &store.access;
    let answer = serde_json::json!({"Version": 1, "AccessKeyId": access.access_key_id, "SecretAccessKey": access.secret_access_key});
    fs::write(store.path("keys.json"), answer.to_string()).unwrap();
    let config = format!(
        "[default]\nregion = {}\nendpoint_url = {}\ncredential_process = cat {}\n",
        access.region,
        access.endpoint,
        store.path("keys.json").display()
    );
    fs::write(store.path(".aws/config"), config).unwrap();
    let mut command = store.plain(&["--s3", "s3://uploads/in", "ls"]);
    run(command.env("PATH", std::env::var_os("PATH").unwrap())).ends(0);
}

#[test]
fn wrong_or_missing_credentials_are_status_4() {
    let store = store();
    for (name, value) in [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")] {
        for arguments in [["ls"].as_slice(), &["get", "1001"], &["get", &id(1)], &["verify", "in/a"]] {
            let run = run(store.command(arguments).env(name, value)).ends(4);
            assert!(run.stderr.contains("the bucket refuses"), "{}", run.stderr);
            assert!(!run.stderr.contains(&store.access.secret_access_key), "{}", run.stderr);
        }
    }
    let mut command = store.command(&["ls"]);
    let run = run(command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY")).ends(4);
    assert!(
        run.stderr.contains("no usable AWS credentials") && run.stderr.contains("aws sso login"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_not_there_is_status_3() {
    let store = store();
    for arguments in [
        ["--s3", "s3://no-such-bucket/in", "ls"].as_slice(),
        &["--s3", "s3://no-such-bucket", "get", "1001"],
        &["--s3", "s3://no-such-bucket", "get", "a.log"],
        &["get", "no/such/key"],
        &["get", &id(2)],
        &["get", &format!("1001/{}", id(2))],
        &["get", "1002"],
        &["verify", &id(2)],
    ] {
        let run = store.wb(arguments).ends(3);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("error: "), "{arguments:?}: {}", run.stderr);
    }
    // What is there is fetched all the same.
    store.wb(&["get", &id(2), "no/such/key", &id(1), "-o", "out"]).ends(3);
    assert_eq!(store.names("out"), ["a.log"]);
}

#[test]
fn a_store_that_is_not_there_is_status_1() {
    let store = store();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = store.command(&["ls"]);
    let run = run(command.env("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{port}"))).ends(1);
    assert!(run.stderr.contains("the bucket is unavailable"), "{}", run.stderr);
}
