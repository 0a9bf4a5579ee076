//! Jobs and tickets: what is due, who works on it, and what is recorded when it is done.

use super::*;

#[tokio::test]
async fn a_delivery_ends_with_a_new_receipt() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    let first = world.claim_receipt_job(now_ms() + 60_000).await.unwrap().unwrap();
    assert_eq!((first.upload_id.as_str(), first.ticket.as_str(), first.attempts), (id.as_str(), "1001", 1));
    assert!(world.claim_receipt_job(now_ms() + 60_000).await.unwrap().is_none(), "somebody works on it");
    world.set_desk_token(&id, Some(("token", 99))).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().desk_token, Some(("token".into(), 99)));
    assert_eq!(world.due_tickets(10).await.unwrap(), ["1001"]);
    world
        .delivered(&id, Delivery::Undeliverable, Destination::SupportUploader, Some("the ticket is closed"))
        .await
        .unwrap();
    let upload = world.upload(&id).await.unwrap();
    assert_eq!(upload.delivery, Some(Delivery::Undeliverable));
    assert_eq!(upload.destination, Some(Destination::SupportUploader));
    assert_eq!(upload.delivery_detail.as_deref(), Some("the ticket is closed"));
    assert_eq!(upload.desk_token, None);
    assert!(world.due_tickets(10).await.unwrap().is_empty());
    let second =
        world.claim_receipt_job(now_ms() + 60_000).await.unwrap().expect("the receipt is written anew");
    assert_ne!(first.id, second.id);
    world.finish_job(&first.id).await.unwrap();
    let counts = world.job_counts().await.unwrap();
    assert_eq!(
        (counts[0].0.as_str(), counts[0].1),
        ("receipt", 1),
        "the older worker does not end the newer job"
    );
    world.finish_job(&second.id).await.unwrap();
    assert!(world.job_counts().await.unwrap().is_empty());
    world.delivered(&id, Delivery::Done, Destination::TicketAttachment, None).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().delivery_detail, None);
    assert!(world.claim_receipt_job(now_ms() + 60_000).await.unwrap().is_some());
}

#[tokio::test]
async fn a_removed_upload_gets_no_receipt() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.remove(&id, "staff:1").await.unwrap();
    world.delivered(&id, Delivery::Done, Destination::TicketAttachment, None).await.unwrap();
    assert!(world.job_counts().await.unwrap().is_empty());
    assert_eq!(world.state(&id).await, State::Removed);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_again() {
    let world = World::open().await;
    world.complete_one("d").await;
    let first = world.claim_receipt_job(now_ms() - 1).await.unwrap().unwrap();
    let again = world.claim_receipt_job(now_ms() + 60_000).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (first.id, 2));
}

#[tokio::test]
async fn jobs_are_put_off() {
    let world = World::open().await;
    for dedupe_key in ["a", "b"] {
        world.complete_one(dedupe_key).await;
    }
    let jobs = world.ticket_jobs(JobKind::Deliver, "1001", 10).await.unwrap();
    assert_eq!(jobs.len(), 2);
    assert_eq!(world.ticket_jobs(JobKind::Deliver, "1001", 1).await.unwrap().len(), 1);
    assert!(world.ticket_jobs(JobKind::Deliver, "1002", 10).await.unwrap().is_empty());
    world.put_off(&jobs, now_ms() + 60_000, Some("the desk is down")).await.unwrap();
    assert!(world.due_tickets(10).await.unwrap().is_empty());
    world.put_off(&jobs, now_ms() - 1, None).await.unwrap();
    assert_eq!(world.due_tickets(10).await.unwrap(), ["1001"]);
    let attempts: Vec<_> = world
        .ticket_jobs(JobKind::Deliver, "1001", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.attempts)
        .collect();
    assert_eq!(attempts, [1, 1], "waiting for others is not an attempt");
}

#[tokio::test]
async fn one_writer_a_ticket() {
    let world = World::open().await;
    world.complete_one("d").await;
    assert!(world.ticket("1001").await.unwrap().is_none());
    let until = now_ms() + 60_000;
    let other = world.another().await;
    let (one, two) = tokio::join!(world.lease_ticket("1001", until), other.lease_ticket("1001", until));
    assert!(one.unwrap() != two.unwrap());
    assert!(world.due_tickets(10).await.unwrap().is_empty(), "somebody writes to it");
    world.saw_ticket("1001", Some(7), false).await.unwrap();
    assert!(!world.lease_ticket("1001", until).await.unwrap(), "seeing it does not end the lease");
    world.note_ticket_update("1001", 0).await.unwrap();
    assert!(!world.move_ticket_lease("1001", until - 1, 0).await.unwrap(), "another's lease");
    assert!(world.move_ticket_lease("1001", until, 0).await.unwrap());
    assert!(world.lease_ticket("1001", now_ms() - 1).await.unwrap());
    assert!(world.lease_ticket("1001", until).await.unwrap(), "the lease ran out");
    let ticket = world.ticket("1001").await.unwrap().unwrap();
    assert_eq!((ticket.organization_id, ticket.closed), (Some(7), false));
    let updates = world.ticket_updates("1001", 0).await.unwrap();
    assert_eq!(updates, [ticket.last_note_at]);
    world.note_ticket_update("1001", now_ms() + 60_000).await.unwrap();
    assert!(world.ticket_updates("1001", 0).await.unwrap().is_empty(), "old ones are forgotten");
}
