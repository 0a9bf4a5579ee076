//! `escalations` and `escalate`.

use serde_json::{Value, json};

use crate::Setup;
use crate::fake::Place;

/// What no terminal may get.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}evil\u{9b}31m";

fn escalation(id: &str, reference: &str, ticket: &str, state: &str) -> Value {
    json!({
        "id": id, "reference": reference, "partner": "acme", "ticket": ticket, "state": state, "reason": "It is down",
        "actions": "Call us", "urgency": "1h", "emergency": false, "hints": [], "joined_requests": 2,
        "actor": "link:01L", "created_at": "2020-01-01T10:00:00Z", "updated_at": "2020-01-02T10:00:00Z",
        "from_the_future": {"kept": true},
    })
}

fn setup() -> Setup {
    let setup = Setup::new();
    let mut urgent = escalation("01B", "E-7K3M9QXA", "1002", "submitted");
    urgent["emergency"] = true.into();
    setup.fake.state().escalations = vec![urgent, escalation("01A", "E-1AAAAAAA", "1001", "resolved")];
    setup.fake.state().partners = vec![json!({"id": "acme"})];
    setup
}

#[track_caller]
fn assert_harmless(text: &str) {
    let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn the_list_is_a_table_or_json_lines() {
    let setup = setup();
    let text = setup.wb(&["escalations"]).ends(0).text();
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["REFERENCE", "STATE", "TICKET", "PARTNER", "URGENCY", "AGE", "JOINED"]);
    assert_eq!(lines[1][..6], ["E-7K3M9QXA", "submitted", "1002", "acme", "1h", "emergency"]);
    assert_eq!(lines[2][..5], ["E-1AAAAAAA", "resolved", "1001", "acme", "1h"]);
    assert!(lines[2][5].ends_with('d') && lines[2][6] == "2", "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let objects = setup.wb(&["escalations", "--json"]).ends(0).objects();
    assert_eq!(json!(objects), json!(setup.fake.state().escalations));
}

#[test]
fn the_list_is_filtered_by_the_gateway() {
    let setup = setup();
    let all = ["escalations", "--ticket", "#1001", "--partner", "acme", "--state", "resolved", "--json"];
    assert_eq!(setup.wb(&all).ends(0).objects()[0]["id"], "01A");
    let target = &setup.fake.seen(Place::Gateway)[0].target;
    assert_eq!(*target, "/api/v1/escalations?ticket=1001&partner=acme&state=resolved");
    let none = setup.wb(&["escalations", "--state", "declined"]).ends(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("no escalations found"), "{}", none.stderr);
    let unknown = setup.wb(&["escalations", "--partner", "acmee"]).ends(3);
    assert!(unknown.stderr.contains("No partner has the ID `acmee`"), "{}", unknown.stderr);
    setup.wb(&["escalations", "--state", "finished"]).ends(2);
    setup.wb(&["escalations", "--ticket", ""]).ends(2);
}

#[test]
fn one_is_shown_with_the_files_of_its_ticket() {
    let setup = setup();
    setup.fake.state().escalations[0]["hints"] = json!(["It is late."]);
    setup.fake.state().escalations[0]["files"] = json!({
        "asked_for": true,
        "arrived": [{"id": "01F", "name": "core.gz", "size": 20_000_000, "sha256": "ab"}],
        "unfinished": [{"id": "01G", "name": "b.log", "size": null, "state": "open", "offset": 5, "length": 9}],
    });
    for named in ["01B", "E-7K3M9QXA", "e-7k3m9qxa"] {
        let text = setup.wb(&["escalations", named]).ends(0).text();
        for part in [
            "reference     E-7K3M9QXA\n",
            "urgency       1h emergency\n",
            "\nreason:\n  It is down\n",
            "\nactions:\n  Call us\n",
            "\nhints:\n  It is late.\n",
            "\nfiles: 1 arrived, 1 not complete; support asked for files\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().any(|line| line.starts_with("arrived") && line.ends_with("20.00 MB")), "{text}");
        assert!(
            text.lines().any(|line| line.starts_with("not complete") && line.ends_with("5 B / 9 B")),
            "{text}"
        );
    }
    let objects = setup.wb(&["--json", "escalations", "E-7K3M9QXA"]).ends(0).objects();
    assert_eq!((objects.len(), &objects[0]["files"]["unfinished"][0]["offset"]), (1, &json!(5)));
    let unknown = setup.wb(&["escalations", "01NONE"]).ends(3);
    assert!(unknown.stderr.contains("No escalation has the ID `01NONE`"), "{}", unknown.stderr);
    let unknown = setup.wb(&["escalations", "E-NONE"]).ends(3);
    assert!(unknown.stderr.contains("has the reference `E-NONE`"), "{}", unknown.stderr);
    setup.wb(&["escalations", "01B", "--ticket", "1002"]).ends(2);
}

#[test]
fn changes_are_sent_and_the_new_state_is_printed() {
    for (arguments, body) in [
        (&["--acknowledge"][..], json!({"state": "acknowledged"})),
        (&["--resolve"], json!({"state": "resolved"})),
        (&["--decline", "a duplicate"], json!({"state": "declined", "reason": "a duplicate"})),
    ] {
        let setup = setup();
        let run = setup.wb(&[&["escalations", "E-7K3M9QXA"], arguments].concat()).ends(0);
        let state = body["state"].as_str().unwrap();
        assert_eq!(run.text(), format!("E-7K3M9QXA  {state}\n"));
        let last = setup.fake.seen(Place::Gateway).pop().unwrap();
        assert_eq!((last.method.as_str(), last.target.as_str()), ("PATCH", "/api/v1/escalations/01B"));
        assert_eq!(last.body, body);
    }
    let objects = setup().wb(&["escalations", "01B", "--acknowledge", "--json"]).ends(0).objects();
    assert_eq!(
        (&objects[0]["state"], &objects[0]["reference"]),
        (&json!("acknowledged"), &json!("E-7K3M9QXA"))
    );
}

#[test]
fn a_change_that_is_refused_says_why() {
    let setup = setup();
    for (status, arguments, words) in [
        (1, &["01A", "--acknowledge"][..], "cannot change `01A`: it is resolved already"),
        (2, &["01B", "--decline", "a\nb"], "cannot change `01B`: Correct these fields. `reason`: It has"),
        (2, &["01B", "--decline", ""], "--decline"),
        (2, &["01B", "--acknowledge", "--resolve"], "cannot be used with"),
        (2, &["01B", "--resolve", "--decline", "x"], "cannot be used with"),
        (2, &["--acknowledge"], "required"),
        (3, &["01NONE", "--resolve"], "No escalation has the ID `01NONE`"),
    ] {
        let run = setup.wb(&[&["escalations"], arguments].concat()).ends(status);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let mut command = setup.command(&["escalations", "01B"]);
    crate::run(command.env("WEIGHBRIDGE_TOKEN", "wrong")).ends(4);
    let refused = setup.wb(&["--s3", "s3://b", "escalations"]).ends(2);
    assert!(refused.stderr.contains("needs the gateway"), "{}", refused.stderr);
}

#[test]
fn hostile_text_is_shown_harmlessly() {
    let setup = setup();
    let mut known = setup.fake.state().escalations[0].clone();
    for field in ["reason", "actions"] {
        known[field] = format!("{HOSTILE}\nhints:\r\n\tindented\u{2028}x").into();
    }
    for field in ["ticket", "partner", "actor", "state_reason", "urgency"] {
        known[field] = format!("{HOSTILE}\nx").into();
    }
    known["hints"] = json!([HOSTILE]);
    known["files"] =
        json!({"asked_for": false, "arrived": [{"id": "01F", "name": HOSTILE}], "unfinished": []});
    setup.fake.state().escalations[0] = known;
    let text = setup.wb(&["escalations", "01B"]).ends(0).text();
    assert_harmless(&text);
    assert!(text.contains("reason:\n  \\u{1b}[2J"), "{text}");
    assert!(text.contains("\n  hints:\n      indented\\u{2028}x\n"), "{text}");
    assert_eq!(text.matches("\nhints:\n").count(), 1, "the partner's line cannot pass for ours: {text}");
    let text = setup.wb(&["escalations"]).ends(0).text();
    assert_harmless(&text);
    assert_eq!(text.lines().count(), 3, "{text}");
    for arguments in [&["escalations", "--json"][..], &["escalations", "01B", "--json"]] {
        let run = setup.wb(arguments).ends(0);
        assert_harmless(&run.text());
        assert_eq!(run.objects()[0]["reason"], format!("{HOSTILE}\nhints:\r\n\tindented\u{2028}x"));
    }
}

#[test]
fn escalate_prints_the_reference_and_hints() {
    let setup = setup();
    let escalate =
        ["escalate", "--partner", "acme", "1003", "--reason", "It is down", "--actions", "Call us"];
    let run = setup.wb(&escalate).ends(0);
    assert_eq!(run.text(), "E-NEW  ticket 1003  submitted\n");
    assert_eq!(run.stderr, "hint: It is late.\\u{1b}[2J\n");
    let expected = json!({"partner": "acme", "request": "1003", "reason": "It is down", "actions": "Call us",
        "urgency": "2h", "emergency": false});
    assert_eq!(setup.fake.seen(Place::Gateway)[0].body, expected);

    let mut again = [&escalate[..], &["--urgency", "30m", "--emergency"]].concat();
    again[3] = "1001";
    let run = setup.wb(&again).ends(0);
    assert!(run.stderr.starts_with("the ticket was escalated before"), "{}", run.stderr);
    let body = &setup.fake.seen(Place::Gateway)[1].body;
    assert_eq!((&body["urgency"], &body["emergency"]), (&json!("30m"), &json!(true)));
    let objects = setup.wb(&[&again[..], &["--json"]].concat()).ends(0).objects();
    assert_eq!((objects.len(), &objects[0]["joined"]), (1, &json!(true)));
}

#[test]
fn escalate_that_is_refused_says_why() {
    let setup = setup();
    let texts = ["--reason", "It is down", "--actions", "Call us"];
    for (status, arguments, words) in [
        (2, &["--partner", "acme", "#1"][..], "cannot escalate `#1`: Correct these fields. `request`: Leave"),
        (3, &["--partner", "nobody", "1003"], "no ticket of this partner"),
        (2, &["1003"], "--partner"),
        (2, &["--partner", "acme"], "TICKET_OR_CASE"),
        (2, &["--partner", "acme", "1003", "--urgency", "5m"], "30m"),
    ] {
        let run = setup.wb(&[&["escalate"], arguments, &texts].concat()).ends(status);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    setup.wb(&["escalate", "--partner", "acme", "1003", "--reason", "x"]).ends(2);
}
