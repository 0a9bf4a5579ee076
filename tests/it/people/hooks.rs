//! Hooks of the desk and Slack: signatures, repetitions, answers within a second, and what follows.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::{Answer, Sandbox, World, curl};

use super::{a_moment, comment_with, escalation, slack_messages, slack_said, wrong_fields};

fn mac(secret: &str, parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

fn ago(seconds: i64) -> i64 {
    ledger::now_ms() / 1000 - seconds
}

/// Sends what the desk would, signed this many seconds ago with this secret.
pub(super) fn zendesk(sandbox: &Sandbox, secret: &str, body: &str, age: i64) -> Answer {
    let timestamp = ledger::rfc3339(ago(age) * 1000);
    let signature = STANDARD.encode(mac(secret, &[&timestamp, body]));
    curl(&[
        "-H",
        &format!("X-Zendesk-Webhook-Signature: {signature}"),
        "-H",
        &format!("X-Zendesk-Webhook-Signature-Timestamp: {timestamp}"),
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
        &format!("{}/hooks/zendesk", sandbox.text("/url")),
    ])
}

/// Sends what Slack would.
fn slack(sandbox: &Sandbox, secret: &str, kind: &str, body: &str, age: i64) -> Answer {
    let timestamp = ago(age).to_string();
    let signature = hex::encode(mac(secret, &["v0:", &timestamp, ":", body]));
    curl(&[
        "-H",
        &format!("X-Slack-Signature: v0={signature}"),
        "-H",
        &format!("X-Slack-Request-Timestamp: {timestamp}"),
        "-H",
        &format!("Content-Type: {kind}"),
        "-d",
        body,
        &format!("{}/hooks/slack", sandbox.text("/url")),
    ])
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn slack_json(sandbox: &Sandbox, body: &Value) -> Answer {
    slack(sandbox, &sandbox.text("/hooks/slack_signing_secret"), JSON, &body.to_string(), 0)
}

fn payload(sandbox: &Sandbox, payload: &Value) -> Answer {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("payload", &payload.to_string());
    slack(sandbox, &sandbox.text("/hooks/slack_signing_secret"), FORM, &body.finish(), 0)
}

pub(super) fn event(ticket: &str, id: &str) -> String {
    json!({"type": "zen:event-type:ticket.created", "id": id, "time": "2026-11-27T10:00:00Z", "subject": format!("zen:ticket:{ticket}"),
        "zendesk_event_version": "2022-06-20", "account_id": 1, "detail": {"id": ticket, "status": "NEW"}, "event": {}})
    .to_string()
}

/// A message of a workflow's form.
fn message(channel: &str, id: &str, text: &str) -> Value {
    json!({"type": "event_callback", "event_id": id, "team_id": "T1", "event": {"type": "message", "subtype": "bot_message",
        "channel": channel, "ts": "1795813169.290173", "bot_id": "B1", "text": text}})
}

fn escalations(sandbox: &Sandbox) -> usize {
    sandbox.staff("/escalations", &[]).json()["escalations"].as_array().unwrap().len()
}

async fn foreign_ticket(sandbox: &Sandbox) -> String {
    let new = json!({"ticket": {"subject": "Slow", "requester_id": 1010, "organization_id": 101, "ticket_form_id": 5,
        "comment": {"body": "b"}}});
    sandbox.desk("POST", "/tickets", Some(new)).await["ticket"]["id"].to_string()
}

#[tokio::test]
async fn forged_old_and_unsigned_deliveries_have_no_effect() {
    let World { gateway: _gateway, sandbox } = World::start();
    let ticket = foreign_ticket(&sandbox).await;
    let secret = sandbox.text("/hooks/zendesk_secret");
    let body = event(&ticket, "e1");
    for (secret, age) in
        [("wrong", 0), (secret.as_str(), 301), (&secret, -400), ("", 0), (desk::TEST_WEBHOOK_SECRET, 0)]
    {
        let answer = zendesk(&sandbox, secret, &body, age);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "/problems/bad-signature"),
            "{secret} {age}"
        );
    }
    let signing = sandbox.text("/hooks/slack_signing_secret");
    let text = message("C0ACME", "Ev1", "Request: 1001\nReason: down\nDesired actions: call").to_string();
    for (secret, age) in [("wrong", 0), (signing.as_str(), 301), (&signing, -400)] {
        let answer = slack(&sandbox, secret, JSON, &text, age);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "/problems/bad-signature"),
            "{secret} {age}"
        );
    }
    for path in ["zendesk", "slack", "slack/workflow/acme", "slack/workflow/nobody"] {
        let answer = curl(&[
            "-d",
            &text,
            "-H",
            "Content-Type: application/json",
            &format!("{}/hooks/{path}", sandbox.text("/url")),
        ]);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "/problems/bad-signature"), "{path}");
    }
    a_moment().await;
    assert_eq!((sandbox.comments(&ticket).await.len(), escalations(&sandbox)), (1, 0));
    assert_eq!(zendesk(&sandbox, &secret, &body, 200).status, 200, "late, but in time");
    comment_with(&sandbox, &ticket, "wrong-form: support").await;
}

