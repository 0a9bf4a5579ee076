//! What senders write to support: once on the ticket, whatever fails on the way.

use std::time::Duration;

use ledger::{AuditFilter, JobKind, NewLink, NoteAdded, SENDER_NOTES_MAX, Token};
use serde_json::json;

use crate::world::World;

impl World {
    async fn writes(&self, link: &str, text: &str) -> NoteAdded {
        self.ledger.add_sender_note(link, "acme", "1001", text, &format!("link:{link}")).await.unwrap()
    }

    async fn link_of_acme(&self) -> String {
        let link = NewLink { partner_id: "acme".into(), ticket: Some("1001".into()), ..NewLink::default() };
        self.ledger.create_link(&Token::random(), &link).await.unwrap().id
    }

    async fn notes_with(&self, ticket: &str, part: &str) -> Vec<desk::Comment> {
        let mut notes = self.notes(ticket).await;
        notes.retain(|note| note.body.contains(part));
        notes
    }
}

#[tokio::test]
async fn a_note_is_on_the_ticket_once_and_private() {
    let world = World::new().await;
    let (link, other) = (world.link_of_acme().await, world.link_of_acme().await);
    let NoteAdded::New(id) = world.writes(&link, "See line 7.\nThanks").await else { panic!("not new") };
    assert_eq!(world.writes(&link, "See line 7.\nThanks").await, NoteAdded::Repeated(id.clone()));
    assert!(matches!(world.writes(&other, "See line 7.\nThanks").await, NoteAdded::New(_)));
    world.finished(JobKind::PostNote).await;
    let notes = world.notes_with("1001", "sender-note: ").await;
    assert_eq!((notes.len(), notes[0].public), (1, false), "two texts share a note: {notes:?}");
    let text = format!("- `See line 7.`\n- `Thanks`\n\nsender-note: {id}\n");
    assert!(notes[0].body.contains(&text), "{}", notes[0].body);
    assert_eq!(notes[0].body.matches("sender-note: ").count(), 2, "{}", notes[0].body);
    assert!(world.ledger.sender_notes_to_tell("1001", "acme", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_crash_or_a_lost_answer_leaves_one_note() {
    let world = World::new().await;
    let link = world.link_of_acme().await;
    for (operation, when) in [
        ("ShowTicket", "before"),
        ("ListComments", "after"),
        ("UpdateTicket", "before"),
        ("UpdateTicket", "after"),
    ] {
        let text = format!("{operation} {when}");
        assert!(matches!(world.writes(&link, &text).await, NoteAdded::New(_)));
        world
            .dies_at(json!({"service": "desk", "operation": operation, "fault": "delay", "when": when, "delay_ms": 20_000}))
            .await;
        world.finished(JobKind::PostNote).await;
        assert_eq!(world.notes_with("1001", &text).await.len(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_ticket_that_is_closed_or_moved_gets_no_note() {
    let world = World::new().await;
    let link = world.link_of_acme().await;
    for is_moved in [true, false] {
        let ticket = world.open_ticket("Slow", None).await;
        let added = world.ledger.add_sender_note(&link, "acme", &ticket, "a text", "link:1").await.unwrap();
        let NoteAdded::New(id) = added else { panic!("{added:?}") };
        if is_moved {
            world.ledger.put_partner("acme", "acme", Some(8)).await.unwrap();
        } else {
            world.ledger.put_partner("acme", "acme", Some(7)).await.unwrap();
            world.desk_says(&ticket, json!({"status": "closed"})).await;
        }
        world.finished(JobKind::PostNote).await;
        assert!(world.notes_with(&ticket, &id).await.is_empty(), "{is_moved}");
        let audit = world
            .ledger
            .audit(&AuditFilter { subject: Some(ticket.clone()), limit: 100, ..AuditFilter::default() })
            .await
            .unwrap();
        let refused: Vec<_> = audit.iter().filter(|entry| entry.action == "note.refused").collect();
        assert_eq!(refused.len(), 1, "{is_moved}: {audit:?}");
        assert!(refused[0].detail.starts_with(&id), "{refused:?}");
        // Sent again, it is tried again.
        let again = world.ledger.add_sender_note(&link, "acme", &ticket, "a text", "link:1").await.unwrap();
        assert!(matches!(again, NoteAdded::New(_)), "{again:?}");
    }
}

/// A note whose answer was lost is on its ticket, also if the ticket is closed before anybody looks.
#[tokio::test]
async fn a_note_that_was_written_is_not_called_refused() {
    let world = World::new().await;
    let link = world.link_of_acme().await;
    let ticket = world.open_ticket("Slow", None).await;
    world.ledger.add_sender_note(&link, "acme", &ticket, "a text", "link:1").await.unwrap();
    world
        .dies_at(json!({"service": "desk", "operation": "UpdateTicket", "fault": "delay", "when": "after", "delay_ms": 20_000}))
        .await;
    world.desk_says(&ticket, json!({"status": "closed"})).await;
    world.finished(JobKind::PostNote).await;
    assert_eq!(world.notes_with(&ticket, "a text").await.len(), 1);
    let filter = AuditFilter { subject: Some(ticket), limit: 100, ..AuditFilter::default() };
    let audit = world.ledger.audit(&filter).await.unwrap();
    assert!(audit.iter().all(|entry| entry.action != "note.refused"), "{audit:?}");
}

#[tokio::test]
async fn a_link_writes_so_many_notes_a_day() {
    let world = World::new().await;
    let link = world.link_of_acme().await;
    for number in 0..SENDER_NOTES_MAX {
        assert!(matches!(world.writes(&link, &number.to_string()).await, NoteAdded::New(_)));
    }
    let NoteAdded::TooMany(wait) = world.writes(&link, "one more").await else { panic!("one too many") };
    assert!(Duration::from_secs(23 * 60 * 60) < wait, "{wait:?}");
    world.finished(JobKind::PostNote).await;
    let notes = world.notes_with("1001", "sender-note: ").await;
    assert_eq!(notes.len(), 5, "ten texts share a note");
    assert!(matches!(world.writes(&link, "0").await, NoteAdded::Repeated(_)), "a retry is none more");
    assert!(matches!(world.writes(&world.link_of_acme().await, "another link").await, NoteAdded::New(_)));
}
