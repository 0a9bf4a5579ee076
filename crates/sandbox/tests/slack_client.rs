//! The client of Slack (crate `desk`) against the Slack sink, over real sockets, with faults at the wire.

#![expect(clippy::unwrap_used, reason = "in a test's helpers, too, a failure is a failed test")]

use std::time::Duration;

use desk::slack::{Button, Config, Error, Message, Slack, field_errors, modal};
use sandbox::{Listen, Sandbox, Seed};
use serde_json::{Value, json};
use tempfile::TempDir;

struct SlackClient {
    sandbox: Sandbox,
    slack: Slack,
    dir: TempDir,
}

impl SlackClient {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(dir.path(), Listen::any_port(), &Seed::default()).await.unwrap();
        let slack = Slack::new(config(&sandbox)).unwrap();
        Self { sandbox, slack, dir }
    }

    fn fault(&self, mut rule: Value) {
        rule["service"] = json!("slack");
        self.sandbox.faults().add(serde_json::from_value(rule).unwrap()).unwrap();
    }

    async fn json(&self, url: &str) -> Value {
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// What arrived, oldest first.
    async fn messages(&self) -> Vec<Value> {
        let answer = self.json(&format!("{}/messages", self.sandbox.slack.url)).await;
        answer["messages"].as_array().unwrap().clone()
    }

    async fn calls(&self, operation: &str) -> u64 {
        self.json(&self.sandbox.faults_url).await["calls"]["slack"][operation].as_u64().unwrap_or(0)
    }
}

fn config(sandbox: &Sandbox) -> Config {
    let access = sandbox.slack.clone();
    let api_url = format!("{}/api", access.url);
    Config { api_url, ..Config::new(access.bot_token, access.signing_secret) }
}

fn message(id: &str) -> Message {
    Message {
        channel: "C1".to_owned(),
        text: format!("Escalation {id}"),
        thread_ts: None,
        buttons: vec![],
        id: id.to_owned(),
    }
}

