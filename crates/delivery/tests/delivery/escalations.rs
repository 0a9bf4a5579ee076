//! Escalations: one note, one tag and one message in each channel, whatever fails and however often.

use std::time::Duration;

use desk::slack::escape;
use futures_util::future::join_all;
use ledger::{Escalation, EscalationFilter, EscalationState, JobKind, NewEscalation, Urgency};
use serde_json::{Value, json};

use crate::world::{World, new_delivery, open};

const REASON: &str = "**Down** since noon\n<!channel> <@U1> [x](http://evil.example)";

impl World {
    async fn escalated(&self, ticket: &str) -> Escalation {
        let new = NewEscalation {
            partner_id: "acme",
            ticket,
            actor: "staff:1",
            origin: None,
            reason: REASON,
            actions: "Call us",
            urgency: Urgency::OneHour,
            emergency: true,
            hints: &[],
        };
        self.ledger.escalate(&new, 50).await.unwrap().unwrap().0
    }

    pub(crate) async fn waiting(&self, kind: JobKind) -> i64 {
        let counts = self.ledger.job_counts().await.unwrap();
        counts.iter().find(|(name, ..)| name == kind.name()).map_or(0, |(_, jobs, _)| *jobs)
    }

    /// Works until no job of this kind is left.
    pub(crate) async fn finished(&self, kind: JobKind) {
        for _ in 0..600 {
            self.delivery.pass().await.unwrap();
            if self.waiting(kind).await == 0 && self.waiting(JobKind::TellSlack).await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("jobs of kind {} are left", kind.name());
    }

    /// What reached Slack, as the channel and the text.
    pub(crate) async fn messages(&self) -> Vec<(String, String)> {
        let url = format!("{}/messages", self.sandbox.slack.url);
        let all: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let all = all["messages"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.iter().map(|message| (text(&message["to"]), text(&message["payload"]["text"]))).collect()
    }

    async fn check_once(&self, escalation: &Escalation, case: &str) {
        let marker = format!("escalation: {}", escalation.id);
        let notes: Vec<_> = self
            .notes(&escalation.ticket)
            .await
            .into_iter()
            .filter(|note| note.body.lines().any(|line| line == marker))
            .collect();
        assert_eq!(notes.len(), 1, "{case}");
        assert!(!notes[0].public, "{case}");
        let seen = self.desk.ticket(&escalation.ticket).await.unwrap();
        assert_eq!(
            seen.tags.iter().filter(|tag| *tag == "star_submitted").count(),
            1,
            "{case}: {:?}",
            seen.tags
        );
        let messages = self.messages().await;
        for channel in ["C0LEADERS", "C0ACME"] {
            let told =
                messages.iter().filter(|(to, text)| to == channel && text.contains(&escalation.reference));
            assert_eq!(told.count(), 1, "{case}: {channel} in {messages:?}");
        }
    }
}

#[tokio::test]
async fn support_gets_the_words_and_slack_only_numbers() {
    let world = World::new().await;
    let file = world.small("1001", "core.gz").await;
    world.settle(&file).await;
    let escalation = world.escalated("1001").await;
    world.finished(JobKind::Escalate).await;
    world.check_once(&escalation, "at once").await;
    let notes = world.notes("1001").await;
    let note = notes.iter().find(|note| note.body.contains("**Escalation")).unwrap();
    for part in [
        "**emergency**",
        "within 1h",
        "- `**Down** since noon`",
        "Call us",
        "Files: 1 arrived",
        "`core.gz`",
        "Answer in English.",
    ] {
        assert!(note.body.contains(part), "{part} in {}", note.body);
    }
    assert!(!note.body.contains("http://evil"), "{}", note.body);
    for (_, text) in world.messages().await {
        for secret in ["Down", "Call", "core.gz", "evil", "<", "English"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("1001") && text.contains("*Emergency*"), "{text}");
    }
    // A state is told once, in the thread.
    let set = async |state, reason| {
        world.ledger.set_escalation_state(&escalation.id, state, reason, "staff:1").await.unwrap();
        world.finished(JobKind::Escalate).await;
    };
    set(EscalationState::Acknowledged, None).await;
    set(EscalationState::Declined, Some("It is <!here> solved")).await;
    let told: Vec<_> = world.messages().await.into_iter().skip(2).collect();
    let reference = &escalation.reference;
    let expected = ["acknowledged.", "declined. Ask support on the ticket for the reason."]
        .map(|state| ("C0ACME".to_owned(), format!("Escalation {reference}: {state}")));
    assert_eq!(told, expected);
    assert_eq!(escape("<!here>"), "&lt;!here&gt;");
}

fn slow(reason: &str, emergency: bool) -> NewEscalation<'_> {
    NewEscalation {
        partner_id: "acme",
        ticket: "1001",
        actor: "link:1",
        origin: None,
        reason,
        actions: "Call us",
        urgency: Urgency::TwoHours,
        emergency,
        hints: &[],
    }
}

#[tokio::test]
async fn a_second_request_that_is_an_emergency_is_told_again() {
    let world = World::new().await;
    for (reason, emergency, messages, notes) in
        [("Slow", false, 2, 1), ("Slower", false, 2, 1), ("Down", true, 4, 2), ("Still down", true, 4, 2)]
    {
        world.ledger.escalate(&slow(reason, emergency), 50).await.unwrap();
        world.finished(JobKind::Escalate).await;
        assert_eq!(world.messages().await.len(), messages, "{reason}");
        let written = world.notes("1001").await;
        assert_eq!(
            written.iter().filter(|note| note.body.contains("**Escalation")).count(),
            notes,
            "{reason}"
        );
    }
    let (leaders, text) = &world.messages().await[2];
    assert!(leaders == "C0LEADERS" && text.contains("*Emergency*") && text.contains("more urgent"), "{text}");
    let raised =
        world.notes("1001").await.into_iter().find(|note| note.body.contains("more urgent")).unwrap();
    assert!(raised.body.contains("- `Slower`") && raised.body.contains("- `Down`"), "{}", raised.body);
}

#[tokio::test]
async fn an_escalation_that_was_raised_before_it_was_told_is_told_once() {
    let world = World::new().await;
    for (reason, emergency) in [("Slow", false), ("Down", true)] {
        world.ledger.escalate(&slow(reason, emergency), 50).await.unwrap();
    }
    world.finished(JobKind::Escalate).await;
    assert_eq!(world.messages().await.len(), 2, "one in each channel");
    let escalations = world.ledger.escalations(&EscalationFilter::default()).await.unwrap();
    let resolved = EscalationState::Resolved;
    world.ledger.set_escalation_state(&escalations[0].id, resolved, None, "staff:1").await.unwrap();
    world.finished(JobKind::Escalate).await;
    let (channel, text) = world.messages().await.remove(2);
    assert!(channel == "C0ACME" && text.ends_with("resolved."), "in the thread: {text}");
}

/// A file that cannot be delivered yet holds up no escalation.
#[tokio::test]
async fn an_escalation_waits_for_no_file() {
    let world = World::new().await;
    world.small("1001", "waits.log").await;
    world.fault(
        json!({"service": "desk", "operation": "CreateUpload", "times": 0, "fault": "status", "status": 503}),
    );
    world.delivery.pass().await.unwrap();
    let escalation = world.escalated("1001").await;
    world.finished(JobKind::Escalate).await;
    world.check_once(&escalation, "a file waits").await;
}

#[tokio::test]
async fn every_fault_leaves_one_note_one_tag_and_one_message_each() {
    let calls = [
        ("desk", "UpdateTicket", 0),
        ("desk", "AddTags", 0),
        ("desk", "ShowTicket", 0),
        ("desk", "ShowTicket", 1),
        ("desk", "ListComments", 0),
        ("slack", "PostMessage", 0),
        ("slack", "PostMessage", 1),
        ("slack", "History", 0),
    ];
    join_all(calls.map(|(service, operation, after)| harmed(service, operation, after))).await;
}

/// Each kind of fault at this call, and a ticket of its own for each.
async fn harmed(service: &str, operation: &str, after: u64) {
    let world = World::new().await;
    for fault in [
        json!({"fault": "reset"}),
        json!({"fault": "lost-answer"}),
        json!({"fault": "corrupt"}),
        json!({"fault": "status", "status": 500}),
        json!({"fault": "status", "status": 401}),
        json!({"fault": "status", "status": 409}),
        json!({"fault": "status", "status": 429, "retry_after": 1}),
    ] {
        // Slack knows no such answer.
        if service == "slack" && fault["status"] == 409 {
            continue;
        }
        let mut rule = json!({"service": service, "operation": operation, "after": after});
        rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        let case = rule.to_string();
        let ticket = world.open_ticket("Slow", None).await;
        world.sandbox.faults().clear();
        world.fault(rule);
        if operation == "History" {
            // Nobody looks for a message that was never attempted.
            world.fault(json!({"service": "slack", "operation": "PostMessage", "after": after, "fault": "lost-answer"}));
        }
        let escalation = world.escalated(&ticket).await;
        world.finished(JobKind::Escalate).await;
        world.check_once(&escalation, &case).await;
    }
}

/// The process dies while a call is on its way; its effect arrives nevertheless.
#[tokio::test]
async fn a_crash_at_any_call_repeats_nothing() {
    let world = World::new().await;
    for (service, operation, after) in [
        ("slack", "PostMessage", 0),
        ("slack", "PostMessage", 1),
        ("desk", "UpdateTicket", 0),
        ("desk", "AddTags", 0),
    ] {
        let case = format!("{operation} {after}");
        world.sandbox.faults().clear();
        let ticket = world.open_ticket("Slow", None).await;
        world.fault(json!({"service": service, "operation": operation, "after": after, "fault": "delay", "when": "after",
            "delay_ms": 20_000}));
        let escalation = world.escalated(&ticket).await;
        let config =
            delivery::Config { batch: Duration::ZERO, ..delivery::Config::new("https://gate.example") };
        let dying =
            new_delivery(&world.sandbox, &open(&world.dir).await, &world.buckets, &world.desk, config);
        let running = tokio::spawn(async move { dying.pass().await });
        world.until_hit().await;
        running.abort();
        world.sandbox.faults().clear();
        world.ledger.release_claims().await.unwrap();
        world.finished(JobKind::Escalate).await;
        world.check_once(&escalation, &case).await;
    }
}

#[tokio::test]
async fn closed_and_deleted_tickets_end_in_slack_alone() {
    let world = World::new().await;
    let closed = world.escalated("1002").await;
    world.finished(JobKind::Escalate).await;
    let gone = world.escalated("9999").await;
    world.finished(JobKind::Escalate).await;
    let messages = world.messages().await;
    for escalation in [closed, gone] {
        let told = messages.iter().filter(|(_, text)| text.contains(&escalation.reference)).count();
        assert_eq!(told, 2, "{messages:?}");
    }
    assert!(world.notes("1002").await.iter().all(|note| !note.body.contains("Escalation")));
}

/// Slack that is down keeps nothing from the ticket, and the desk that is down nothing from Slack.
#[tokio::test]
async fn one_side_that_is_down_does_not_hold_up_the_other() {
    let world = World::new().await;
    for operation in ["History", "PostMessage"] {
        world.fault(json!({"service": "slack", "operation": operation, "times": 0, "fault": "reset"}));
    }
    let escalation = world.escalated("1001").await;
    world.delivery.pass().await.unwrap();
    let noted = world.notes("1001").await.iter().any(|note| note.body.contains(&escalation.reference));
    assert!(noted && world.messages().await.is_empty());
    world.sandbox.faults().clear();
    world.finished(JobKind::Escalate).await;
    world.check_once(&escalation, "Slack was down").await;

    world.fault(json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 503}));
    let escalation = world.escalated("1003").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(
        world.messages().await.iter().filter(|(_, text)| text.contains(&escalation.reference)).count(),
        2
    );
    world.sandbox.faults().clear();
    world.finished(JobKind::Escalate).await;
    world.check_once(&escalation, "the desk was down").await;
}
