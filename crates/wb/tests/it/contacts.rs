//! `contact list`, `contact add` and `contact disable`.

use serde_json::json;

use crate::Setup;
use crate::fake::Place;

#[test]
fn contacts_are_added_and_listed() {
    let setup = Setup::new();
    let none = setup.wb(&["contact", "list", "--partner", "acme"]).ends(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("no contacts"), "{}", none.stderr);
    let add = ["contact", "add", "--partner", "acme", "--name", "Ann\u{202e}", "--email", "ann@acme.example"];
    assert_eq!(setup.wb(&add).ends(0).text(), "01C  Ann\\u{202e}  ann@acme.example\n");
    let body = setup.fake.seen(Place::Gateway).pop().unwrap().body;
    assert_eq!(body, json!({"name": "Ann\u{202e}", "email": "ann@acme.example"}));
    let with_slack = [&add[..], &["--slack-user-id", "U1", "--json"]].concat();
    assert_eq!(setup.wb(&with_slack).ends(0).objects()[0]["slack_user_id"], "U1");

    setup.fake.state().contacts[0]["disabled_at"] = "2026-11-23T10:00:00Z".into();
    let text = setup.wb(&["contact", "list", "--partner", "acme"]).ends(0).text();
    assert!(
        text.starts_with("ID") && text.contains("Ann\\u{202e}") && text.contains("2026-11-23T"),
        "{text}"
    );
    let objects = setup.wb(&["contact", "list", "--partner", "acme", "--json"]).ends(0).objects();
    assert_eq!(json!(objects), json!(setup.fake.state().contacts));
}

#[test]
fn contacts_are_disabled() {
    let setup = Setup::new();
    setup.fake.state().contacts = vec![json!({"id": "01C"})];
    let disable = ["contact", "disable", "--partner", "acme", "01C"];
    let run = setup.wb(&disable).ends(0);
    assert!(run.stdout.is_empty() && run.stderr == "disabled 01C\n", "{}", run.stderr);
    let last = setup.fake.seen(Place::Gateway).pop().unwrap();
    assert_eq!(
        (last.method.as_str(), last.target.as_str()),
        ("DELETE", "/api/v1/partners/acme/contacts/01C")
    );
    let run = setup.wb(&["contact", "disable", "--partner", "acme", "01NONE", "01C", "--json"]).ends(3);
    assert!(run.stderr.contains("no contact with the ID `01NONE`"), "{}", run.stderr);
    assert_eq!(run.objects(), [json!({"id": "01C", "disabled": true})]);
}

#[test]
fn mistakes_are_told() {
    let setup = Setup::new();
    for (status, arguments, words) in [
        (3, &["list", "--partner", "nobody"][..], "No partner has the ID `nobody`"),
        (2, &["list"], "--partner"),
        (2, &["add", "--partner", "acme", "--name", "Ann", "--email", "ann"], "`email`: It is not"),
        (
            3,
            &["add", "--partner", "nobody", "--name", "Ann", "--email", "a@b.example"],
            "No partner has the ID",
        ),
        (2, &["add", "--partner", "acme", "--name", "", "--email", "a@b.example"], "--name"),
        (2, &["disable", "--partner", "acme"], "ID"),
    ] {
        let run = setup.wb(&[&["contact"], arguments].concat()).ends(status);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let mut command = setup.command(&["contact", "list", "--partner", "acme"]);
    crate::run(command.env("WEIGHBRIDGE_TOKEN", "wrong")).ends(4);
}
