//! Deliveries against the embedded S3 server and desk on loopback, with the ledger in a file.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; the exemption for tests covers only the test functions themselves"
)]

mod asks;
mod compare;
mod escalations;
mod faults;
mod hooks;
mod interruptions;
mod links;
mod partner_objects;
mod refusals;
mod retention;
mod sender_notes;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::Config;
use desk::NewComment;
use ledger::Delivery::{Done, Pending};
use ledger::{Destination, JobKind, new_id, now_ms};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use world::{Setup, World, marks, new_delivery, open};

#[tokio::test]
async fn small_file_is_attached() {
    let world = World::new().await;
    let id = world.small("1001", "core dump (1).log").await;
    // The delivery and one or two receipts: one may be written before the delivery.
    assert!((2..=3).contains(&world.delivery.pass().await.unwrap()));
    let upload = world.ledger.upload(&id).await.unwrap();
    assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(Destination::TicketAttachment)));
    assert_eq!(upload.desk_token, None);
    let notes = world.notes("1001").await;
    assert_eq!((notes.len(), notes[0].public), (1, false));
    assert_eq!(notes[0].attachments[0].file_name, "core dump (1).log");
    assert_eq!(world.content(&notes[0]).await, ["core dump (1).log"]);
    let command = format!("\n```\nwb get {id} -o .\n```\n");
    let link = format!("https://gate.example/api/v1/uploads/{id}/content");
    for part in ["`core dump (1).log`", "17 bytes", "attached to this comment", &command, &link] {
        assert!(notes[0].body.contains(part), "{part}: {}", notes[0].body);
    }
    assert!(marks(&notes[0], &id));
    assert_eq!(world.delivery.pass().await.unwrap(), 0, "nothing is left to do");
    let receipt = world.receipt(&upload).await.unwrap();
    let received_at = ledger::rfc3339(upload.completed_at.unwrap());
    assert_eq!(
        receipt,
        json!({
            "id": id, "name": "core dump (1).log", "size": 17, "sha256": upload.sha256, "partner": "acme",
            "ticket": "1001", "destination": "ticket-attachment", "delivery": "done",
            "received_at": received_at, "expires_at": null, "checked": ["sha-256"],
        })
    );
}

#[tokio::test]
async fn large_file_is_noted_with_its_bucket() {
    let world = World::new().await;
    let shared = world.large("1001", "dump.tar").await;
    let own = world.sent(&new_id(), "globex", "2001", "own.tar", Destination::PartnerBucket).await;
    for (id, ticket, place, destination) in [
        (&shared, "1001", format!("`s3://shared/1001/{shared}/dump.tar`"), Destination::SupportUploader),
        (&own, "2001", format!("`s3://globex-own/2001/{own}/own.tar`"), Destination::PartnerBucket),
    ] {
        let upload = world.settle(id).await;
        assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(destination)));
        let notes = world.notes(ticket).await;
        assert_eq!((notes.len(), notes[0].attachments.len(), notes[0].public), (1, 0, false));
        assert!(notes[0].body.contains(&place), "{}", notes[0].body);
    }
    assert_eq!(world.calls("CreateUpload").await, 0);
}

#[tokio::test]
async fn waiting_files_share_a_comment() {
    let world = World::new().await;
    let ids =
        [world.small("1001", "a").await, world.large("1001", "b").await, world.small("1001", "c").await];
    world.delivery.pass().await.unwrap();
    let notes = world.notes("1001").await;
    assert_eq!((notes.len(), notes[0].attachments.len()), (1, 2));
    assert_eq!(world.content(&notes[0]).await, ["a", "c"]);
    for id in &ids {
        assert!(marks(&notes[0], id));
        assert_eq!(world.ledger.upload(id).await.unwrap().delivery, Some(Done));
    }
}

#[tokio::test]
async fn many_files_take_several_comments() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..24 {
        ids.push(world.small("1001", &format!("small-{n}")).await);
    }
    for n in 0..12 {
        ids.push(world.large("1001", &format!("large-{n}")).await);
    }
    for id in &ids {
        assert_eq!(world.settle(id).await.delivery, Some(Done));
        assert_eq!(world.notes_of("1001", id).await.len(), 1);
    }
    let notes = world.notes("1001").await;
    assert!(notes.iter().all(|note| note.attachments.len() <= 20), "{notes:?}");
    assert_eq!(notes.iter().map(|note| note.attachments.len()).sum::<usize>(), 24);
    assert_eq!(notes.len(), 2);
}

