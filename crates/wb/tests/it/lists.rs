//! `ls`, `partner` and `rm`.

use std::{io::Write, process::Stdio};

use serde_json::json;

use crate::{Desk, fake, fake::Place};

#[test]
fn ls_is_a_table_without_control_characters() {
    let desk = Desk::new();
    desk.fake.upload("01A", "a\u{1b}[31m\n.log", "1001", fake::bytes(20_000));
    desk.fake.open_upload("01B", "b.log", "1001");
    let text = desk.wb(&["ls"]).ends(0).text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("RECEIVED"), "{text}");
    for part in ["01A", "a\\u{1b}[31m\\n.log", "20.00 kB", "1001", "acme", "support-uploader", "done"] {
        assert!(lines[1].contains(part), "{part}: {text}");
    }
    assert!(lines[2].contains("open") && lines[2].contains(" 1.05 MB / 20.00 MB "), "{text}");
    assert!(!text.contains('\u{1b}'));
    let text = desk.wb(&["ls", "--long"]).ends(0).text();
    assert!(text.lines().nth(1).unwrap().ends_with(&fake::sha256(&fake::bytes(20_000))), "{text}");
}

#[test]
fn ls_json_is_exact_and_follows_pages() {
    let desk = Desk::new();
    for number in 0..7 {
        desk.fake.upload(&format!("01A{number}"), "a.log", "1001", fake::bytes(number));
    }
    desk.fake.state().page = 3;
    let objects = desk.wb(&["ls", "--json"]).ends(0).objects();
    assert_eq!(objects.len(), 7);
    assert_eq!(objects[6]["size"], 6);
    assert_eq!(objects[6]["from_the_future"], json!({"kept": true}));
    assert_eq!(objects[6]["checked"], json!(["sha-256"]));
    assert_eq!(desk.wb(&["ls"]).ends(0).text().lines().count(), 8);
}

/// As a gateway of an older version tells of it, or of which nobody has said how long it will be.
#[test]
fn ls_says_how_far_what_is_not_complete_has_come() {
    let desk = Desk::new();
    for (offset, length, expected) in [
        (json!(0), json!(512), "0 B / 512 B"),
        (json!(1_048_576), json!(null), "1.05 MB / ?"),
        (json!(null), json!(null), "-"),
    ] {
        desk.fake.state().uploads.clear();
        desk.fake.open_upload("01B", "b.log", "1001");
        desk.fake.state().uploads[0]["offset"] = offset;
        desk.fake.state().uploads[0]["length"] = length;
        let text = desk.wb(&["ls", "--state", "open"]).ends(0).text();
        let columns: Vec<_> =
            text.lines().nth(1).unwrap().split("  ").filter(|text| !text.is_empty()).collect();
        assert_eq!(columns[2].trim(), expected, "{text}");
    }
    let (_, said) = answer(&desk, &["rm", "01B"], "n\n");
    assert!(said.contains("  -, not complete  "), "{said}");
}

#[test]
fn ls_of_a_partner_that_does_not_exist_finds_nothing() {
    let desk = Desk::new();
    desk.fake.state().partners =
        vec![json!({"id": "acme", "name": "Acme", "organization_id": 42, "bucket": false})];
    for arguments in [&["ls", "--partner", "acmee"][..], &["ls", "--partner", "acmee", "--json"]] {
        let run = desk.wb(arguments).ends(3);
        assert!(
            run.stdout.is_empty() && run.stderr.contains("no partner has the id `acmee`"),
            "{}",
            run.stderr
        );
    }
    desk.wb(&["ls", "--partner", "acme"]).ends(0);
    desk.wb(&["ls", "--partner", "acme", "--json"]).ends(0);
    // Whose uploads are there exists.
    desk.fake.upload("01A", "a.log", "1001", fake::bytes(5));
    desk.fake.state().partners.clear();
    desk.wb(&["ls", "--partner", "acme"]).ends(0);
}

