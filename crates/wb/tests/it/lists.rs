//! `ls`, `partner` and `rm`.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::fake::Place;
use crate::{Setup, fake};

#[test]
fn ls_is_a_table_without_control_characters() {
    let setup = Setup::new();
    setup.fake.upload("01A", "a\u{1b}[31m\n.log", "1001", fake::bytes(20_000));
    setup.fake.open_upload("01B", "b.log", "1001");
    let text = setup.wb(&["ls"]).ends(0).text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("RECEIVED"), "{text}");
    for part in ["01A", "a\\u{1b}[31m\\n.log", "20.00 kB", "1001", "acme", "support-uploader", "done"] {
        assert!(lines[1].contains(part), "{part}: {text}");
    }
    assert!(lines[2].contains("open") && lines[2].contains(" 1.05 MB / 20.00 MB "), "{text}");
    assert!(!text.contains('\u{1b}'));
    let text = setup.wb(&["ls", "--long"]).ends(0).text();
    assert!(text.lines().nth(1).unwrap().ends_with(&fake::sha256(&fake::bytes(20_000))), "{text}");
}

#[test]
fn ls_json_is_exact_and_follows_pages() {
    let setup = Setup::new();
    for number in 0..7 {
        setup.fake.upload(&format!("01A{number}"), "a.log", "1001", fake::bytes(number));
    }
    setup.fake.state().page = 3;
    let objects = setup.wb(&["ls", "--json"]).ends(0).objects();
    assert_eq!(objects.len(), 7);
    assert_eq!(objects[6]["size"], 6);
    assert_eq!(objects[6]["from_the_future"], json!({"kept": true}));
    assert_eq!(objects[6]["checked"], json!(["sha-256"]));
    assert_eq!(setup.wb(&["ls"]).ends(0).text().lines().count(), 8);
}

#[test]
fn ls_shows_the_progress_of_incomplete_uploads() {
    let setup = Setup::new();
    for (offset, length, expected) in
        [(json!(0), json!(512), "0 B / 512 B"), (json!(1_048_576), json!(null), "1.05 MB / ?")]
    {
        setup.fake.state().uploads.clear();
        setup.fake.open_upload("01B", "b.log", "1001");
        setup.fake.state().uploads[0]["offset"] = offset;
        setup.fake.state().uploads[0]["length"] = length;
        let text = setup.wb(&["ls", "--state", "open"]).ends(0).text();
        let columns: Vec<_> =
            text.lines().nth(1).unwrap().split("  ").filter(|text| !text.is_empty()).collect();
        assert_eq!(columns[2].trim(), expected, "{text}");
    }
    let (_, said) = answer(&setup, &["rm", "01B"], "n\n");
    assert!(said.contains("  1.05 MB / ?, not complete  "), "{said}");
}

#[test]
fn ls_of_an_unknown_partner_fails() {
    let setup = Setup::new();
    setup.fake.state().partners =
        vec![json!({"id": "acme", "name": "Acme", "organization_id": 42, "bucket": false})];
    for arguments in [&["ls", "--partner", "acmee"][..], &["ls", "--partner", "acmee", "--json"]] {
        let run = setup.wb(arguments).ends(3);
        assert!(
            run.stdout.is_empty() && run.stderr.contains("No partner has the ID `acmee`"),
            "{}",
            run.stderr
        );
    }
    setup.wb(&["ls", "--partner", "acme"]).ends(0);
    setup.wb(&["ls", "--partner", "acme", "--json"]).ends(0);
    // A partner with uploads exists.
    setup.fake.upload("01A", "a.log", "1001", fake::bytes(5));
    setup.fake.state().partners.clear();
    setup.wb(&["ls", "--partner", "acme"]).ends(0);
}

