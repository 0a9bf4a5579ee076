//! `wb --s3 … get` and `verify`.

use bytes::Bytes;
use serde_json::json;

use crate::fake::{self, LARGE, sha256};
use crate::store::{Store, id};
use crate::{eventually, read};

#[test]
fn a_large_upload_is_found_by_key_id_and_ticket() {
    let store = Store::new();
    let content = fake::bytes(LARGE);
    let key = store.upload("1001", &id(1), "dump.bin", &content);
    let address = format!("s3://uploads/{key}");
    let below_prefix = key.strip_prefix("in/").unwrap();
    for what in [&id(1), "1001", &format!("1001/{}", id(1)), &key, below_prefix, &address] {
        let run = store.wb(&["get", what, "-o", "out", "--force"]).ends(0);
        assert!(
            run.text().contains(&format!("sha256 {} verified", sha256(&content))),
            "{what}: {}",
            run.text()
        );
        assert!(read(store.path("out/dump.bin")) == content, "{what}");
        assert_eq!(store.names("out"), ["dump.bin"], "{what}");
    }
    let run = store.wb(&["get", &id(1), "-o", "-"]).ends(0);
    assert!(run.stdout == content);
    let saved = store.wb(&["--json", "get", &id(1), &key, "-o", "json"]).ends(0).objects();
    assert_eq!(saved.len(), 1, "one object, once");
    assert_eq!((&saved[0]["path"], &saved[0]["verified_by"]), (&json!("json/dump.bin"), &json!("receipt")));
    assert_eq!(saved[0]["later"]["kept"], true);
}

#[test]
fn a_ticket_means_all_that_lies_under_it() {
    let store = Store::new();
    for number in 1..=3 {
        store.upload("1001", &id(number), "same.log", &Bytes::from(format!("content {number}")));
    }
    store.upload("10012", &id(9), "other.log", &Bytes::from("another ticket"));
    store.put("in/1001/notes.txt", Vec::new(), &Bytes::from("by hand"));
    store.put("in/1001/", Vec::new(), &Bytes::new());
    let run = store.wb(&["get", "1001", "-o", "out"]).ends(0);
    assert_eq!(store.names("out"), ["notes.txt", "same (2).log", "same (3).log", "same.log"]);
    assert!(run.text().contains("crc64nvme") && run.text().contains("no receipt"), "{}", run.text());
    store.wb(&["get", "1001", "-o", "-"]).ends(2);
    store.wb(&["get", "1009", "-o", "-"]).ends(3);
}

#[test]
fn what_vouches_for_an_object_without_a_receipt() {
    let store = Store::new();
    let content = Bytes::from("content");
    store.put("in/digest", vec![("sha256", sha256(&content))], &content);
    store.put("in/wrong", vec![("sha256", sha256(b"other"))], &content);
    store.put("in/nonsense", vec![("sha256", "abc".to_owned())], &content);
    store.put("in/empty", Vec::new(), &Bytes::new());
    for (what, by) in [("digest", "metadata"), ("nonsense", "crc64nvme"), ("empty", "crc64nvme")] {
        let saved = store.wb(&["--json", "get", what, "--require-verified"]).ends(0).objects().remove(0);
        assert_eq!((&saved["verified_by"], &saved["unverified"]), (&json!(by), &json!(true)), "{what}");
        let verified = store.wb(&["--json", "verify", what]).ends(0).objects().remove(0);
        assert_eq!((&verified["verified"], &verified["verified_by"]), (&json!(true), &json!(by)), "{what}");
    }
    let run = store.wb(&["get", "wrong"]).ends(5);
    assert!(run.stderr.contains("the object's metadata says SHA-256"), "{}", run.stderr);
    assert_eq!(store.names("."), ["digest", "empty", "nonsense"]);
}