#[tokio::test]
async fn repeated_and_reordered_deliveries_count_once() {
    let World { mut gateway, sandbox } = World::start();
    let secret = sandbox.text("/hooks/zendesk_secret");
    let ticket = foreign_ticket(&sandbox).await;
    for id in ["e1", "e1", "e2", "e1"] {
        assert_eq!(zendesk(&sandbox, &secret, &event(&ticket, id), 0).status, 200);
    }
    let trigger = json!({"ticket_id": ticket, "status": "Open"}).to_string();
    assert_eq!(zendesk(&sandbox, &secret, &trigger, 0).status, 200, "a trigger's own format");
    let public = comment_with(&sandbox, &ticket, "wrong-form: contact").await;
    assert!(public["public"] == true);
    gateway.kill();
    gateway.restart();
    for body in [&event(&ticket, "e1"), "{}", "not JSON", "{\"type\":\"zen:event-type:user.created\"}"] {
        assert_eq!(zendesk(&sandbox, &secret, body, 0).status, 200, "{body}");
    }
    a_moment().await;
    assert_eq!(sandbox.comments(&ticket).await.len(), 3, "one internal, one public");
}

#[tokio::test]
async fn deliveries_are_answered_at_once_while_desk_and_slack_are_slow() {
    let World { gateway: _gateway, sandbox } = World::start();
    for service in ["desk", "slack"] {
        for operation in ["ShowTicket", "Me", "PostMessage", "History", "Replies", "OpenView"] {
            let rule = json!({"service": service, "operation": operation, "fault": "delay", "delay_ms": 5_000, "times": 0});
            sandbox.fault(rule).await;
        }
    }
    let began = Instant::now();
    let secret = sandbox.text("/hooks/zendesk_secret");
    assert_eq!(zendesk(&sandbox, &secret, &event("1001", "e1"), 0).status, 200);
    let form = "Request: 1001\nReason: down\nDesired actions: call";
    assert_eq!(slack_json(&sandbox, &message("C0ACME", "Ev1", form)).status, 200);
    let button = json!({"type": "block_actions", "trigger_id": "t1", "channel": {"id": "C0ACME"}, "user": {"id": "U1"},
        "actions": [{"action_id": "escalate", "value": ""}]});
    assert_eq!(payload(&sandbox, &button).status, 200);
    // Three calls, each within a second; they did not wait for 5 s.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    sandbox.clear_faults().await;
    slack_said(&sandbox, "C0ACME", "Received as E-").await;
}

#[tokio::test]
async fn a_form_s_message_in_the_partner_s_channel_escalates() {
    let World { gateway: _gateway, sandbox } = World::start();
    let challenge = slack_json(&sandbox, &json!({"type": "url_verification", "challenge": "c7"}));
    assert_eq!((challenge.status, &challenge.json()["challenge"]), (200, &json!("c7")));
    let form = "*Request ID or case number*: T1001\n*Reason*: <!channel> down\n*Desired actions*: call\n*Emergency*: yes";
    for channel in ["C0OTHER", "C0ACME", "C0ACME"] {
        assert_eq!(slack_json(&sandbox, &message(channel, "Ev1", form)).status, 200);
    }
    // Small talk, and a message that is not a form.
    for text in ["hello", "Reason: none"] {
        assert_eq!(slack_json(&sandbox, &message("C0ACME", text, text)).status, 200);
    }
    let said = slack_said(&sandbox, "C0ACME", "Received as E-").await;
    assert_eq!(said["thread_ts"], "1795813169.290173");
    let listed = sandbox.staff("/escalations", &[]).json()["escalations"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (&listed[0]["ticket"], &listed[0]["partner"], &listed[0]["emergency"]),
        (&json!("1001"), &json!("acme"), &json!(true))
    );
    // The ticket of another partner looks like one that does not exist.
    for (id, request) in [("Ev2", "2001"), ("Ev3", "987654"), ("Ev4", "#1001")] {
        let form = format!("Request: {request}\nReason: down\nDesired actions: call");
        assert_eq!(slack_json(&sandbox, &message("C0ACME", id, &form)).status, 200);
    }
    tests::eventually_async("three more answers", async || {
        let messages = slack_messages(&sandbox).await;
        let texts = messages.iter().filter_map(|message| message["text"].as_str());
        let refused: Vec<_> = texts.filter(|text| text.starts_with("This was not escalated")).collect();
        (refused.len() == 3).then_some(())
    })
    .await;
    assert_eq!(escalations(&sandbox), 1);
}

