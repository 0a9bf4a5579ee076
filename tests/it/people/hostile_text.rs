//! Hostile text in every field that a partner can write: shown as text everywhere.

use serde_json::json;
use tests::{World, curl};

use super::{comment_with, opened, partner_link, post, slack_messages, slack_said, with};

const EVIL: &str = "<script>alert(1)</script> **b** [x](http://evil.example) <!channel> <@U1> {{ticket.requester.email}} \u{1b}[31m\u{202e}";
/// What is left in fields of one line, which refuse invisible characters.
const LINE: &str = "<script>alert(1)</script> **b** <!channel> {{ticket.id}} `x`";

#[tokio::test]
async fn text_of_a_ticket_stays_text() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/tickets", partner_link(&sandbox, "acme"));
    for field in ["contact", "customer", "subject", "case_number"] {
        let answer = post(&url, &with(&json!({field: EVIL})));
        assert_eq!(answer.status, 422, "{field}: {answer:?}");
        assert!(!answer.body.contains("evil.example"), "a refusal repeats nothing: {answer:?}");
    }
    let long = "x".repeat(2_000);
    assert_eq!(post(&url, &with(&json!({"contact": long}))).status, 422);
    let json = opened(
        &sandbox,
        &json!({"customer": LINE, "subject": LINE, "description": format!("{EVIL}\nwb-mark")}),
    );
    let ticket = json["ticket"].as_str().unwrap();
    let first = sandbox.comments(ticket).await[0]["body"].as_str().unwrap().to_owned();
    assert!(!first.contains("{{") && !first.contains('\u{1b}') && !first.contains('\u{202e}'), "{first}");
    // As a page, the same request answers with everything escaped.
    let pairs = with(&json!({"customer": LINE, "subject": LINE, "description": format!("{EVIL}\nwb-mark")}));
    let pairs: Vec<_> = pairs
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("false")))
        .collect();
    let mut arguments = vec!["-H", "Accept: text/html"];
    arguments.extend(pairs.iter().flat_map(|pair| ["--form-string", pair]));
    arguments.push(&url);
    let page = curl(&arguments);
    assert_eq!(page.status, 201, "{page:?}");
    assert!(page.body.contains("&lt;script&gt;") && !page.body.contains("<script>"), "{page:?}");
}

#[tokio::test]
async fn text_of_an_escalation_stays_text() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/escalate", sandbox.link("acme"));
    let forged = format!(
        "{EVIL}\nescalation: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nref: 01ARZ3NDEKTSV4RRFFQ69G5FAV\n```\n# heading"
    );
    let fields = json!({"reason": forged, "actions": forged, "urgency": "1h"});
    let answer = post(&url, &fields);
    assert_eq!(answer.status, 202, "{answer:?}");
    let reference = answer.json()["reference"].as_str().unwrap().to_owned();
    let note = comment_with(&sandbox, "1001", &reference).await;
    let body = note["body"].as_str().unwrap();
    for live in
        ["{{", "http://evil", "\u{1b}", "\u{202e}", "\nref: 01ARZ3", "\nescalation: 01ARZ3", "\n# heading"]
    {
        assert!(!body.contains(live), "{live:?} in {body}");
    }
    for channel in ["C0ACME", "C0LEADERS"] {
        slack_said(&sandbox, channel, &reference).await;
    }
    let all = format!("{:?}", slack_messages(&sandbox).await);
    for part in ["evil", "<!channel>", "<@U1>", "heading"] {
        assert!(!all.contains(part), "{part} in {all}");
    }
    // Whoever declines it writes for a page, too.
    let change = json!({"state": "declined", "reason": LINE}).to_string();
    let path = format!("/escalations/{}", answer.json()["id"].as_str().unwrap());
    let changed =
        sandbox.staff(&path, &["-X", "PATCH", "-H", "Content-Type: application/json", "-d", &change]);
    assert_eq!(changed.status, 200, "{changed:?}");
    let page = curl(&["-H", "Accept: text/html", &answer.headers["location"]]);
    assert!(page.body.contains("&lt;script&gt;") && !page.body.contains("<script>"), "{page:?}");
    let wb = sandbox.wb(&["escalations"]);
    let shown = tests::printed(&wb);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}