/// The longest key that S3 knows has no room for a receipt beside it.
#[test]
fn the_longest_keys_are_fetched() {
    let store = Store::new();
    let content = Bytes::from("content");
    let folder = format!("in/1001/{}/", id(1));
    let named = |length: usize| format!("{folder}{}", "x/".repeat(500))[..length - 1].to_owned() + "n";
    for length in [1_024, 1_012, 1_011] {
        let key = named(length);
        store.put(&key, Vec::new(), &content);
        for what in [key.as_str(), key.strip_prefix("in/").unwrap()] {
            let run = store.wb(&["--json", "get", what, "-o", "out", "--force"]).ends(0);
            assert_eq!(run.objects()[0]["verified_by"], "crc64nvme", "{length}");
        }
        assert_eq!(read(store.path("out/n")), content, "{length}");
        assert_eq!(
            store.wb(&["--json", "verify", &key]).ends(0).objects()[0]["unverified"],
            true,
            "{length}"
        );
    }
    let listed = store.wb(&["--json", "ls", "--long"]).ends(0).objects();
    assert_eq!(listed.iter().filter(|object| object["unverified"] == true).count(), 3, "{listed:?}");
    assert_eq!(store.wb(&["ls", "--ticket", "1001"]).ends(0).text().lines().count(), 4);
    // A key that no object can have.
    store.wb(&["get", &"k".repeat(1_025)]).ends(3);
    store.wb(&["get", &"k".repeat(1_023)]).ends(3);
}

#[test]
fn other_bytes_than_the_receipt_speaks_of_are_status_5() {
    let store = Store::new();
    let key = store.upload("1001", &id(1), "same-size", &Bytes::from("right"));
    store.put(&key, Vec::new(), &Bytes::from("wrong"));
    let key = store.upload("1001", &id(2), "longer", &Bytes::from("right"));
    store.put(&key, Vec::new(), &Bytes::from("right and more"));
    store.upload("1001", &id(3), "good", &Bytes::from("right"));
    let run = store.wb(&["get", "1001", "-o", "out"]).ends(5);
    assert!(run.stderr.contains("14 bytes are stored, the receipt says 5"), "{}", run.stderr);
    assert!(run.stderr.contains("the receipt says SHA-256"), "{}", run.stderr);
    assert_eq!(store.names("out"), ["good"]);
    let run = store.wb(&["verify", &id(1), &id(3), "--json"]).ends(5);
    let verified: Vec<_> = run.objects().iter().map(|object| object["verified"] == true).collect();
    assert_eq!(verified, [false, true]);
}

#[test]
fn a_byte_damaged_on_its_way_is_noticed_without_a_receipt() {
    let store = Store::new();
    store.put("in/a", Vec::new(), &fake::bytes(100_000));
    // The first read looks for a receipt.
    store.fault(json!({"service": "s3", "operation": "GetObject", "after": 1, "fault": "corrupt"}));
    let run = store.wb(&["get", "a"]).ends(5);
    assert!(run.stderr.contains("the bucket says CRC-64/NVME"), "{}", run.stderr);
    assert!(store.names(".").is_empty());
    store.wb(&["get", "a"]).ends(0);
}

#[test]
fn an_interrupted_download_resumes() {
    let store = Store::new();
    let content = fake::bytes(LARGE);
    store.upload("1001", &id(1), "dump.bin", &content);
    // The receipt and the first range come through.
    store.fault(json!({"service": "s3", "operation": "GetObject", "after": 2, "times": 0, "fault": "status", "status": 403}));
    let run = store.wb(&["get", "1001", "--parallel", "1"]).ends(4);
    assert!(run.stderr.contains("16.78 MB are kept"), "{}", run.stderr);
    store.clear_faults();
    let run = store.wb(&["get", "1001"]).ends(0);
    assert!(run.stderr.contains("resuming after 16.78 MB from an earlier run"), "{}", run.stderr);
    assert!(read(store.path("dump.bin")) == content);
    assert_eq!((store.calls("GetObject"), store.names(".")), (3, vec!["dump.bin".to_owned()]));
}

