//! Refusals by the desk that are final: the file stays in its bucket, and the ticket gets a note if possible.

use ledger::Delivery::{Done, Undeliverable};
use ledger::{AuditFilter, Destination, new_id};
use sandbox::desk::DeskOptions;
use serde_json::json;

use crate::world::{Setup, World, marks};

#[tokio::test]
async fn file_refused_by_the_desk_is_noted_with_its_bucket() {
    let options = DeskOptions {
        max_attachment_bytes: 10,
        refused_extensions: vec!["exe".into()],
        ..DeskOptions::default()
    };
    let world = World::with(Setup { options, ..Setup::default() }).await;
    let large = world.small("1001", "more-than-ten-bytes").await;
    let refused = world.small("1001", "a.exe").await;
    let own = world.sent(&new_id(), "globex", "2001", "b.exe", Destination::TicketAttachment).await;
    let fine = world.small("1001", "fine").await;
    for (id, destination) in [
        (&large, Destination::SupportUploader),
        (&refused, Destination::SupportUploader),
        (&own, Destination::PartnerBucket),
        (&fine, Destination::TicketAttachment),
    ] {
        let upload = world.settle(id).await;
        assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(destination)), "{}", upload.name);
    }
    let notes = world.notes("1001").await;
    assert_eq!((notes.len(), notes[0].attachments.len()), (1, 1));
    assert!([&large, &refused, &fine].iter().all(|id| marks(&notes[0], id)));
    assert!(notes[0].body.contains(&format!("s3://shared/1001/{refused}/a.exe")), "{}", notes[0].body);
}

#[tokio::test]
async fn closed_and_unknown_tickets_are_undeliverable() {
    let world = World::new().await;
    for (ticket, word) in [("1002", "closed"), ("4711", "no ticket 4711"), ("nonsense", "no ticket")] {
        let id = world.small(ticket, "small").await;
        let upload = world.settle(&id).await;
        assert_eq!(upload.delivery, Some(Undeliverable));
        assert_eq!(upload.destination, Some(Destination::SupportUploader));
        assert!(upload.delivery_detail.as_ref().unwrap().contains(word), "{upload:?}");
        world.delivery.pass().await.unwrap();
        assert_eq!(world.receipt(&upload).await.unwrap()["delivery"], "undeliverable");
        let audit = world.ledger.audit(&AuditFilter::about(&id)).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["upload.complete", "upload.undeliverable"]);
    }
    assert!(world.ledger.ticket("1002").await.unwrap().unwrap().closed);
    assert_eq!(world.calls("CreateUpload").await, 0);
}

#[tokio::test]
async fn note_before_the_ticket_closed_counts() {
    let world = World::new().await;
    let (told, late) = (world.large("1001", "told").await, new_id());
    world.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": "lost-answer"}));
    world.delivery.pass().await.unwrap();
    let close = json!({"ticket": {"status": "closed"}}).to_string();
    let url = format!("{}/api/v2/tickets/1001", world.sandbox.desk.url);
    let request = reqwest::Client::new()
        .put(url)
        .header("authorization", &world.sandbox.desk.authorization)
        .body(close);
    assert!(request.send().await.unwrap().status().is_success());
    world.sent(&late, "acme", "1001", "late", Destination::TicketAttachment).await;
    assert_eq!(world.settle(&told).await.delivery, Some(Done));
    assert_eq!(world.settle(&late).await.delivery, Some(Undeliverable));
}

#[tokio::test]
async fn closed_while_we_write() {
    let world = World::new().await;
    let body = r#"{"details":{"status":[{"description":"Status: closed prevents ticket update"}]}}"#;
    world.fault(
        json!({"service": "desk", "operation": "UpdateTicket", "fault": "status", "status": 422, "body": body}),
    );
    let id = world.small("1001", "small").await;
    let upload = world.settle(&id).await;
    assert_eq!(upload.delivery, Some(Undeliverable));
    assert_eq!((upload.destination, upload.desk_token), (Some(Destination::SupportUploader), None));
}

#[tokio::test]
async fn attachments_refused_with_the_comment_are_noted() {
    let world = World::new().await;
    let rule =
        json!({"service": "desk", "operation": "UpdateTicket", "times": 2, "fault": "status", "status": 422});
    world.fault(rule);
    let id = world.small("1001", "small").await;
    let upload = world.settle(&id).await;
    assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(Destination::SupportUploader)));
    assert_eq!(world.calls("CreateUpload").await, 2, "once more with a fresh token");
    let notes = world.notes_of("1001", &id).await;
    assert_eq!((notes.len(), notes[0].attachments.len()), (1, 0));
}

#[tokio::test]
async fn only_the_refused_file_is_undeliverable() {
    let world = World::new().await;
    let (bad, good) = (world.large("1001", "bad").await, world.large("1001", "good").await);
    // The desk refuses both together, then the first alone; it accepts the second.
    let rule =
        json!({"service": "desk", "operation": "UpdateTicket", "times": 2, "fault": "status", "status": 422});
    world.fault(rule);
    let upload = world.settle(&bad).await;
    assert_eq!(upload.delivery, Some(Undeliverable));
    assert!(upload.delivery_detail.unwrap().contains("422"));
    assert_eq!(world.settle(&good).await.delivery, Some(Done));
    let notes = world.notes("1001").await;
    assert_eq!((notes.len(), marks(&notes[0], &good), marks(&notes[0], &bad)), (1, true, false));
}

/// For example, a proxy in front of the desk. Even a worker that has reached the desk before gives up no ticket for it.
#[tokio::test]
async fn page_that_answers_404_to_everything_is_not_believed() {
    let world = World::new().await;
    let before = world.small("1001", "before").await;
    assert_eq!(world.settle(&before).await.delivery, Some(Done));
    world.fault(json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 404}));
    let id = world.small("2001", "meanwhile").await;
    world.delivery.pass().await.unwrap();
    assert!(world.calls("Me").await >= 2, "the desk is asked again whether it is there");
    assert_eq!(world.ledger.upload(&id).await.unwrap().delivery, Some(ledger::Delivery::Pending));
    world.sandbox.faults().clear();
    assert_eq!(world.settle(&id).await.delivery, Some(Done));
    assert_eq!(world.notes_of("2001", &id).await.len(), 1);
}
