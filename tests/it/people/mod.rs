//! Partners' people: accounts, tickets, case numbers, notes about organisations, escalations, and the hooks of desk and Slack.

mod asks;
mod escalations;
mod handbook;
mod hooks;
mod hostile_text;
mod isolation;
mod life;
mod links;
mod own_bucket;
mod sender_notes;
mod tickets;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Answer, Sandbox, curl};

/// The partner's link without a ticket.
fn partner_link(sandbox: &Sandbox, partner: &str) -> String {
    sandbox.text(&format!("/partner_links/{partner}/url"))
}

/// Sends JSON.
fn post(url: &str, body: &Value) -> Answer {
    curl(&["-H", "Content-Type: application/json", "-d", &body.to_string(), url])
}

/// The fields of a good ticket of acme.
fn ticket_fields() -> Value {
    json!({
        "contact": "support@acme.example", "customer": "Initech", "case_number": "T123456789", "subject": "Slow since Monday",
        "description": "Every page takes ten seconds.", "nfr": false,
    })
}

/// [`ticket_fields`] with these changes; null removes a field.
fn with(changes: &Value) -> Value {
    let mut fields = ticket_fields();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(fields.as_object_mut().unwrap().remove(name)),
            value => fields[name] = value.clone(),
        }
    }
    fields
}

/// Opens a ticket of acme. Returns the answer's JSON.
fn opened(sandbox: &Sandbox, changes: &Value) -> Value {
    let answer = post(&format!("{}/tickets", partner_link(sandbox, "acme")), &with(changes));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn escalation(request: &str) -> Value {
    json!({"request": request, "reason": "Production is down", "actions": "Call us", "urgency": "1h"})
}

/// The fields that a `bad-fields` problem names.
fn wrong_fields(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, answer.problem().as_str()), (422, "/problems/bad-fields"), "{answer:?}");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()), "{errors:?}");
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

/// What reached the Slack sink, the payloads of messages and views.
async fn slack_messages(sandbox: &Sandbox) -> Vec<Value> {
    let all: Value = reqwest::get(sandbox.text("/slack/messages")).await.unwrap().json().await.unwrap();
    all["messages"].as_array().unwrap().iter().map(|message| message["payload"].clone()).collect()
}

/// Waits for a message in a channel that contains this.
async fn slack_said(sandbox: &Sandbox, channel: &str, part: &str) -> Value {
    tests::eventually_async(&format!("Slack has {part}"), async || {
        let messages = slack_messages(sandbox).await;
        let fits = |message: &Value| {
            message["channel"] == channel && message["text"].as_str().is_some_and(|text| text.contains(part))
        };
        messages.into_iter().find(fits)
    })
    .await
}

/// Waits for a comment that contains this.
async fn comment_with(sandbox: &Sandbox, ticket: &str, part: &str) -> Value {
    tests::eventually_async(&format!("ticket {ticket} has {part}"), async || {
        let comments = sandbox.comments(ticket).await;
        comments.into_iter().find(|comment| comment["body"].as_str().unwrap().contains(part))
    })
    .await
}

/// Long enough for jobs that should not exist to show.
async fn a_moment() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}