#[test]
fn ls_sends_its_filters_to_the_gateway() {
    let setup = Setup::new();
    setup.fake.state().partners = vec![json!({"id": "acme"})];
    let run = setup.wb(&[
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
    assert!(run.stdout.is_empty() && run.stderr.contains("no uploads found"), "{}", run.stderr);
    let target = &setup.fake.seen(Place::Gateway)[0].target;
    let query =
        "ticket=10+01&partner=acme&since=2026-11-01T00%3A00%3A00Z&until=2026-11-02T09%3A00%3A00Z&state=open";
    assert_eq!(*target, format!("/api/v1/uploads?{query}"));
    setup.wb(&["ls", "--since", "soon"]).ends(2);
}

#[test]
fn partners_and_one_partner() {
    let setup = Setup::new();
    setup.fake.state().partners = vec![
        json!({"id": "acme", "name": "Acme", "organization_id": 42, "bucket": false, "notes": "Call\u{1b}first\nsecond", "details": ""}),
        json!({"id": "globex", "name": "Globex", "organization_id": 43, "bucket": true, "notes": null, "details": null,
            "notes_problem": "the desk is down"}),
    ];
    let text = setup.wb(&["partner"]).ends(0).text();
    assert!(text.contains("acme") && text.contains("42") && text.contains("own"), "{text}");
    let text = setup.wb(&["partner", "acme"]).ends(0).text();
    assert!(text.contains("  Call\\u{1b}first\n  second\n"), "{text}");
    let run = setup.wb(&["partner", "globex"]).ends(0);
    assert!(run.stderr.contains("the desk is down"), "{}", run.stderr);
    assert_eq!(setup.wb(&["partner", "acme", "--json"]).ends(0).objects()[0]["details"], "");
    setup.wb(&["partner", "nobody"]).ends(3);
    setup.wb(&["partner", "--objects"]).ends(2);
}

#[test]
fn objects_of_a_bucket() {
    let setup = Setup::new();
    setup.wb(&["partner", "globex", "--objects"]).ends(0);
    setup.fake.state().objects = vec![
        json!({"key": "2001/01A/a.log", "size": 5, "last_modified": "2026-11-22T10:00:00Z", "upload_id": "01A", "unverified": false}),
        json!({"key": "own/tool.bin", "size": 6, "last_modified": "2026-11-22T10:00:00Z", "upload_id": null, "unverified": true}),
    ];
    let text = setup.wb(&["partner", "globex", "--objects"]).ends(0).text();
    assert!(text.lines().nth(1).is_some_and(|line| line.ends_with("01A")), "{text}");
    assert!(text.lines().nth(2).is_some_and(|line| line.ends_with("unverified")), "{text}");
    assert_eq!(setup.wb(&["partner", "globex", "--objects", "--json"]).ends(0).objects().len(), 2);
}

fn answer(setup: &Setup, arguments: &[&str], text: &str) -> (i32, String) {
    let mut child = setup.command(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn rm_asks_before_it_removes() {
    let setup = Setup::new();
    setup.fake.upload("01A", "a.log", "1001", fake::bytes(5));
    for refusal in ["n\n", "", "\n", "yep\n"] {
        let (code, stderr) = answer(&setup, &["rm", "01A"], refusal);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("a.log") && stderr.contains("nothing was removed"), "{stderr}");
    }
    assert_eq!(setup.fake.state().uploads.len(), 1);
    let (code, stderr) = answer(&setup, &["rm", "01A"], "yes\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(setup.fake.state().uploads.is_empty());
}

#[test]
fn rm_yes_continues_after_a_failure() {
    let setup = Setup::new();
    for id in ["01A", "LOCKED", "01B"] {
        setup.fake.upload(id, "a.log", "1001", fake::bytes(5));
    }
    let run = setup.wb(&["rm", "--yes", "--json", "01A", "LOCKED", "01NONE", "01B"]).ends(4);
    assert!(
        run.stderr.contains("under a hold") && run.stderr.contains("No upload has the ID `01NONE`"),
        "{}",
        run.stderr
    );
    assert_eq!(run.objects(), [json!({"id": "01A", "removed": true}), json!({"id": "01B", "removed": true})]);
    assert_eq!(setup.fake.state().uploads.len(), 1);
    let (code, _) = answer(&setup, &["rm", "01NONE", "LOCKED"], "y\n");
    assert_eq!(code, 3);
    assert_eq!(setup.fake.state().uploads.len(), 1);
}