#[test]
fn a_cut_or_busy_connection_is_tried_again() {
    let store = Store::new();
    let content = fake::bytes(LARGE);
    store.upload("1001", &id(1), "dump.bin", &content);
    store.fault(json!({"service": "s3", "operation": "GetObject", "after": 1, "fault": "reset"}));
    store.fault(
        json!({"service": "s3", "operation": "GetObject", "after": 2, "fault": "status", "status": 503}),
    );
    store.wb(&["get", "1001"]).ends(0);
    assert!(read(store.path("dump.bin")) == content);
}

#[test]
fn an_object_replaced_meanwhile_is_not_mixed_with_its_successor() {
    let store = Store::new();
    store.put("in/a", Vec::new(), &fake::bytes(LARGE));
    store.fault(
        json!({"service": "s3", "operation": "GetObject", "after": 2, "fault": "delay", "delay_ms": 60_000}),
    );
    let mut command = store.command(&["get", "a", "--parallel", "1"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the second range is held up", || store.faults()["rules"][0]["hit"] == 1);
    store.put("in/a", Vec::new(), &fake::bytes(LARGE + 1));
    store.clear_faults();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("was replaced during the download"), "{said}");
    assert!(store.names(".").is_empty());
}

#[test]
fn hostile_keys_stay_in_the_folder() {
    let store = Store::new();
    let keys =
        ["in/../../escape", "in//etc/passwd", "in/..", "in/x\u{1b}]0;t\u{7}\n\u{1}", "in/.hidden", "in/-rf"];
    for key in keys {
        store.put(key, Vec::new(), &Bytes::from("x"));
    }
    store.upload("1001", &id(1), "\u{202e}gpj.exe", &Bytes::from("x"));
    let arguments: Vec<_> = ["get", "-o", "in/out", "1001", "--"].into_iter().chain(keys).collect();
    let run = store.wb(&arguments).ends(0);
    let saved = store.names("in/out");
    assert_eq!(saved.len(), keys.len() + 1, "{saved:?}");
    for expected in ["escape", "passwd", "x]0;t", "hidden", "rf", "gpj.exe"] {
        assert!(saved.iter().any(|name| name == expected), "{expected}: {saved:?}");
    }
    assert_eq!((store.names("in"), store.names(".")), (vec!["out".to_owned()], vec!["in".to_owned()]));
    assert!(!run.text().contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", run.text());
}

#[test]
fn local_files_are_compared_with_what_is_stored() {
    let store = Store::new();
    let content = Bytes::from("content");
    store.upload("1001", &id(1), "a.log", &content);
    store.put("in/own", Vec::new(), &content);
    std::fs::write(store.path("a.log"), &content).unwrap();
    for what in [id(1).as_str(), "1001", "own"] {
        let run = store.wb(&["verify", "a.log", "--id", what]).ends(0);
        let key = if what == "own" { "in/own".to_owned() } else { format!("in/1001/{}/a.log", id(1)) };
        assert!(run.text().starts_with("a.log  7 B  sha256 "), "{}", run.text());
        assert!(run.text().ends_with(&format!(", as `{key}`\n")), "{}", run.text());
    }
    store.wb(&["verify", "a.log", "--id", &id(2)]).ends(3);
    std::fs::write(store.path("a.log"), "changed").unwrap();
    for what in [id(1).as_str(), "own"] {
        let run = store.wb(&["--json", "verify", "a.log", "--id", what]).ends(5);
        assert_eq!(
            (&run.objects()[0]["verified"], &run.objects()[0]["path"]),
            (&json!(false), &json!("a.log"))
        );
    }
    std::fs::write(store.path("a.log"), "longer than that").unwrap();
    store.wb(&["verify", "a.log", "--id", &id(1)]).ends(5);
    // A saved receipt needs no bucket.
    std::fs::write(store.path("a.log"), &content).unwrap();
    let saved = store.wb(&["--json", "get", &id(1), "-o", "out"]).ends(0).text();
    std::fs::write(store.path("a.json"), saved).unwrap();
    store.wb(&["verify", "a.log", "--receipt", "a.json"]).ends(0);
}