#[tokio::test]
async fn first_file_goes_at_once_and_later_ones_are_collected() {
    let batch = Duration::from_secs(3);
    let config = Config { batch, ..Config::new("https://gate.example") };
    let world = World::with(Setup { config, ..Setup::default() }).await;
    let (completed, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let (delivery, wake, stopped) = (world.delivery.clone(), Arc::clone(&completed), stop.clone());
    let running = tokio::spawn(async move { delivery.run(wake, stopped).await });
    let began = Instant::now();
    let first = world.small("1001", "first").await;
    completed.notify_one();
    world.settled(&[first]).await;
    assert!(began.elapsed() < batch, "the first one does not wait");
    let later = [world.small("1001", "second").await, world.large("1001", "third").await];
    completed.notify_one();
    world.settled(&later).await;
    let notes = world.notes("1001").await;
    assert_eq!(notes.len(), 2);
    assert!(later.iter().all(|id| marks(&notes[1], id)));
    let updates = world.ledger.ticket_updates("1001", 0).await.unwrap();
    assert!(updates[1] - updates[0] >= 3_000, "{updates:?}");
    stop.cancel();
    running.await.unwrap();
}

/// Support gets the notes about the organisation once on a ticket: with the first note after the desk has told them.
#[tokio::test]
async fn a_ticket_has_the_organisation_s_notes_once() {
    let world = World::new().await;
    world.fault(json!({"service": "desk", "operation": "ShowOrganization", "times": 1, "fault": "status", "status": 503}));
    for (name, are_told) in [("first", false), ("second", true), ("third", false)] {
        let id = world.small("1001", name).await;
        world.settle(&id).await;
        let note = world.notes_of("1001", &id).await.remove(0);
        assert_eq!(note.body.contains("- `Answer in English.`"), are_told, "{name}: {}", note.body);
    }
}

#[tokio::test]
async fn two_workers_write_one_note_per_file() {
    let world = World::new().await;
    let (completed, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let mut running = Vec::new();
    for _ in 0..2 {
        let config = Config { batch: Duration::from_millis(100), ..Config::new("https://gate.example") };
        let ledger = open(&world.dir).await;
        let delivery = new_delivery(&world.sandbox, &ledger, &world.buckets, &world.desk, config);
        let (wake, stopped) = (Arc::clone(&completed), stop.clone());
        running.push(tokio::spawn(async move { delivery.run(wake, stopped).await }));
    }
    let mut ids = Vec::new();
    for n in 0..30 {
        let ticket = if n % 3 == 0 { "1001" } else { "1003" };
        let name = format!("file-{n}");
        let destination =
            if n % 2 == 0 { Destination::TicketAttachment } else { Destination::SupportUploader };
        ids.push(world.sent(&new_id(), "acme", ticket, &name, destination).await);
        completed.notify_one();
    }
    world.settled(&ids).await;
    stop.cancel();
    for end in running {
        end.await.unwrap();
    }
    let notes = [world.notes("1001").await, world.notes("1003").await].concat();
    for id in &ids {
        assert_eq!(notes.iter().filter(|note| marks(note, id)).count(), 1, "{id}");
    }
    assert_eq!(notes.iter().map(|note| note.attachments.len()).sum::<usize>(), 15);
}

#[tokio::test]
async fn public_comment_names_only_its_attachments() {
    let mut setup = Setup::default();
    setup.config.attachments_public = true;
    let world = World::with(setup).await;
    let (small, large) = (world.small("1001", "small").await, world.large("1001", "large").await);
    world.settle(&large).await;
    world.settle(&small).await;
    let notes = world.notes("1001").await;
    let seen = notes.iter().map(|note| (note.public, marks(note, &small), marks(note, &large)));
    assert_eq!(seen.collect::<Vec<_>>(), [(true, true, false), (false, false, true)]);
    assert!(!notes[0].body.contains("wb get") && !notes[0].body.contains("s3://"), "{}", notes[0].body);
}

#[tokio::test]
async fn note_written_before_a_crash_is_found() {
    let world = World::new().await;
    let (attached, noted) = (world.small("1001", "a").await, world.small("1001", "b").await);
    let stamp = world.desk.ticket("1001").await.unwrap().updated_stamp;
    let body = format!(
        "- Where: attached to this comment\n\nref: {attached}\n\n- Where: Support Uploader, `x`\n\nref: {noted}\n"
    );
    let comment = NewComment { body, public: false, uploads: vec![], stamp: &stamp };
    world.desk.comment("1001", comment).await.unwrap();
    world.delivery.pass().await.unwrap();
    for (id, destination) in
        [(&attached, Destination::TicketAttachment), (&noted, Destination::SupportUploader)]
    {
        let upload = world.ledger.upload(id).await.unwrap();
        assert_eq!((upload.delivery, upload.destination), (Some(Done), Some(destination)));
    }
    assert_eq!((world.notes("1001").await.len(), world.calls("CreateUpload").await), (1, 0));
}

#[tokio::test]
async fn marker_by_somebody_else_is_ignored() {
    let id = new_id();
    let world = World::with(Setup { description: format!("ref: {id}"), ..Setup::default() }).await;
    world.sent(&id, "acme", "1001", "a", Destination::SupportUploader).await;
    world.settle(&id).await;
    assert_eq!(world.notes_of("1001", &id).await.len(), 1);
}

#[tokio::test]
async fn hostile_names_forge_nothing() {
    let world = World::new().await;
    let victim = new_id();
    let names = [
        format!("ref: {victim}"),
        format!("a\nref: {victim}\n"),
        format!("`\n\nref: {victim}\n"),
        format!("\u{2028}ref: {victim}\u{2028}.txt"),
        "**bold** [x](https://evil.example) {{ticket.id}} <b>".to_owned(),
    ];
    let mut ids = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let destination =
            if n % 2 == 0 { Destination::SupportUploader } else { Destination::TicketAttachment };
        ids.push(world.sent(&new_id(), "acme", "1001", name, destination).await);
    }
    for id in &ids {
        assert_eq!(world.settle(id).await.delivery, Some(Done));
    }
    world.sent(&victim, "acme", "1001", "victim", Destination::SupportUploader).await;
    assert_eq!(world.notes_of("1001", &victim).await.len(), 0);
    world.settle(&victim).await;
    assert_eq!(world.notes_of("1001", &victim).await.len(), 1);
    let notes = world.notes("1001").await;
    assert!(!notes.iter().any(|note| note.body.contains("{{") || note.body.contains("https://evil")));
}

#[tokio::test]
async fn dead_worker_delays_only_its_ticket() {
    let world = World::new().await;
    let held = world.large("1001", "held").await;
    let until = now_ms() + 1_500;
    world.ledger.claim_jobs(JobKind::Deliver, until).await.unwrap().unwrap();
    let free = world.large("1003", "free").await;
    world.delivery.pass().await.unwrap();
    assert_eq!(world.ledger.upload(&free).await.unwrap().delivery, Some(Done));
    assert_eq!(world.ledger.upload(&held).await.unwrap().delivery, Some(Pending));
    world.settle(&held).await;
    assert!(now_ms() >= until);
}

#[tokio::test]
async fn removed_upload_gets_neither_note_nor_receipt() {
    let world = World::new().await;
    let gone = world.large("1001", "gone").await;
    world.delivery.pass().await.unwrap();
    let upload = world.ledger.upload(&gone).await.unwrap();
    assert!(world.receipt(&upload).await.is_some());
    let other = world.large("1003", "other").await;
    world.ledger.remove(&other, "staff:x").await.unwrap();
    assert_eq!(world.delivery.pass().await.unwrap(), 0);
    assert_eq!(world.notes("1003").await.len(), 0);
    assert_eq!(world.receipt(&world.ledger.upload(&other).await.unwrap()).await, None);
}

/// Removed during its upload to the desk: the comment names and attaches the other file only.
#[tokio::test(flavor = "multi_thread")]
async fn file_removed_after_its_batch_was_loaded_is_not_attached() {
    let world = World::new().await;
    for held in ["CreateUpload", "ListComments"] {
        let gone = world.small("1001", &format!("gone-{held}")).await;
        let kept = world.small("1001", &format!("kept-{held}")).await;
        world.fault(json!({"service": "desk", "operation": held, "fault": "delay", "delay_ms": 600_000, "when": "after"}));
        let delivery = world.delivery.clone();
        let pass = tokio::spawn(async move { delivery.pass().await });
        world.until_hit().await;
        world.ledger.remove(&gone, "staff:x").await.unwrap();
        world.sandbox.faults().clear();
        pass.await.unwrap().unwrap();
        assert_eq!(world.settle(&kept).await.delivery, Some(Done));
        assert_eq!(world.notes_of("1001", &gone).await.len(), 0);
        let notes = world.notes_of("1001", &kept).await;
        assert_eq!(notes.len(), 1);
        assert_eq!(world.content(&notes[0]).await, [format!("kept-{held}")]);
    }
}

/// The worker dies while its receipt is in flight: a sweep looks again after the receipt can have arrived.
#[tokio::test(flavor = "multi_thread")]
async fn receipt_in_flight_during_removal_is_swept() {
    let world = World::new().await;
    let id = world.large("1001", "gone").await;
    world.fault(json!({"service": "s3", "operation": "PutObject", "fault": "delay", "delay_ms": 600_000}));
    let delivery = world.delivery.clone();
    let pass = tokio::spawn(async move { delivery.pass().await });
    world.until_hit().await;
    world.ledger.remove(&id, "staff:x").await.unwrap();
    pass.abort();
    assert!(pass.await.unwrap_err().is_cancelled());
    let waits = world.ledger.upload(&id).await.unwrap().attempts_until - now_ms();
    assert!(waits > 60_000, "it may arrive for longer than the call takes, not {waits} ms");
    assert!(
        !world.ledger.attempt_receipt(&id, now_ms() + 1_000_000).await.unwrap(),
        "and no other is written"
    );
}

/// A receipt in flight is replaced by a newer one. It is not dropped, because the bucket could still store it last.
#[tokio::test(flavor = "multi_thread")]
async fn late_receipt_does_not_replace_a_newer_one() {
    let world = World::new().await;
    let delay = Duration::from_secs(7);
    let id = world.large("1001", "slow").await;
    world.fault(json!({"service": "s3", "operation": "PutObject", "fault": "delay", "delay_ms": 7_000}));
    let begun = Instant::now();
    world.delivery.pass().await.unwrap();
    assert!(begun.elapsed() >= delay, "its worker waits for the answer");
    let upload = world.settle(&id).await;
    assert_eq!(world.receipt(&upload).await.unwrap()["delivery"], "done");
}