fn name<T>(result: &Result<T, Error>) -> String {
    let Err(error) = result else { return "Ok".to_owned() };
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[tokio::test]
async fn posts_messages_and_finds_them() {
    let bench = SlackClient::new().await;
    let since_ms = jiff::Timestamp::now().as_millisecond();
    let ts = bench.slack.post(&message("esc_1")).await.unwrap();
    let buttons = vec![
        Button::Link { label: "Open".to_owned(), url: "https://x.example/1001".to_owned() },
        Button::Action {
            label: "Escalate".to_owned(),
            action_id: "escalate".to_owned(),
            value: "1001".to_owned(),
        },
    ];
    let rich = Message { buttons, text: "x ".repeat(4000), ..message("esc_2") };
    let rich_ts = bench.slack.post(&rich).await.unwrap();
    let reply = Message { thread_ts: Some(ts.clone()), ..message("esc_3") };
    let reply_ts = bench.slack.post(&reply).await.unwrap();

    let find = async |channel: &str, id: &str| bench.slack.find(channel, id, since_ms).await.unwrap();
    assert_eq!(find("C1", "esc_1").await.as_ref(), Some(&ts));
    assert_eq!(find("C1", "esc_2").await.as_ref(), Some(&rich_ts));
    assert_eq!(find("C1", "esc_9").await, None);
    assert_eq!(find("C2", "esc_1").await, None, "another channel");
    assert_eq!(find("C1", "esc_3").await, None, "an answer is not in the channel's own history");
    let found = bench.slack.find_reply("C1", &ts, "esc_3", since_ms).await.unwrap();
    assert_eq!(found.as_ref(), Some(&reply_ts));
    let later_ms = jiff::Timestamp::now().as_millisecond() + 1000;
    assert_eq!(bench.slack.find("C1", "esc_1", later_ms).await.unwrap(), None);

    let kept = bench.messages().await;
    assert_eq!((kept.len(), &kept[2]["payload"]["thread_ts"]), (3, &json!(ts)));
    assert_eq!(kept[0]["payload"]["metadata"]["event_payload"], json!({"id": "esc_1"}));
    assert_eq!(kept[1]["payload"]["blocks"][0]["type"], "section");
}

#[tokio::test]
async fn long_histories_are_paged() {
    let bench = SlackClient::new().await;
    for n in 0..450 {
        bench.slack.post(&message(&format!("esc_{n}"))).await.unwrap();
    }
    assert!(bench.slack.find("C1", "esc_0", 0).await.unwrap().is_some());
    assert_eq!(bench.calls("History").await, 3);
    assert!(bench.slack.find("C1", "esc_449", 0).await.unwrap().is_some());
    assert_eq!(bench.calls("History").await, 4, "newest first");
}

#[tokio::test]
async fn message_with_a_lost_answer_is_found() {
    let bench = SlackClient::new().await;
    for fault in ["lost-answer", "corrupt"] {
        bench.fault(json!({"operation": "PostMessage", "fault": fault}));
        assert_eq!(name(&bench.slack.post(&message(fault)).await), "Unavailable");
        assert!(bench.slack.find("C1", fault, 0).await.unwrap().is_some(), "{fault}");
    }
    bench.fault(json!({"operation": "PostMessage", "fault": "reset"}));
    assert_eq!(name(&bench.slack.post(&message("reset")).await), "Unavailable");
    assert_eq!(bench.slack.find("C1", "reset", 0).await.unwrap(), None);
}

#[tokio::test]
async fn faults_are_transient_or_not() {
    let bench = SlackClient::new().await;
    let refusal = |error: &str| {
        let body = json!({"ok": false, "error": error}).to_string();
        json!({"fault": "status", "status": 200, "body": body})
    };
    let cases = [
        (json!({"fault": "status", "status": 429, "retry_after": 9}), "RateLimited", Some(9)),
        (json!({"fault": "status", "status": 429}), "RateLimited", Some(30)),
        (refusal("ratelimited"), "RateLimited", Some(30)),
        (json!({"fault": "status", "status": 503, "retry_after": 7}), "Unavailable", Some(7)),
        (json!({"fault": "status", "status": 500}), "Unavailable", None),
        (json!({"fault": "status", "status": 302}), "Unavailable", None),
        (json!({"fault": "status", "status": 404}), "Unavailable", None),
        (json!({"fault": "status", "status": 200, "body": "{}"}), "Unavailable", None),
        (json!({"fault": "reset"}), "Unavailable", None),
        (refusal("internal_error"), "Unavailable", None),
        (json!({"fault": "status", "status": 401}), "Unauthorized", None),
        (refusal("token_revoked"), "Unauthorized", None),
        (refusal("not_in_channel"), "NoChannel", None),
        (json!({"fault": "status", "status": 400}), "Refused", None),
        (refusal("msg_too_long"), "Refused", None),
    ];
    for (mut rule, wanted, wait_s) in cases {
        rule["operation"] = json!("PostMessage");
        bench.fault(rule.clone());
        let result = bench.slack.post(&message("esc_1")).await;
        assert_eq!(name(&result), wanted, "{rule}");
        let error = result.unwrap_err();
        assert_eq!(error.retry_after(), wait_s.map(Duration::from_secs), "{rule}");
    }
    bench.slack.post(&message("esc_1")).await.unwrap();
    assert_eq!(bench.messages().await.len(), 1);
}

#[tokio::test]
async fn wrong_token_needs_an_operator() {
    let bench = SlackClient::new().await;
    let wrong = Config { bot_token: "xoxb-wrong".to_owned(), ..config(&bench.sandbox) };
    let slack = Slack::new(wrong).unwrap();
    assert_eq!(name(&slack.post(&message("esc_1")).await), "Unauthorized");
    assert_eq!(name(&slack.find("C1", "esc_1", 0).await), "Unauthorized");
    assert_eq!(name(&slack.open_view("1.2.x", &modal("C1", "")).await), "Unauthorized");
}

#[tokio::test]
async fn refused_messages_name_the_reason() {
    let bench = SlackClient::new().await;
    let long = "x".repeat(40_001);
    let button = |label: &str| Button::Link { label: label.to_owned(), url: "https://x.example".to_owned() };
    let base = || message("esc_1");
    for (sent, reason) in [
        (Message { text: long, ..base() }, "msg_too_long"),
        (Message { buttons: vec![button(&"x".repeat(76))], ..base() }, "invalid_blocks"),
        (Message { buttons: vec![button("x"); 26], ..base() }, "invalid_blocks"),
        (Message { text: String::new(), ..base() }, "no_text"),
        (Message { thread_ts: Some("x".to_owned()), ..base() }, "invalid_arguments"),
    ] {
        let Err(Error::Refused { error }) = bench.slack.post(&sent).await else { panic!("not {reason}") };
        assert_eq!(error, reason);
    }
    let nowhere = Message { channel: String::new(), ..base() };
    assert_eq!(name(&bench.slack.post(&nowhere).await), "NoChannel");
    assert_eq!(bench.messages().await.len(), 0);
}

#[tokio::test]
async fn the_form_opens_and_its_errors_name_its_blocks() {
    let bench = SlackClient::new().await;
    bench.slack.open_view("1.2.x", &modal("C1", "1001")).await.unwrap();
    bench.slack.open_view("1.2.x", &modal(&"C".repeat(5000), &"1".repeat(5000))).await.unwrap();
    let kept = bench.messages().await;
    let view = &kept[0]["payload"]["view"];
    assert_eq!(
        (&view["private_metadata"], &kept[0]["payload"]["trigger_id"]),
        (&json!("C1"), &json!("1.2.x"))
    );
    let blocks: Vec<&Value> =
        view["blocks"].as_array().unwrap().iter().map(|block| &block["block_id"]).collect();
    let names = ["request", "reason", "actions", "urgency", "emergency"];
    assert_eq!(blocks, names);
    let errors = field_errors(names.map(|name| (name.to_owned(), "wrong".to_owned())).to_vec());
    let named = errors["errors"].as_object().unwrap().keys();
    assert!(named.into_iter().all(|name| blocks.iter().any(|block| *block == name.as_str())));

    let damaged = bench.slack.open_view("1.2.x", &json!({"type": "modal"})).await;
    assert_eq!(name(&damaged), "Refused");
    bench.fault(json!({"operation": "OpenView", "fault": "status", "status": 429, "retry_after": 1}));
    assert_eq!(name(&bench.slack.open_view("1.2.x", &modal("C1", "")).await), "RateLimited");
}

#[tokio::test]
async fn secrets_stay_the_same_after_a_restart() {
    let bench = SlackClient::new().await;
    let before = bench.sandbox.slack.clone();
    assert!(!format!("{before:?} {:?}", bench.sandbox).contains(&before.signing_secret));
    bench.sandbox.stop().await;
    let again = Sandbox::start(bench.dir.path(), Listen::any_port(), &Seed::default()).await.unwrap();
    let after = again.slack.clone();
    assert_eq!((before.bot_token, before.signing_secret), (after.bot_token, after.signing_secret));
}
