//! Files that support asks for: with the gateway or in a comment, told once, and ticked when they arrive.

use desk::Comment;
use futures_util::future::join_all;
use ledger::{Ask, JobKind, NewLink, Token};
use serde_json::{Value, json};

use crate::world::{AGENT, World};

const CUSTOMER: u64 = 71;

impl World {
    async fn ask(&self, ticket: &str, wanted: &[&str]) {
        let wanted: Vec<_> = wanted.iter().map(|wanted| (*wanted).to_owned()).collect();
        self.ledger.ask(ticket, &wanted, "staff:1").await.unwrap();
    }

    /// A comment of another user of the desk.
    async fn says(&self, author: u64, public: bool, ticket: &str, body: &str) {
        let access = &self.sandbox.desk;
        let comment = json!({"ticket": {"comment": {"body": body, "public": public, "author_id": author}}});
        let request = reqwest::Client::new().put(format!("{}/api/v2/tickets/{ticket}", access.url));
        let answer =
            request.header("authorization", &access.authorization).json(&comment).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    async fn saw_again(&self, ticket: &str) {
        let id = ledger::new_id();
        self.ledger.accept_hook(&id, JobKind::SeeTicket, ticket, Some(ticket), "").await.unwrap();
        self.finished(JobKind::SeeTicket).await;
        self.finished(JobKind::PostLink).await;
    }

    /// What the ticket waits for, and what has arrived.
    async fn asked(&self, ticket: &str) -> (Vec<String>, Vec<Ask>) {
        let mut asks = self.ledger.asks(ticket).await.unwrap();
        asks.retain(|ask| ask.upload_id.is_some());
        (self.ledger.missing(ticket).await.unwrap(), asks)
    }

    async fn comments_with(&self, ticket: &str, part: &str) -> Vec<Comment> {
        let mut comments = self.notes(ticket).await;
        comments.retain(|comment| comment.body.contains(part));
        comments
    }

    async fn has_link(&self, ticket: &str) {
        let link = NewLink { partner_id: "acme".into(), ticket: Some(ticket.into()), ..NewLink::default() };
        self.ledger.create_link(&Token::random(), &link).await.unwrap();
    }
}

#[tokio::test]
async fn what_support_asks_for_is_told_once_and_ticked_when_it_arrives() {
    let world = World::new().await;
    world.has_link("1001").await;
    world.ask("1001", &["database logs", "support bundle", "Database Logs"]).await;
    world.finished(JobKind::TellAsks).await;
    world.ask("1001", &["support bundle"]).await;
    world.finished(JobKind::TellAsks).await;
    let told = world.comments_with("1001", "asked: ").await;
    assert_eq!((told.len(), told[0].public), (1, true), "{told:?}");
    assert!(
        told[0].body.starts_with("Support asks for:\n\n- `database logs`\n- `support bundle`\n"),
        "{told:?}"
    );

    let id = world.large("1001", "database-logs.tar").await;
    world.settle(&id).await;
    let note = world.notes_of("1001", &id).await.remove(0);
    for line in ["- Asked for as: `database logs`", "Still missing: `support bundle`"] {
        assert!(note.body.lines().any(|found| found == line), "{line}: {}", note.body);
    }
    let (missing, arrived) = world.asked("1001").await;
    assert_eq!(
        (&missing[..], arrived[0].upload_id.as_deref()),
        (&["support bundle".to_owned()][..], Some(&*id))
    );
    world.finished(JobKind::TellAsks).await;
    assert!(world.comments_with("1001", "arrived: ").await.is_empty(), "its own note said so");

    // Another file of this name is no second answer. If the first is removed, the ticket waits again.
    let more = world.large("1001", "more-database-logs.tar").await;
    world.settle(&more).await;
    assert_eq!(world.asked("1001").await.1.len(), 1);
    world.ledger.remove(&id, "staff:1").await.unwrap();
    assert_eq!(world.asked("1001").await.0, ["database logs", "support bundle"]);
    // What arrived before it was asked for, and is sent again, has a note already.
    world.ledger.settle_again(&more, &more, None, None).await.unwrap();
    world.finished(JobKind::TellAsks).await;
    let late = world.comments_with("1001", "arrived: ").await;
    assert_eq!((late.len(), late[0].public), (1, false));
    assert!(late[0].body.contains("- `database logs`: `more-database-logs.tar`, "), "{late:?}");
}

#[tokio::test]
async fn a_comment_of_support_asks_once_and_nobody_else_does() {
    let world = World::new().await;
    let form = Some(360_001_172_559);
    let ticket = world.open_ticket("Slow", form).await;
    world.says(CUSTOMER, true, &ticket, "Please send: money").await;
    world.says(AGENT, false, &ticket, "Please send: secrets").await;
    world.saw_again(&ticket).await;
    assert_eq!(world.asked(&ticket).await.0, Vec::<String>::new());
    let links = world.comments_with(&ticket, "upload-link: ").await.len();
    assert_eq!(links, 1, "the new ticket has a link");
    world.says(AGENT, true, &ticket, "Hello,\nPlease send:\n- database logs\n- support bundle\nThanks").await;
    for _ in 0..3 {
        world.saw_again(&ticket).await;
    }
    assert_eq!(world.asked(&ticket).await.0, ["database logs", "support bundle"]);
    world.finished(JobKind::TellAsks).await;
    assert!(world.comments_with(&ticket, "asked: ").await.is_empty(), "the comment itself says it");
    // A reminder asks for nothing new, also after the file has arrived.
    world.says(AGENT, true, &ticket, "Please send: database logs").await;
    world.saw_again(&ticket).await;
    let id = world.large(&ticket, "database-logs.tar").await;
    world.settle(&id).await;
    world.saw_again(&ticket).await;
    assert_eq!(world.asked(&ticket).await.0, ["support bundle"], "no comment asks again");
    assert_eq!(world.comments_with(&ticket, "upload-link: ").await.len(), links);

    // On a ticket whose link has ended, the list comes with a new one.
    for link in world.ledger.links(None).await.unwrap() {
        world.ledger.revoke_link(&link.id, "staff:1").await.unwrap();
    }
    world.says(AGENT, true, &ticket, "Please send: thread dumps").await;
    world.saw_again(&ticket).await;
    let posted = world.comments_with(&ticket, "upload-link: ").await;
    assert_eq!(posted.len(), links + 1);
    assert!(
        posted[links].body.contains("Support asks for:\n\n- `support bundle`\n- `thread dumps`\n"),
        "{posted:?}"
    );
}

/// The gateway sees a ticket for the first time when support has asked for files on it already.
#[tokio::test]
async fn a_new_ticket_with_a_request_gets_one_link_with_the_list() {
    let world = World::new().await;
    let ticket = world.open_ticket("Slow", Some(360_001_172_559)).await;
    world.says(AGENT, true, &ticket, "Please send: thread dumps").await;
    world.ask(&ticket, &["heap dump"]).await;
    for _ in 0..2 {
        world.saw_again(&ticket).await;
        world.finished(JobKind::TellAsks).await;
        world.finished(JobKind::PostLink).await;
    }
    let posted = world.comments_with(&ticket, "upload-link: ").await;
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert_eq!(world.comments_with(&ticket, "asked: ").await.len(), 1);
    // Two requests in a row on a ticket without a working link post one.
    for link in world.ledger.links(None).await.unwrap() {
        world.ledger.revoke_link(&link.id, "staff:1").await.unwrap();
    }
    for wanted in ["config", "screenshot"] {
        world.ask(&ticket, &[wanted]).await;
        world.finished(JobKind::TellAsks).await;
    }
    world.finished(JobKind::PostLink).await;
    assert_eq!(world.comments_with(&ticket, "upload-link: ").await.len(), 2);
}

#[tokio::test]
async fn nothing_is_asked_of_strangers() {
    let world = World::new().await;
    world.ledger.put_partner("acme", "acme", Some(8)).await.unwrap();
    world.ask("1001", &["database logs"]).await;
    world.finished(JobKind::TellAsks).await;
    assert!(world.comments_with("1001", "asked: ").await.is_empty());
}

#[tokio::test]
async fn every_fault_leaves_one_comment() {
    let calls = ["ShowTicket", "ListComments", "UpdateTicket"];
    join_all(calls.map(async |operation| {
        let world = World::new().await;
        world.has_link("1001").await;
        for (n, fault) in [
            json!({"fault": "reset"}),
            json!({"fault": "lost-answer"}),
            json!({"fault": "status", "status": 500}),
            json!({"fault": "status", "status": 409}),
            json!({"fault": "status", "status": 429, "retry_after": 1}),
        ]
        .into_iter()
        .enumerate()
        {
            let mut rule = json!({"service": "desk", "operation": operation, "times": 2});
            rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
            let case: Value = rule.clone();
            world.fault(rule);
            let wanted = format!("file {n}");
            world.ask("1001", &[&wanted]).await;
            world.finished(JobKind::TellAsks).await;
            world.sandbox.faults().clear();
            assert_eq!(world.comments_with("1001", &format!("- `{wanted}`")).await.len(), 1, "{case}");
        }
    }))
    .await;
}

#[tokio::test]
async fn a_crash_leaves_one_comment() {
    let world = World::new().await;
    world.has_link("1001").await;
    for (n, (operation, when)) in
        [("UpdateTicket", "after"), ("UpdateTicket", "before"), ("ListComments", "after")]
            .into_iter()
            .enumerate()
    {
        let wanted = format!("file {n}");
        world.ask("1001", &[&wanted]).await;
        world.dies_at(json!({"service": "desk", "operation": operation, "fault": "delay", "when": when, "delay_ms": 20_000})).await;
        world.finished(JobKind::TellAsks).await;
        assert_eq!(
            world.comments_with("1001", &format!("- `{wanted}`")).await.len(),
            1,
            "{operation} {when}"
        );
    }
}
