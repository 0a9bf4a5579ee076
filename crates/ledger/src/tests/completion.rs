//! Completing an upload: which one is the original, and what is queued.

use super::*;

#[tokio::test]
async fn completion_is_recorded_and_final() {
    let world = World::open().await;
    let id = world.begun().await;
    assert!(superseded(world.complete(&id, 1, None).await), "it is not completing");
    assert_eq!(world.begin_completing(&end(&id, 1, "d")).await.unwrap(), Dedupe::First);
    let upload = world.upload(&id).await.unwrap();
    assert_eq!(
        (upload.state, upload.length, upload.sha256.as_deref()),
        (State::Completing, Some(10), Some("ab"))
    );
    assert_eq!(
        (upload.destination, upload.checked),
        (Some(Destination::TicketAttachment), vec!["sha-256".into()])
    );
    assert_eq!((upload.offset, upload.delivery, upload.completed_at), (0, None, None));
    assert!(superseded(world.begin_append(&id, 0, None).await));
    assert!(superseded(world.begin_completing(&end(&id, 1, "d")).await), "it has begun already");
    assert_eq!(world.complete(&id, 1, None).await.unwrap(), Completed::Now);
    let upload = world.upload(&id).await.unwrap();
    assert_eq!(
        (upload.state, upload.offset, upload.delivery),
        (State::Complete, 10, Some(Delivery::Pending))
    );
    assert!(upload.completed_at.is_some());
    assert_eq!(world.complete(&id, 1, None).await.unwrap(), Completed::Before, "twice is once");
    assert_eq!(world.waiting(JobKind::Deliver).await, 1);
    assert!(!world.cancel(&id, None, "operator", "").await.unwrap());
    assert!(superseded(world.begin_append(&id, 10, None).await));
    assert!(matches!(world.complete("none", 1, None).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn equal_file_is_a_duplicate() {
    let world = World::open().await;
    let first = world.begun().await;
    let second = world.begun().await;
    assert_eq!(world.begin_completing(&end(&first, 1, "d")).await.unwrap(), Dedupe::First);
    let other = Dedupe::DuplicateOf(first.clone());
    assert_eq!(world.begin_completing(&end(&second, 1, "d")).await.unwrap(), other, "still being published");
    assert_eq!(world.state(&second).await, State::Open, "nothing changed");
    world.complete(&first, 1, None).await.unwrap();
    assert_eq!(world.begin_completing(&end(&second, 1, "d")).await.unwrap(), other);
    assert_eq!(world.begin_completing(&end(&second, 1, "another file")).await.unwrap(), Dedupe::First);
}

#[tokio::test]
async fn no_upload_is_dropped_for_a_missing_original() {
    let world = World::open().await;
    let (original, again) = (world.complete_one("d").await, world.begun().await);
    assert_eq!(
        world.begin_completing(&end(&again, 1, "d")).await.unwrap(),
        Dedupe::DuplicateOf(original.clone())
    );
    world.remove(&original, "operator").await.unwrap();
    assert!(!world.cancel_duplicate(&again, 1, &original).await.unwrap());
    assert_eq!(world.begin_completing(&end(&again, 1, "d")).await.unwrap(), Dedupe::First);
    let third = world.begun().await;
    world.complete(&again, 1, None).await.unwrap();
    assert!(world.cancel_duplicate(&third, 1, &again).await.unwrap());
    assert_eq!(world.original_of(&third).await.unwrap().map(|upload| upload.id), Some(again));
}

#[tokio::test]
async fn cancelled_original_loses_its_claim() {
    let world = World::open().await;
    let (first, second) = (world.begun().await, world.begun().await);
    world.begin_completing(&end(&first, 1, "d")).await.unwrap();
    world.cancel(&first, None, "operator", "").await.unwrap();
    assert_eq!(world.begin_completing(&end(&second, 1, "d")).await.unwrap(), Dedupe::First);
    let third = world.begun().await;
    assert_eq!(world.begin_completing(&end(&third, 1, "d")).await.unwrap(), Dedupe::DuplicateOf(second));
}

#[tokio::test]
async fn expired_claim_is_lost() {
    let world = World::open().await;
    let first = world.complete_one("d").await;
    let second = world.begun().await;
    let claimed_at = world.upload(&first).await.unwrap().updated_at;
    let within = Completion { claims_since: claimed_at - 60_000, ..end(&second, 1, "d") };
    assert_eq!(world.begin_completing(&within).await.unwrap(), Dedupe::DuplicateOf(first));
    let after = Completion { claims_since: claimed_at + 60_000, ..end(&second, 1, "d") };
    assert_eq!(world.begin_completing(&after).await.unwrap(), Dedupe::First);
    let third = world.begun().await;
    assert_eq!(world.begin_completing(&end(&third, 1, "d")).await.unwrap(), Dedupe::DuplicateOf(second));
}

/// A claim by an upload that then turns out to be superseded is not left behind.
#[tokio::test]
async fn superseded_upload_claims_nothing() {
    let world = World::open().await;
    let (first, second) = (world.begun().await, world.begun().await);
    world.begin_append(&first, 0, None).await.unwrap();
    assert!(superseded(world.begin_completing(&end(&first, 1, "d")).await));
    assert_eq!(world.begin_completing(&end(&second, 1, "d")).await.unwrap(), Dedupe::First);
    assert_eq!(world.begin_completing(&end(&first, 2, "d")).await.unwrap(), Dedupe::DuplicateOf(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_concurrent_equal_files_is_the_original() {
    let world = World::open().await;
    let mut ends = Vec::new();
    for number in 0..8 {
        let ledger = if number % 2 == 0 { world.ledger.clone() } else { world.another().await };
        let id = world.begun().await;
        ends.push(tokio::spawn(async move { ledger.begin_completing(&end(&id, 1, "d")).await.unwrap() }));
    }
    let mut ours = 0;
    for end in ends {
        ours += u32::from(end.await.unwrap() == Dedupe::First);
    }
    assert_eq!(ours, 1);
}

/// Its gateway is taken for dead while it still stores the file: what it stores later counts no more.
#[tokio::test]
async fn reopened_upload_is_not_completed_by_its_old_writer() {
    let world = World::open().await;
    let resumable = NewUpload { resumable: true, ..world.new_upload() };
    world.create_upload(&resumable, AMPLE).await.unwrap();
    let id = resumable.id;
    world.begin_append(&id, 0, None).await.unwrap();
    assert!(!world.reopen(&id, 1).await.unwrap(), "it is not completing");
    world.begin_completing(&end(&id, 1, "d")).await.unwrap();
    assert!(!world.reopen(&id, 0).await.unwrap(), "only the current epoch");
    assert!(world.reopen(&id, 1).await.unwrap());
    let open = world.upload(&id).await.unwrap();
    assert_eq!((open.state, open.epoch, open.sha256, open.destination), (State::Open, 2, None, None));
    assert!(superseded(world.complete(&id, 1, None).await));
    assert!(!world.cancel(&id, Some(1), "operator", "").await.unwrap());
    let next = world.begin_append(&id, 0, None).await.unwrap();
    world.begin_completing(&end(&id, next.epoch, "d")).await.unwrap();
    assert!(superseded(world.complete(&id, 1, None).await), "also while another stores it");
    assert_eq!(world.complete(&id, next.epoch, None).await.unwrap(), Completed::Now);
}