#[test]
fn ls_hands_its_filters_to_the_gateway() {
    let desk = Desk::new();
    desk.fake.state().partners = vec![json!({"id": "acme"})];
    let run = desk.wb(&[
        "ls",
        "--ticket",
        "10 01",
        "--partner",
        "acme",
        "--since",
        "2026-11-01",
        "--until",
        "2026-11-02T10:00:00+01:00",
        "--state",
        "open",
    ]);
    let run = run.ends(0);
    assert!(run.stdout.is_empty() && run.stderr.contains("no uploads match"), "{}", run.stderr);
    let target = &desk.fake.seen(Place::Gateway)[0].target;
    let query =
        "ticket=10+01&partner=acme&since=2026-11-01T00%3A00%3A00Z&until=2026-11-02T09%3A00%3A00Z&state=open";
    assert_eq!(*target, format!("/api/v1/uploads?{query}"));
    desk.wb(&["ls", "--since", "soon"]).ends(2);
}

#[test]
fn partners_and_one_partner() {
    let desk = Desk::new();
    desk.fake.state().partners = vec![
        json!({"id": "acme", "name": "Acme", "organization_id": 42, "bucket": false, "notes": "Call\u{1b}first\nsecond", "details": ""}),
        json!({"id": "globex", "name": "Globex", "organization_id": "43", "bucket": true, "notes": null, "details": null,
            "notes_problem": "the desk is down"}),
    ];
    let text = desk.wb(&["partner"]).ends(0).text();
    assert!(text.contains("acme") && text.contains("42") && text.contains("own"), "{text}");
    let text = desk.wb(&["partner", "acme"]).ends(0).text();
    assert!(text.contains("  Call\\u{1b}first\n  second\n"), "{text}");
    let run = desk.wb(&["partner", "globex"]).ends(0);
    assert!(run.stderr.contains("the desk is down"), "{}", run.stderr);
    assert_eq!(desk.wb(&["partner", "acme", "--json"]).ends(0).objects()[0]["details"], "");
    desk.wb(&["partner", "nobody"]).ends(3);
    desk.wb(&["partner", "--objects"]).ends(2);
}

#[test]
fn objects_of_a_bucket() {
    let desk = Desk::new();
    desk.wb(&["partner", "globex", "--objects"]).ends(0);
    desk.fake.state().objects = vec![
        json!({"key": "2001/01A/a.log", "size": 5, "last_modified": "2026-11-22T10:00:00Z", "upload_id": "01A", "unverified": false}),
        json!({"key": "own/tool.bin", "size": 6, "last_modified": "2026-11-22T10:00:00Z", "upload_id": null, "unverified": true}),
    ];
    let text = desk.wb(&["partner", "globex", "--objects"]).ends(0).text();
    assert!(text.lines().nth(1).is_some_and(|line| line.ends_with("01A")), "{text}");
    assert!(text.lines().nth(2).is_some_and(|line| line.ends_with("unverified")), "{text}");
    assert_eq!(desk.wb(&["partner", "globex", "--objects", "--json"]).ends(0).objects().len(), 2);
}

fn answer(desk: &Desk, arguments: &[&str], text: &str) -> (i32, String) {
    let mut child = desk.command(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn rm_asks_before_it_removes() {
    let desk = Desk::new();
    desk.fake.upload("01A", "a.log", "1001", fake::bytes(5));
    for refusal in ["n\n", "", "\n", "yep\n"] {
        let (code, stderr) = answer(&desk, &["rm", "01A"], refusal);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("a.log") && stderr.contains("nothing was removed"), "{stderr}");
    }
    assert_eq!(desk.fake.state().uploads.len(), 1);
    let (code, stderr) = answer(&desk, &["rm", "01A"], "yes\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(desk.fake.state().uploads.is_empty());
}

#[test]
fn rm_yes_removes_what_it_can_and_says_what_it_could_not() {
    let desk = Desk::new();
    for id in ["01A", "LOCKED", "01B"] {
        desk.fake.upload(id, "a.log", "1001", fake::bytes(5));
    }
    let run = desk.wb(&["rm", "--yes", "--json", "01A", "LOCKED", "01NONE", "01B"]).ends(4);
    assert!(run.stderr.contains("under a hold") && run.stderr.contains("no such upload"), "{}", run.stderr);
    assert_eq!(run.objects(), [json!({"id": "01A", "removed": true}), json!({"id": "01B", "removed": true})]);
    assert_eq!(desk.fake.state().uploads.len(), 1);
    let (code, _) = answer(&desk, &["rm", "01NONE", "LOCKED"], "y\n");
    assert_eq!(code, 3);
    assert_eq!(desk.fake.state().uploads.len(), 1);
}
