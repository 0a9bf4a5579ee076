//! What follows a hook or a poll: tickets that are seen, and escalations that a form posted.

use std::time::Duration;

use delivery::poll;
use ledger::{EscalationFilter, JobKind};
use sandbox::desk::Status;
use serde_json::{Value, json};
use tickets::IncomingEscalation;
use tokio_util::sync::CancellationToken;

use crate::world::World;

impl World {
    async fn saw(&self, ticket: &str) {
        let id = ledger::new_id();
        assert!(self.ledger.accept_hook(&id, JobKind::SeeTicket, ticket, Some(ticket), "").await.unwrap());
        self.finished(JobKind::SeeTicket).await;
    }

    pub(crate) async fn open_ticket(&self, subject: &str, form: Option<u64>) -> String {
        let new = desk::NewTicket {
            subject: subject.into(),
            body: "b".into(),
            uploads: vec![],
            requester: desk::Requester::Id(71),
            organization_id: Some(7),
            ticket_form_id: form,
            tags: vec![],
            external_id: None,
        };
        self.desk.create_ticket(&new, &ledger::new_id()).await.unwrap().id.to_string()
    }

    async fn message(&self, id: &str, request: &str, thread: &str) {
        let incoming = IncomingEscalation {
            partner: "acme".into(),
            actor: "slack:C0ACME".into(),
            channel: Some("C0ACME".into()),
            thread: Some(thread.into()),
            request: request.into(),
            reason: "down".into(),
            actions: "call".into(),
            urgency: Some("30m".into()),
            emergency: Some("yes".into()),
        };
        let payload = serde_json::to_string(&incoming).unwrap();
        self.ledger.accept_hook(id, JobKind::ReadMessage, id, None, &payload).await.unwrap();
    }
}

#[tokio::test]
async fn a_ticket_on_another_form_is_answered_once() {
    let world = World::new().await;
    let ticket = world.open_ticket("Slow", Some(5)).await;
    for _ in 0..2 {
        world.saw(&ticket).await;
    }
    let comments = world.desk.comments_since(&ticket, 0).await.unwrap();
    let of = |marker: &str| {
        comments.iter().filter(|c| c.body.lines().any(|line| line == marker)).collect::<Vec<_>>()
    };
    let (internal, public) = (of("wrong-form: support"), of("wrong-form: contact"));
    assert_eq!((internal.len(), public.len()), (1, 1));
    assert!(!internal[0].public && public[0].public);
    assert!(public[0].body.contains("https://desk.example/form"));

    let right = world.open_ticket("Slow", Some(360_001_172_559)).await;
    world.saw(&right).await;
    let comments = world.desk.comments_since(&right, 0).await.unwrap();
    assert!(comments.iter().all(|comment| !comment.body.contains("wrong-form")), "{comments:?}");
    // The comments survive lost answers.
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "times": 2, "fault": "lost-answer"}));
    let ticket = world.open_ticket("Slow", Some(5)).await;
    world.saw(&ticket).await;
    assert_eq!(world.desk.comments_since(&ticket, 0).await.unwrap().len(), 3);
    let formless = world.open_ticket("Slow", None).await;
    world.saw(&formless).await;
    assert_eq!(world.desk.comments_since(&formless, 0).await.unwrap().len(), 1, "a desk without forms");
}

#[tokio::test]
async fn a_seen_ticket_is_known_by_its_case_and_state() {
    let world = World::new().await;
    let ticket = world.open_ticket("[Initech] - [T123] - [Slow]", Some(360_001_172_559)).await;
    world.saw(&ticket).await;
    assert_eq!(world.ledger.tickets_of_case("acme", "t123").await.unwrap(), [ticket]);
    world.saw("1002").await;
    assert!(world.ledger.ticket("1002").await.unwrap().unwrap().closed);
    world.saw("9999").await;
    assert!(world.ledger.ticket("9999").await.unwrap().unwrap().closed, "a deleted ticket counts as closed");
    assert_eq!(Status::default(), Status::Open);
}

#[tokio::test]
async fn lost_webhooks_are_made_up_for_by_polling() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let every = Duration::from_millis(100);
    let polling = tokio::spawn(poll(world.ledger.clone(), world.desk.clone(), every, stop.clone()));
    let mut found = Vec::new();
    for _ in 0..300 {
        if world.ledger.cursor("tickets").await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.fault(json!({"service": "desk", "operation": "ChangedTickets", "times": 2, "fault": "reset"}));
    let ticket = world.open_ticket("[Initech] - [T9] - [Slow]", None).await;
    for _ in 0..300 {
        world.delivery.pass().await.unwrap();
        found = world.ledger.tickets_of_case("acme", "T9").await.unwrap();
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    polling.await.unwrap();
    assert_eq!(found, [ticket]);
}

#[tokio::test]
async fn a_posted_form_escalates_and_is_answered_once() {
    let world = World::new().await;
    let root = world.post_root().await;
    let ticket = world.open_ticket("[Initech] - [T77] - [Slow]", Some(360_001_172_559)).await;
    for (id, request, fault, answer) in [
        (
            "m1",
            "T77",
            json!({"service": "slack", "operation": "PostMessage", "fault": "lost-answer", "times": 3}),
            "Received as E-",
        ),
        (
            "m2",
            "T77",
            json!({"service": "slack", "operation": "Replies", "fault": "reset"}),
            "escalated already",
        ),
        (
            "m3",
            "#77",
            json!({"service": "slack", "operation": "PostMessage", "fault": "reset"}),
            "without `#` or other text",
        ),
        (
            "m4",
            "T78",
            json!({"service": "desk", "operation": "Search", "fault": "status", "status": 503}),
            "no ticket of yours",
        ),
    ] {
        world.sandbox.faults().clear();
        world.fault(fault);
        let before = world.messages().await.len();
        world.message(id, request, &root).await;
        world.finished(JobKind::ReadMessage).await;
        world.finished(JobKind::Escalate).await;
        let messages = world.messages().await;
        let answers: Vec<_> = messages[before..].iter().filter(|(_, text)| text.contains(answer)).collect();
        assert_eq!(answers.len(), 1, "{id}: {messages:?}");
    }
    let all = world.ledger.escalations(&EscalationFilter::default()).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].ticket.as_str(), all[0].joined, all[0].emergency), (ticket.as_str(), 1, true));
}

impl World {
    /// The message of a form in the partner's channel.
    async fn post_root(&self) -> String {
        let access = &self.sandbox.slack;
        let posted: Value = reqwest::Client::new()
            .post(format!("{}/api/chat.postMessage", access.url))
            .bearer_auth(&access.bot_token)
            .json(&json!({"channel": "C0ACME", "text": "Request: T77"}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        posted["ts"].as_str().unwrap().to_owned()
    }
}
