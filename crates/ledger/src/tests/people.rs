//! Tickets that partners open, case numbers, escalations, hooks and steps.

use super::*;
use crate::{
    Escalation, EscalationFilter, EscalationState, NewEscalation, OpeningTicket, OrganizationNotes, Origin,
    Urgency,
};

fn new<'a>(ticket: &'a str, urgency: Urgency) -> NewEscalation<'a> {
    NewEscalation {
        partner_id: "acme",
        ticket,
        actor: "staff:1",
        origin: None,
        reason: "down",
        actions: "call",
        urgency,
        emergency: false,
        hints: &[],
    }
}

async fn escalate(world: &World, new: &NewEscalation<'_>) -> (Escalation, bool) {
    world.escalate(new, 50).await.unwrap().expect("there is room")
}

async fn jobs(world: &World, kind: JobKind) -> i64 {
    let counts = world.job_counts().await.unwrap();
    counts.iter().find(|(name, ..)| name == kind.name()).map_or(0, |(_, jobs, _)| *jobs)
}

#[tokio::test]
async fn a_ticket_has_one_open_escalation() {
    let world = World::open().await;
    let hints = ["It is late.".to_owned(), "It is young.".to_owned()];
    let first = NewEscalation { hints: &hints, ..new("1001", Urgency::OneHour) };
    let (first, joined) = escalate(&world, &first).await;
    assert!(!joined && first.reference.len() == 10 && first.hints == hints, "{first:?}");
    let again = NewEscalation { emergency: true, ..new("1001", Urgency::TwoHours) };
    let (again, joined) = escalate(&world, &again).await;
    assert_eq!((again.id.as_str(), joined, again.joined), (first.id.as_str(), true, 1));
    assert!(again.emergency && again.urgency == Urgency::OneHour, "the higher urgency counts");
    assert_eq!((again.raised, again.reason.as_str()), (1, "down"), "nothing new was said");
    let later = NewEscalation { reason: "and on fire", ..new("1001", Urgency::TwoHours) };
    let (later, _) = escalate(&world, &later).await;
    assert_eq!((later.raised, later.reason.as_str()), (1, "down\n\nand on fire"));
    world.put_partner("globex", "Globex", None).await.unwrap();
    let elsewhere = NewEscalation { partner_id: "globex", ..new("1001", Urgency::TwoHours) };
    let (elsewhere, joined) = escalate(&world, &elsewhere).await;
    assert!(!joined, "another partner's is another one");
    world.set_escalation_state(&elsewhere.id, EscalationState::Resolved, None, "staff:1").await.unwrap();
    let full = async |ticket| world.escalate(&new(ticket, Urgency::TwoHours), 1).await.unwrap();
    assert!(full("1002").await.is_none(), "one is open");
    assert!(full("1001").await.is_some_and(|(_, joined)| joined), "it needs no place");
    let (other, joined) = escalate(&world, &new("1002", Urgency::HalfAnHour)).await;
    assert!(!joined);
    assert_eq!(jobs(&world, JobKind::Escalate).await, 3);
    for ticket in ["1003", "1004"] {
        let repeated = NewEscalation {
            origin: Some(Origin { name: "hook 1", fields_hash: "" }),
            ..new(ticket, Urgency::TwoHours)
        };
        let (repeated, joined) = escalate(&world, &repeated).await;
        assert_eq!((repeated.ticket.as_str(), joined), ("1003", false));
    }
    for _ in 0..2 {
        let repeated = NewEscalation {
            origin: Some(Origin { name: "hook 2", fields_hash: "" }),
            ..new("1003", Urgency::TwoHours)
        };
        let (repeated, joined) = escalate(&world, &repeated).await;
        assert_eq!((repeated.joined, joined), (1, true), "it joins once");
    }

    let repeated =
        world.escalations(&EscalationFilter { ticket: Some("1003"), ..Default::default() }).await.unwrap();
    let [repeated] = repeated.as_slice() else { panic!("{repeated:?}") };
    let set = async |state, reason| world.set_escalation_state(&first.id, state, reason, "staff:1").await;
    set(EscalationState::Acknowledged, None).await.unwrap();
    let declined = set(EscalationState::Declined, Some("a duplicate")).await.unwrap();
    assert_eq!(declined.state_reason.as_deref(), Some("a duplicate"));
    set(EscalationState::Declined, Some("a duplicate")).await.unwrap();
    assert!(matches!(set(EscalationState::Resolved, None).await, Err(Error::Conflict(_))));
    let missing = world.set_escalation_state("x", EscalationState::Resolved, None, "staff:1").await;
    assert!(matches!(missing, Err(Error::NotFound)));
    let (next, joined) = escalate(&world, &new("1001", Urgency::TwoHours)).await;
    assert!(!joined && next.id != first.id);

    let ids = async |filter: EscalationFilter<'_>| {
        let found = world.escalations(&filter).await.unwrap();
        found.into_iter().map(|escalation| escalation.id).collect::<Vec<_>>()
    };
    let of_ticket = EscalationFilter { ticket: Some("1001"), ..Default::default() };
    assert_eq!(ids(of_ticket).await, [next.id.clone(), elsewhere.id.clone(), first.id.clone()]);
    let submitted = EscalationFilter { state: Some(EscalationState::Submitted), ..Default::default() };
    assert_eq!(ids(submitted).await, [next.id, repeated.id.clone(), other.id]);
    let of_globex = EscalationFilter { partner_id: Some("globex"), ..Default::default() };
    assert_eq!(ids(of_globex).await, [elsewhere.id]);
}

