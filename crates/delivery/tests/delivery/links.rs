//! Links that nobody makes by hand: posted once on a new ticket, and in place of one that is renewed.

use std::time::Duration;

use desk::Comment;
use futures_util::future::join_all;
use ledger::{JobKind, Link, NewLink, Right, Token, now_ms};
use serde_json::json;

use crate::world::{World, new_delivery, open};

/// What a link on a new ticket of acme is posted for.
fn of_acme(ticket: &str) -> String {
    format!("{ticket} acme")
}

const FORM: Option<u64> = Some(360_001_172_559);

impl World {
    async fn saw_new(&self, ticket: &str) {
        let id = ledger::new_id();
        self.ledger.accept_hook(&id, JobKind::SeeTicket, ticket, Some(ticket), "").await.unwrap();
        self.finished(JobKind::SeeTicket).await;
        self.finished(JobKind::PostLink).await;
    }

    async fn links_of(&self, ticket: &str) -> Vec<Link> {
        let links = self.ledger.links(None).await.unwrap();
        links.into_iter().filter(|link| link.ticket.as_deref() == Some(ticket)).collect()
    }

    /// The only working link of the ticket.
    async fn only_link(&self, ticket: &str, case: &str) -> String {
        let links = self.links_of(ticket).await;
        let working: Vec<_> = links.iter().filter(|link| link.revoked_at.is_none()).collect();
        assert_eq!(working.len(), 1, "{case}: {links:?}");
        working[0].id.clone()
    }

    /// The only comment with a link for this subject, and that link, whose token is in it.
    async fn posted(&self, ticket: &str, subject: &str, case: &str) -> (Comment, Link) {
        let marker = format!("upload-link: {subject} ");
        let with_link: Vec<_> =
            self.notes(ticket).await.into_iter().filter(|comment| comment.body.contains(&marker)).collect();
        assert_eq!(with_link.len(), 1, "{case}: {with_link:?}");
        let comment = with_link.into_iter().next().unwrap();
        assert!(comment.public, "{case}");
        let (_, rest) = comment.body.split_once("https://gate.example/u/").unwrap();
        let token = rest.split('/').next().unwrap();
        let link = self.ledger.link_by_token(token).await.unwrap();
        assert!(comment.body.ends_with(&format!("{marker}{}", link.id)), "{case}: {}", comment.body);
        assert_eq!((link.ticket.as_deref(), link.revoked_at), (Some(ticket), None), "{case}");
        let (_, attempts) = self.ledger.link_post(subject).await.unwrap();
        assert_eq!(attempts, [link.id.as_str()], "{case}");
        (comment, link)
    }
}

#[tokio::test]
async fn a_new_ticket_gets_one_link() {
    let world = World::new().await;
    let ticket = world.open_ticket("[Initech] - [T1] - [Slow]", FORM).await;
    for _ in 0..3 {
        world.saw_new(&ticket).await;
    }
    let (comment, link) = world.posted(&ticket, &of_acme(&ticket), "three events").await;
    assert_eq!((link.partner_id.as_str(), &link.rights[..]), ("acme", &[Right::Upload][..]));
    let life_ms = link.expires_at.unwrap() - now_ms();
    assert!((47 * 60 * 60 * 1000..=48 * 60 * 60 * 1000).contains(&life_ms), "{life_ms}");
    for part in
        ["curl --fail-with-body --retry 5 -T FILE -o receipt.txt https://gate.example/u/", " UTC, and until"]
    {
        assert!(comment.body.contains(part), "{part} in {}", comment.body);
    }
    // Others get none: on another form, of another organisation, old, closed, or without a form.
    for other in
        [world.open_ticket("Slow", Some(5)).await, world.open_ticket("Slow", None).await, "1002".into()]
    {
        world.saw_new(&other).await;
        assert!(world.links_of(&other).await.is_empty(), "{other}");
    }
    world.ledger.put_partner("acme", "acme", Some(8)).await.unwrap();
    let stranger = world.open_ticket("Slow", FORM).await;
    world.saw_new(&stranger).await;
    assert!(world.links_of(&stranger).await.is_empty());
}

#[tokio::test]
async fn every_fault_leaves_one_comment_and_one_link() {
    let calls = ["ShowTicket", "ListComments", "UpdateTicket"];
    join_all(calls.map(async |operation| {
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
            let ticket = world.open_ticket("Slow", FORM).await;
            world.sandbox.faults().clear();
            world.ledger.post_link(&of_acme(&ticket), &ticket, "gateway").await.unwrap();
            let mut rule = json!({"service": "desk", "operation": operation, "times": 2});
            rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
            let case = rule.to_string();
            world.fault(rule);
            world.finished(JobKind::PostLink).await;
            let (_, link) = world.posted(&ticket, &of_acme(&ticket), &case).await;
            assert_eq!(world.only_link(&ticket, &case).await, link.id);
        }
    }))
    .await;
}

