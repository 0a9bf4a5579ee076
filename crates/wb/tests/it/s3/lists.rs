//! `wb --s3 … ls`.

use bytes::Bytes;
use serde_json::json;

use crate::store::{Store, id};

fn store() -> Store {
    let store = Store::new();
    store.upload("1001", &id(1), "a.log", &Bytes::from("first"));
    store.upload("1002", &id(2), "b.log", &Bytes::from("second"));
    store.put(&format!("in/1002/{}/c.log", id(3)), Vec::new(), &Bytes::from("no receipt"));
    store.put("in/own/tool.bin", Vec::new(), &Bytes::from("their own"));
    store.put("in/own/", Vec::new(), &Bytes::new());
    store.put(&format!("in/.weighbridge/{}/tail", id(4)), Vec::new(), &Bytes::from("piece"));
    store.put("elsewhere/x", Vec::new(), &Bytes::from("not under the prefix"));
    store
}

#[test]
fn a_whole_bucket_is_listed_by_its_keys() {
    let store = store();
    let text = store.wb(&["ls"]).ends(0).text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("RECEIVED"), "{text}");
    for (line, parts) in [
        (1, [id(1).as_str(), "a.log", "5 B", "1001"]),
        (2, [&id(2), "b.log", "6 B", "1002"]),
        (3, [&id(3), "c.log", "1002", "unverified"]),
        (4, ["-", "in/own/tool.bin", "9 B", "unverified"]),
    ] {
        assert!(parts.iter().all(|part| lines[line].contains(part)), "{text}");
    }
    assert_eq!((text.matches("unverified").count(), store.calls("GetObject")), (2, 0), "{text}");

    let objects = store.wb(&["ls", "--json"]).ends(0).objects();
    assert_eq!(objects.len(), 4);
    let expected = json!({"id": id(1), "name": "a.log", "size": 5, "sha256": null, "ticket": "1001", "partner": null,
        "destination": null, "delivery": null, "received_at": null, "expires_at": null, "checked": null,
        "key": format!("in/1001/{}/a.log", id(1)), "unverified": false, "last_modified": objects[0]["last_modified"]});
    assert_eq!(objects[0], expected);
    let expected = json!({"id": null, "name": "tool.bin", "size": 9, "sha256": null, "ticket": null, "partner": null,
        "destination": null, "delivery": null, "received_at": null, "expires_at": null, "checked": null,
        "key": "in/own/tool.bin", "unverified": true, "last_modified": objects[3]["last_modified"]});
    assert_eq!(objects[3], expected);
}

#[test]
fn receipts_are_read_where_they_are_asked_for() {
    let store = store();
    let objects = store.wb(&["ls", "--long", "--json"]).ends(0).objects();
    assert_eq!(objects[0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&objects[0]["partner"], &objects[0]["later"]["kept"]), (&json!("acme"), &json!(true)));
    assert_eq!((&objects[2]["unverified"], objects[2]["sha256"].is_null()), (&json!(true), true));
    assert_eq!(store.calls("GetObject"), 2);
    let text = store.wb(&["ls", "--long"]).ends(0).text();
    assert!(text.lines().next().unwrap().ends_with("SHA256"), "{text}");
    for (arguments, expected) in [
        (["--ticket", "1002"], ["b.log", "c.log"].as_slice()),
        (["--partner", "acme"], &["a.log", "b.log"]),
        (["--partner", "globex"], &[]),
        (["--state", "done"], &["a.log", "b.log"]),
        (["--state", "unverified"], &["c.log", "tool.bin"]),
        (["--since", "1h"], &["a.log", "b.log", "c.log", "tool.bin"]),
        (["--until", "2020-01-01"], &[]),
    ] {
        let run = store.wb(&[&["ls", "--json"], &arguments[..]].concat()).ends(0);
        let names: Vec<_> =
            run.objects().iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, expected, "{arguments:?}");
        assert_eq!(run.stderr.contains("no files found"), expected.is_empty(), "{}", run.stderr);
    }
}

#[test]
fn a_receipt_of_something_else_vouches_for_nothing() {
    let store = Store::new();
    let key = format!("in/1001/{}/a.log", id(1));
    store.put(&key, Vec::new(), &Bytes::from("bytes"));
    store.receipt(&key, "1001", &id(2), &Bytes::from("bytes"));
    let run = store.wb(&["ls", "--long", "--json"]).ends(0);
    assert_eq!(run.objects()[0]["unverified"], true);
    assert!(run.stderr.contains("is not a receipt of the object next to it"), "{}", run.stderr);
    // Of the right upload, but of another size.
    store.receipt(&key, "1001", &id(1), &Bytes::from("more bytes"));
    assert_eq!(store.wb(&["ls", "--long", "--json"]).ends(0).objects()[0]["unverified"], true);
}

#[test]
fn hostile_keys_are_shown_safely_and_exactly() {
    let store = Store::new();
    let keys = [
        "in/../../escape",
        "in//etc/passwd",
        "in/a+b c%25",
        "in/x\u{1b}]0;t\u{7}\n\u{1}",
        "in/gpj\u{202e}exe.a",
    ];
    for key in keys {
        store.put(key, Vec::new(), &Bytes::from("x"));
    }
    let text = store.wb(&["ls"]).ends(0).text();
    assert_eq!(text.lines().count(), 1 + keys.len(), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{1}', '\u{202e}']), "{text:?}");
    let json = store.wb(&["--json", "ls"]).ends(0);
    assert!(!json.text().contains(['\u{1b}', '\u{7}', '\u{202e}']));
    let mut listed: Vec<_> =
        json.objects().iter().map(|object| object["key"].as_str().unwrap().to_owned()).collect();
    listed.sort();
    let mut expected = keys.map(str::to_owned);
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn what_a_bucket_cannot_know_is_wrong_usage() {
    let store = Store::new();
    for arguments in [
        ["ls", "--ticket", "10/01"].as_slice(),
        &["ls", "--ticket", ""],
        &["rm", "--yes", "x"],
        &["link", "revoke", "x"],
        &["partner"],
        &["get", "x", "--via-gateway"],
        &["get", "s3://other/x"],
        &["get", "s3://uploads/"],
        &["verify", "x", "--ticket", "1"],
        &["verify", "x", "y", "--id", "z"],
        &["--s3", "uploads/in", "ls"],
        &["--s3", "https://uploads/in", "ls"],
    ] {
        let run = store.wb(arguments).ends(2);
        assert!(run.stdout.is_empty(), "{arguments:?}");
    }
}
