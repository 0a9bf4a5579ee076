//! Notes about a partner: with `partner`, and before `ls` and `get`.

use serde_json::{Value, json};

use crate::fake::Place;
use crate::{Setup, fake};

fn partner(id: &str, notes: &str) -> Value {
    json!({"id": id, "name": "Acme", "organization_id": 42, "bucket": false, "notes": notes, "details": "",
        "notes_at": "2026-11-22T10:00:00Z"})
}

fn setup() -> Setup {
    let setup = Setup::new();
    setup.fake.upload("01A", "a.log", "1001", fake::bytes(5));
    setup.fake.state().partners = vec![partner("acme", "Call first\u{1b}[2J\u{202e}\nsecond")];
    setup
}

const SHORT: &str = "notes about acme, from 2026-11-22:\n  Call first\\u{1b}[2J\\u{202e}\n  second\n";

fn asked_for_notes(setup: &Setup) -> bool {
    setup.fake.seen(Place::Gateway).iter().any(|seen| seen.target == "/api/v1/partners/acme")
}

#[test]
fn ls_of_one_partner_shows_them_first() {
    let setup = setup();
    for arguments in [&["ls", "--partner", "acme"][..], &["ls", "--ticket", "1001"]] {
        let run = setup.wb(arguments).ends(0);
        assert_eq!(run.stderr, SHORT);
        assert!(run.text().starts_with("ID"), "{}", run.text());
    }
    // Without uploads, too.
    let run = setup.wb(&["ls", "--partner", "acme", "--state", "open"]).ends(0);
    assert_eq!(run.stderr, format!("{SHORT}no uploads found\n"));
}

#[test]
fn other_lists_and_programs_do_not_get_them() {
    let setup = setup();
    for arguments in [
        &["ls"][..],
        &["ls", "--ticket", "1001", "--json"],
        &["ls", "--partner", "acme", "--quiet"],
        &["get", "01A", "--json", "-o", "out"],
        &["get", "01A", "--quiet", "-o", "out"],
    ] {
        let run = setup.wb(arguments).ends(0);
        assert!(run.stderr.is_empty() && !run.text().contains("Call first"), "{arguments:?}: {}", run.stderr);
    }
    // A ticket with uploads of two partners.
    setup.fake.upload("01B", "b.log", "1001", fake::bytes(5));
    setup.fake.state().uploads[1]["partner"] = "globex".into();
    assert!(setup.wb(&["ls", "--ticket", "1001"]).ends(0).stderr.is_empty());
    assert!(!asked_for_notes(&setup));
}

#[test]
fn get_shows_them_on_standard_error() {
    let setup = setup();
    let run = setup.wb(&["get", "01A", "-o", "-"]).ends(0);
    assert_eq!((run.stdout, run.stderr.as_str()), (fake::bytes(5).to_vec(), SHORT));
    let run = setup.wb(&["get", "1001", "-o", "out"]).ends(0);
    assert!(run.stderr.starts_with(SHORT) && run.text().lines().count() == 1, "{}", run.stderr);
}

#[test]
fn long_notes_are_cut() {
    let setup = setup();
    setup.fake.state().partners = vec![partner("acme", &"word ".repeat(5_000))];
    let run = setup.wb(&["ls", "--partner", "acme"]).ends(0);
    assert_eq!(run.stderr.lines().count(), 6, "{}", run.stderr);
    assert!(run.stderr.ends_with("\nmore: wb partner acme\n"), "{}", run.stderr);
}

#[test]
fn missing_notes_are_no_error() {
    let setup = setup();
    setup.fake.state().partners.clear();
    for arguments in [&["ls", "--ticket", "1001"][..], &["get", "01A", "-o", "-"]] {
        let run = setup.wb(arguments).ends(0);
        assert!(run.stderr.starts_with("no notes about acme: ") && run.stderr.lines().count() == 1);
        assert!(!run.stdout.is_empty());
    }
    let mut without = partner("acme", "");
    without["notes_problem"] = "the desk\nis down".into();
    setup.fake.state().partners = vec![without];
    let run = setup.wb(&["ls", "--ticket", "1001"]).ends(0);
    assert_eq!(run.stderr, "no notes about acme: the desk\\nis down\n");
    setup.fake.state().partners = vec![json!({"id": "acme"})];
    assert!(setup.wb(&["ls", "--ticket", "1001"]).ends(0).stderr.is_empty());
}

#[test]
fn partner_shows_all_of_them() {
    let setup = setup();
    setup.fake.state().partners[0]["operator_notes"] = "Ask\u{9b}31m\nAnn".into();
    let run = setup.wb(&["partner", "acme"]).ends(0);
    for part in [
        "notes from    2026-11-22\n",
        "\noperator's notes:\n  Ask\\u{9b}31m\n  Ann\n",
        "\nnotes:\n  Call first\\u{1b}[2J\\u{202e}\n  second\n",
    ] {
        assert!(run.text().contains(part), "{part}: {}", run.text());
    }
    assert!(run.stderr.is_empty() && !run.text().contains("details:"), "{}", run.stderr);
    setup.fake.state().partners[0]["notes_problem"] = "the desk is down".into();
    let run = setup.wb(&["partner", "acme"]).ends(0);
    assert_eq!(run.stderr, "warning: the organization's notes are old: the desk is down\n");
    assert_eq!(
        setup.wb(&["partner", "acme", "--json"]).ends(0).objects()[0]["operator_notes"],
        "Ask\u{9b}31m\nAnn"
    );
}