#[tokio::test]
async fn a_key_opens_one_ticket() {
    let world = World::open().await;
    let link_id = world.link.id.as_str();
    let opening = OpeningTicket { key_hash: "k", fields_hash: "f", link_id };
    let claim = world.claim_ticket_key(&opening, 0).await.unwrap();
    let again = world.claim_ticket_key(&opening, 0).await.unwrap();
    assert_eq!((&claim.external_id, claim.ticket), (&again.external_id, None));
    let other = OpeningTicket { fields_hash: "g", ..opening };
    assert!(matches!(world.claim_ticket_key(&other, 0).await, Err(Error::Conflict(_))));
    world.drop_ticket_key(&again).await.unwrap();
    let fresh = world.claim_ticket_key(&other, 0).await.unwrap();
    assert_ne!(fresh.external_id, again.external_id);
    world.ticket_opened(&fresh, "7", "link:1").await.unwrap();
    world.drop_ticket_key(&fresh).await.unwrap();
    assert_eq!(world.claim_ticket_key(&other, 0).await.unwrap().ticket.as_deref(), Some("7"), "it stays");
    let expired = world.claim_ticket_key(&opening, now_ms() + 1).await.unwrap();
    assert_eq!(expired.ticket, None, "a day later the key is free");
}

#[tokio::test]
async fn a_case_number_belongs_to_its_partner() {
    let world = World::open().await;
    world.put_partner("globex", "Globex", None).await.unwrap();
    for ticket in ["1", "2", "2"] {
        world.saw_case_number("acme", "t123", ticket).await.unwrap();
    }
    let mut tickets = world.tickets_of_case("acme", "T123").await.unwrap();
    tickets.sort();
    assert_eq!(tickets, ["1", "2"]);
    assert!(world.tickets_of_case("globex", "T123").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hook_counts_once() {
    let world = World::open().await;
    let accept =
        async || world.accept_hook("zendesk:1", JobKind::SeeTicket, "7", Some("7"), "{}").await.unwrap();
    assert_eq!((accept().await, accept().await), (true, false));
    assert_eq!(jobs(&world, JobKind::SeeTicket).await, 1);
    assert_eq!(world.cursor("tickets").await.unwrap(), None);
    for value in ["a", "b"] {
        world.set_cursor("tickets", value).await.unwrap();
    }
    assert_eq!(world.cursor("tickets").await.unwrap().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_step_knows_whether_it_was_attempted() {
    let world = World::open().await;
    assert!(world.step("e", "note").await.unwrap().is_none());
    assert!(world.begin_step("e", "note").await.unwrap().is_none(), "this is the first attempt");
    let before = world.begin_step("e", "note").await.unwrap().unwrap();
    assert_eq!((before.done_at, before.result), (None, None));
    world.end_step("e", "note", "42").await.unwrap();
    let done = world.begin_step("e", "note").await.unwrap().unwrap();
    assert!(done.done_at.is_some() && done.begun_at == before.begun_at);
    assert_eq!(done.result.as_deref(), Some("42"));
}

#[tokio::test]
async fn organization_notes_are_replaced() {
    let world = World::open().await;
    assert_eq!(world.organization_notes("acme").await.unwrap(), None);
    for (notes, fetched_at) in [("old", 1), ("new", 2)] {
        let notes = OrganizationNotes {
            partner_id: "acme".into(),
            organization_id: 7,
            notes: notes.into(),
            details: String::new(),
            fields: "{}".into(),
            fetched_at,
        };
        world.put_organization_notes(&notes).await.unwrap();
        assert_eq!(world.organization_notes("acme").await.unwrap(), Some(notes));
    }
}
