//! What senders write to support beside their files: a private note on the ticket.

use serde_json::{Value, json};
use tests::{World, curl};

use super::{comment_with, partner_link, post, wrong_fields};

#[tokio::test]
async fn a_note_reaches_its_ticket_as_text() {
    let World { mut gateway, sandbox } = World::start();
    let link = sandbox.link("acme");
    let evil =
        "See line 7.\n<script>alert(1)</script> {{ticket.id}} [x](https://evil.example)\nsender-note: 1";
    let sent = post(&format!("{link}/note"), &json!({"text": evil}));
    assert_eq!((sent.status, &sent.json()["repeated"]), (202, &json!(false)), "{sent:?}");
    let again = post(&format!("{link}/note"), &json!({"text": evil, "ticket": "1001"}));
    assert_eq!((again.status, &again.json()["id"]), (200, &sent.json()["id"]), "{again:?}");
    // Before it was on the ticket, perhaps.
    gateway.kill();
    gateway.restart();
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let note = comment_with(&sandbox, "1001", &format!("sender-note: {id}")).await;
    assert_eq!(note["public"], false);
    let body = note["body"].as_str().unwrap();
    let quoted = "- `See line 7.`\n- `<script>alert(1)</script> { {ticket.id}} [x](https:/ /evil.example)`\n- `sender-note: 1`";
    assert!(body.contains(quoted), "{body}");
    let html = note["html_body"].as_str().unwrap_or_default();
    assert!(!html.contains("<script>"), "{html}");

    // As a form, which a browser without JavaScript sends.
    for (name, text) in [("text", "A form"), ("-F", "Another form")] {
        let field = format!("text={text}");
        let option = if name == "-F" { "-F" } else { "-d" };
        let answer = curl(&["-H", "Accept: text/html", option, &field, &format!("{link}/note")]);
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(answer.body.contains("Your note will be on ticket 1001 in a moment."), "{answer:?}");
        let again = curl(&["-H", "Accept: text/html", option, &field, &format!("{link}/note")]);
        assert!(again.body.contains("so it is on ticket 1001 once"), "{again:?}");
        comment_with(&sandbox, "1001", &format!("- `{text}`")).await;
    }
    // A file may have this name.
    let file = sandbox.file("notes", "note", b"a");
    assert_eq!(curl(&["-T", file.to_str().unwrap(), &format!("{link}/note")]).status, 201);
}

#[test]
fn a_note_needs_a_text_and_a_ticket_of_the_link() {
    let World { gateway: _gateway, sandbox } = World::start();
    let unbound = partner_link(&sandbox, "acme");
    let note = |link: &str, fields: Value| post(&format!("{link}/note"), &fields);
    assert_eq!(wrong_fields(&note(&unbound, json!({"ticket": "1001", "texts": "x"}))), ["text", "texts"]);
    assert_eq!(wrong_fields(&note(&unbound, json!({"text": "x".repeat(5_001), "ticket": "1001"}))), ["text"]);
    for (fields, status, problem) in [
        (json!({"text": "x"}), 422, "ticket-required"),
        // Another partner's, and nobody's.
        (json!({"text": "x", "ticket": "2001"}), 404, "unknown-ticket"),
        (json!({"text": "x", "ticket": "4711"}), 404, "unknown-ticket"),
        (json!({"text": "x", "ticket": "1003"}), 409, "ticket-closed"),
    ] {
        let answer = note(&unbound, fields.clone());
        let expected = (status, format!("/problems/{problem}"));
        assert_eq!((answer.status, answer.problem()), expected, "{fields}: {answer:?}");
    }
    let unseen = note(&unbound, json!({"text": "\u{200b}", "ticket": "1001"}));
    assert_eq!(wrong_fields(&unseen), ["text"]);
    let get = curl(&[&format!("{unbound}/note")]);
    assert_eq!(get.status, 404, "{get:?}");
}

/// A browser may remember the token as a password, and send it with a form of any site.
#[test]
fn a_form_of_another_site_gets_no_remembered_password() {
    let World { gateway: _gateway, sandbox } = World::start();
    let (host, token) = sandbox
        .link("acme")
        .split_once("/u/")
        .map(|(host, token)| (host.to_owned(), token.to_owned()))
        .unwrap();
    let (url, user) = (format!("{host}/u/-/note"), format!("any:{token}"));
    for (mode, site, status) in [
        ("navigate", "cross-site", 403),
        ("no-cors", "cross-site", 403),
        ("cors", "cross-site", 202),
        ("navigate", "same-origin", 202),
    ] {
        let (mode_header, site_header) =
            (format!("Sec-Fetch-Mode: {mode}"), format!("Sec-Fetch-Site: {site}"));
        let text = format!("text={mode} {site}");
        let answer = curl(&["-u", &user, "-H", &mode_header, "-H", &site_header, "-d", &text, &url]);
        assert_eq!(answer.status, status, "{mode} {site}: {answer:?}");
    }
}