/// The process dies while the comment is on its way, which arrives nevertheless; or before it is sent.
#[tokio::test]
async fn a_crash_leaves_one_comment_and_one_link() {
    let world = World::new().await;
    for (operation, when) in
        [("UpdateTicket", "after"), ("UpdateTicket", "before"), ("ListComments", "after")]
    {
        let case = format!("{operation} {when}");
        let ticket = world.open_ticket("Slow", FORM).await;
        world.ledger.post_link(&of_acme(&ticket), &ticket, "gateway").await.unwrap();
        world.sandbox.faults().clear();
        world.fault(
            json!({"service": "desk", "operation": operation, "fault": "delay", "when": when, "delay_ms": 20_000}),
        );
        let config =
            delivery::Config { batch: Duration::ZERO, ..delivery::Config::new("https://gate.example") };
        let dying =
            new_delivery(&world.sandbox, &open(&world.dir).await, &world.buckets, &world.desk, config);
        let running = tokio::spawn(async move { dying.pass().await });
        world.until_hit().await;
        running.abort();
        world.sandbox.faults().clear();
        world.ledger.release_claims().await.unwrap();
        world.finished(JobKind::PostLink).await;
        let (_, link) = world.posted(&ticket, &of_acme(&ticket), &case).await;
        assert_eq!(world.only_link(&ticket, &case).await, link.id);
    }
}

fn old_link(ticket: &str) -> NewLink {
    NewLink {
        partner_id: "acme".into(),
        ticket: Some(ticket.into()),
        rights: vec![Right::List, Right::Remove, Right::Escalate],
        max_bytes: Some(5),
        created_by: "staff:1".into(),
        expires_at: Some(now_ms() - 1),
        ..NewLink::default()
    }
}

#[tokio::test]
async fn a_link_is_renewed_once_on_its_ticket() {
    let world = World::new().await;
    let old = world.ledger.create_link(&Token::random(), &old_link("1001")).await.unwrap();
    let asked = async || world.ledger.post_link(&old.id, "1001", "link:1").await.unwrap();
    assert!(asked().await && !asked().await);
    world.finished(JobKind::PostLink).await;
    let (comment, renewed) = world.posted("1001", &old.id, "renewed").await;
    assert!(comment.body.starts_with("Here is a new link"), "{}", comment.body);
    // More people read the ticket than had the old link.
    assert_eq!(renewed.rights, [Right::Upload, Right::Escalate]);
    assert_eq!((renewed.max_bytes, renewed.created_by.as_str()), (Some(5), "gateway"));
    assert!(!asked().await);
    world.finished(JobKind::PostLink).await;
    world.posted("1001", &old.id, "asked again").await;
    // The new one can be renewed in turn.
    world.ledger.post_link(&renewed.id, "1001", "link:1").await.unwrap();
    world.finished(JobKind::PostLink).await;
    world.posted("1001", &renewed.id, "renewed again").await;
}

#[tokio::test]
async fn a_link_that_has_ended_for_good_is_not_renewed() {
    let world = World::new().await;
    let make = async |new: NewLink| world.ledger.create_link(&Token::random(), &new).await.unwrap().id;
    let closed = make(old_link("1002")).await;
    let revoked = make(old_link("1001")).await;
    world.ledger.revoke_link(&revoked, "staff:1").await.unwrap();
    let parent = make(NewLink { ticket: None, ..old_link("1001") }).await;
    let orphan = make(NewLink { parent_id: Some(parent), ..old_link("1001") }).await;
    let missing = make(old_link("9999")).await;
    for (subject, ticket) in [(closed, "1002"), (revoked, "1001"), (orphan, "1001"), (missing, "9999")] {
        world.ledger.post_link(&subject, ticket, "link:1").await.unwrap();
        world.finished(JobKind::PostLink).await;
        let (_, attempts) = world.ledger.link_post(&subject).await.unwrap();
        assert!(attempts.is_empty(), "{ticket}: {attempts:?}");
    }
    assert!(world.notes("1001").await.is_empty());
    // A link never outlives the one that it was made with.
    let parent =
        make(NewLink { ticket: None, expires_at: Some(now_ms() + 60_000), ..old_link("1001") }).await;
    let child = make(NewLink { parent_id: Some(parent.clone()), ..old_link("1001") }).await;
    world.ledger.post_link(&child, "1001", "link:1").await.unwrap();
    world.finished(JobKind::PostLink).await;
    let (_, renewed) = world.posted("1001", &child, "a child").await;
    assert_eq!(renewed.expires_at, world.ledger.link(&parent).await.unwrap().expires_at);
    world.ledger.revoke_link(&parent, "staff:1").await.unwrap();
    assert!(world.ledger.link(&renewed.id).await.unwrap().revoked_at.is_some());
}