#[tokio::test]
async fn our_button_opens_the_form_and_the_form_escalates() {
    let World { gateway: _gateway, sandbox } = World::start();
    let button = json!({"type": "block_actions", "trigger_id": "t1", "channel": {"id": "C0ACME"}, "user": {"id": "U1", "team_id": "TX"},
        "actions": [{"action_id": "escalate", "value": "1001"}]});
    assert_eq!(payload(&sandbox, &button).status, 200);
    let opened = tests::eventually_async("the form is opened", async || {
        slack_messages(&sandbox).await.into_iter().find(|payload| payload["trigger_id"] == "t1")
    })
    .await;
    assert_eq!(opened["view"]["private_metadata"], "C0ACME");
    let submit = |view: &str, request: &str, channel: &str| {
        let value = |text: &str| json!({"value": {"type": "plain_text_input", "value": text}});
        let submission = json!({"type": "view_submission", "user": {"id": "U1"}, "team": {"id": "TX"}, "view": {"id": view,
            "callback_id": "escalate-form", "private_metadata": channel, "state": {"values": {
                "request": value(request), "reason": value("down"), "actions": value("call"),
                "urgency": {"value": {"type": "static_select", "selected_option": {"value": "1h"}}},
                "emergency": {"value": {"type": "checkboxes", "selected_options": []}}}}}});
        payload(&sandbox, &submission)
    };
    let wrong = submit("V1", "#1001", "C0ACME");
    assert_eq!((wrong.status, &wrong.json()["response_action"]), (200, &json!("errors")), "{wrong:?}");
    assert!(wrong.json()["errors"]["request"].as_str().unwrap().contains("123456"), "{wrong:?}");
    assert_eq!(submit("V1", "1001", "C0OTHER").json()["response_action"], "errors");
    for _ in 0..2 {
        let sent = submit("V1", "1001", "C0ACME");
        assert_eq!((sent.status, sent.body.as_str()), (200, ""));
    }
    slack_said(&sandbox, "C0ACME", "Received as E-").await;
    assert_eq!(escalations(&sandbox), 1);
    let secret = sandbox.text("/hooks/slack_signing_secret");
    let command = "command=%2Fescalate&channel_id=C0OTHER&user_id=U1&text=1001&trigger_id=t2";
    let refused = slack(&sandbox, &secret, FORM, command, 0);
    assert_eq!((refused.status, &refused.json()["response_type"]), (200, &json!("ephemeral")), "{refused:?}");
    assert_eq!(slack(&sandbox, &secret, FORM, &command.replace("OTHER", "ACME"), 0).status, 200);
    tests::eventually_async("the command opens the form", async || {
        slack_messages(&sandbox).await.into_iter().find(|payload| payload["trigger_id"] == "t2")
    })
    .await;
}

#[tokio::test]
async fn a_workflow_escalates_with_its_partner_s_secret() {
    let World { gateway: _gateway, sandbox } = World::start();
    let send = |partner: &str, secret: &str, body: &Value| {
        curl(&[
            "-H",
            &format!("Authorization: Bearer {secret}"),
            "-H",
            "Content-Type: application/json",
            "-d",
            &body.to_string(),
            &format!("{}/hooks/slack/workflow/{partner}", sandbox.text("/url")),
        ])
    };
    let of = |partner: &str| sandbox.text(&format!("/hooks/workflow_secrets/{partner}"));
    for (partner, secret) in
        [("acme", of("globex")), ("globex", of("acme")), ("nobody", of("acme")), ("acme", String::new())]
    {
        let answer = send(partner, &secret, &escalation("1001"));
        assert_eq!((answer.status, answer.problem().as_str()), (401, "/problems/bad-signature"), "{partner}");
    }
    assert_eq!(wrong_fields(&send("acme", &of("acme"), &escalation("#1"))), ["request"]);
    let answer = send("acme", &of("acme"), &escalation("1001"));
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(true)), "{answer:?}");
    slack_said(&sandbox, "C0ACME", "Received as E-").await;
    assert_eq!(escalations(&sandbox), 1);
}
