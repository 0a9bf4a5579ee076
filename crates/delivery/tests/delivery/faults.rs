//! Temporary faults. However often a job is tried, a ticket gets one note per file.

use std::time::{Duration, Instant};

use ledger::Delivery::{Done, Pending};
use ledger::{Destination, now_ms};
use serde_json::json;

use crate::world::World;

/// Sends one small file, which is attached once in spite of the faults.
async fn attached_once(world: &World) {
    let id = world.small("1001", "small.log").await;
    let upload = world.settle(&id).await;
    assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(Destination::TicketAttachment)));
    let notes = world.notes("1001").await;
    assert_eq!(notes.len(), 1);
    assert_eq!(world.content(&notes[0]).await, ["small.log"]);
}

#[tokio::test]
async fn desk_down_three_times() {
    let world = World::new().await;
    world.fault(
        json!({"service": "desk", "operation": "ShowTicket", "times": 3, "fault": "status", "status": 503}),
    );
    attached_once(&world).await;
    assert_eq!(world.calls("ShowTicket").await, 4);
}

#[tokio::test]
async fn desk_reset_everywhere_twice() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "*", "times": 2, "fault": "reset"}));
    attached_once(&world).await;
}

#[tokio::test]
async fn update_ticket_503_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": "status", "status": 503}));
    attached_once(&world).await;
    assert_eq!(world.calls("CreateUpload").await, 1, "the desk has the file already");
}

#[tokio::test]
async fn update_ticket_answer_lost_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": "lost-answer"}));
    attached_once(&world).await;
    assert_eq!(world.calls("UpdateTicket").await, 1);
    assert_eq!(world.ledger.ticket_updates("1001", 0).await.unwrap().len(), 1, "and it is counted");
}

#[tokio::test]
async fn update_ticket_answer_garbled_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": "corrupt"}));
    attached_once(&world).await;
    assert_eq!(world.calls("UpdateTicket").await, 1);
}

#[tokio::test]
async fn create_upload_answer_lost_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "CreateUpload", "fault": "lost-answer"}));
    attached_once(&world).await;
    assert_eq!(world.calls("CreateUpload").await, 2);
}

#[tokio::test]
async fn update_ticket_conflict_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": "status", "status": 409}));
    let id = world.small("1001", "small.log").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(world.ledger.upload(&id).await.unwrap().delivery, Some(Done), "at once");
    assert_eq!((world.calls("UpdateTicket").await, world.calls("CreateUpload").await), (2, 1));
    assert_eq!(world.notes_of("1001", &id).await.len(), 1);
}

#[tokio::test]
async fn ticket_that_keeps_changing_is_postponed() {
    let world = World::new().await;
    let rule =
        json!({"service": "desk", "operation": "UpdateTicket", "times": 6, "fault": "status", "status": 409});
    world.fault(rule);
    let id = world.large("1001", "large").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(world.ledger.upload(&id).await.unwrap().delivery, Some(Pending));
    assert_eq!(world.calls("UpdateTicket").await, 6);
    world.settle(&id).await;
    assert_eq!(world.notes_of("1001", &id).await.len(), 1);
}

#[tokio::test]
async fn access_token_refused_once() {
    let world = World::new().await;
    for operation in ["ShowTicket", "CreateUpload", "UpdateTicket"] {
        world.fault(json!({"service": "desk", "operation": operation, "fault": "status", "status": 401}));
    }
    attached_once(&world).await;
}

#[tokio::test]
async fn wrong_credentials_wait_for_the_operator() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 401}));
    let id = world.small("1001", "small.log").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(world.ledger.upload(&id).await.unwrap().delivery, Some(Pending));
    world.sandbox.faults().clear();
    assert_eq!(world.settle(&id).await.delivery, Some(Done));
}

#[tokio::test]
async fn wrong_desk_address_is_no_unknown_ticket() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "Me", "fault": "status", "status": 404}));
    world.fault(json!({"service": "desk", "operation": "ShowTicket", "fault": "status", "status": 404}));
    let id = world.large("1001", "large").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(world.ledger.upload(&id).await.unwrap().delivery, Some(Pending));
    assert_eq!(world.calls("ShowTicket").await, 0);
}

#[tokio::test]
async fn rate_limited_with_retry_after() {
    let world = World::new().await;
    let rule = json!({"service": "desk", "operation": "UpdateTicket", "fault": "status", "status": 429, "retry_after": 3});
    world.fault(rule);
    let first = world.small("1001", "first").await;
    let began = Instant::now();
    world.delivery.pass().await.unwrap();
    // A file that arrives in the meantime does not cause calls either.
    let second = world.small("1001", "second").await;
    world.delivery.pass().await.unwrap();
    assert_eq!((world.calls("UpdateTicket").await, world.calls("ShowTicket").await), (1, 1));
    for id in [&first, &second] {
        assert_eq!(world.settle(id).await.delivery, Some(Done));
        assert_eq!(world.notes_of("1001", id).await.len(), 1);
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(world.notes("1001").await.len(), 1, "they go together");
}

#[tokio::test]
async fn desk_token_used_up() {
    let world = World::new().await;
    let id = world.small("1001", "small.log").await;
    world.ledger.set_desk_token(&id, Some(("unknown", now_ms() + 3_600_000))).await.unwrap();
    let upload = world.settle(&id).await;
    assert_eq!(upload.destination, Some(Destination::TicketAttachment));
    assert_eq!((world.calls("UpdateTicket").await, world.calls("CreateUpload").await), (2, 1));
    assert_eq!(world.content(&world.notes("1001").await[0]).await, ["small.log"]);
}

#[tokio::test]
async fn desk_token_about_to_run_out() {
    let world = World::new().await;
    let id = world.small("1001", "small.log").await;
    world.ledger.set_desk_token(&id, Some(("old", now_ms() + 9 * 60_000))).await.unwrap();
    world.settle(&id).await;
    assert_eq!((world.calls("UpdateTicket").await, world.calls("CreateUpload").await), (1, 1));
}

#[tokio::test]
async fn object_read_damaged_once() {
    let world = World::new().await;
    world.fault(json!({"service": "s3", "operation": "GetObject", "fault": "corrupt"}));
    attached_once(&world).await;
}

#[tokio::test]
async fn one_file_without_its_bucket_delays_no_other() {
    let world = World::new().await;
    world.fault(
        json!({"service": "s3", "operation": "GetObject", "times": 4, "fault": "status", "status": 503}),
    );
    let (stuck, first, second) = (
        world.small("1001", "stuck").await,
        world.large("1001", "first").await,
        world.small("1003", "second").await,
    );
    for id in [&first, &second, &stuck] {
        let upload = world.settle(id).await;
        assert_eq!(upload.delivery, Some(Done));
    }
    for (ticket, id) in [("1001", &stuck), ("1001", &first), ("1003", &second)] {
        assert_eq!(world.notes_of(ticket, id).await.len(), 1);
    }
}

#[tokio::test]
async fn receipt_put_refused_at_first() {
    let world = World::new().await;
    let id = world.large("1001", "large").await;
    world.fault(
        json!({"service": "s3", "operation": "PutObject", "times": 2, "fault": "status", "status": 403}),
    );
    let upload = world.settle(&id).await;
    let began = Instant::now();
    while world.receipt(&upload).await.is_none_or(|receipt| receipt["delivery"] != "done") {
        assert!(began.elapsed() < Duration::from_secs(30), "the receipt is never written");
        world.delivery.pass().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
