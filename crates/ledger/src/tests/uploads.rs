//! Uploads: epochs fence, parts are reserved and committed in order, cancelled ones wait for a sweep.

use super::*;
use crate::AuditFilter;

/// Room for so many uploads, however large.
fn open(open: i64) -> Room {
    Room { open, ..AMPLE }
}

#[tokio::test]
async fn new_upload_has_its_fields() {
    let world = World::open().await;
    let new = NewUpload { length: Some(5), ..world.new_upload() };
    world.create_upload(&new, open(1)).await.unwrap();
    let upload = world.upload(&new.id).await.unwrap();
    assert_eq!((upload.state, upload.epoch, upload.offset, upload.length), (State::Open, 0, 0, Some(5)));
    assert_eq!(upload.object_key, new.object_key);
    assert_eq!((upload.multipart_id, upload.sha256, upload.destination), (None, None, None));
    assert_eq!(upload.attempts_until, upload.created_at, "no attempt was made yet");
    assert!(matches!(world.upload("none").await, Err(Error::NotFound)));
    assert!(matches!(world.create_upload(&new, open(2)).await, Err(Error::Conflict(_))));
    let unknown = NewUpload { link_id: "none".into(), ..world.new_upload() };
    assert!(matches!(world.create_upload(&unknown, open(2)).await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn link_limits_its_open_uploads() {
    let world = World::open().await;
    let first = world.new_upload();
    world.create_upload(&first, open(1)).await.unwrap();
    assert!(superseded(world.create_upload(&world.new_upload(), open(1)).await));
    let (new, other) = (world.new_upload(), world.new_upload());
    let (one, two) = tokio::join!(world.create_upload(&new, open(2)), world.create_upload(&other, open(2)));
    assert!(one.is_ok() != two.is_ok(), "one place is left, for one of two");
    world.cancel(&first.id, None, "operator", "").await.unwrap();
    world.create_upload(&world.new_upload(), open(2)).await.unwrap();
}

#[tokio::test]
async fn newer_append_fences_the_older() {
    let world = World::open().await;
    let id = world.create().await;
    let older = world.begin_append(&id, 0, None).await.unwrap();
    assert_eq!((older.epoch, older.upload.epoch, older.sha256_state), (1, 1, None));
    let newer = world.begin_append(&id, 0, None).await.unwrap();
    assert_eq!(newer.epoch, 2);
    assert!(superseded(world.set_multipart(&id, 1, "m").await));
    assert!(superseded(world.extend_attempts(&id, 1, 5).await));
    assert!(superseded(world.reserve_part(&reserve(&id, 1, 1)).await));
    assert!(superseded(world.commit_part(&commit(&id, 1, 1)).await));
    assert!(superseded(world.begin_completing(&end(&id, 1, "d")).await));
    assert!(!world.cancel(&id, Some(1), "operator", "").await.unwrap());
    assert_eq!(world.state(&id).await, State::Open);
    world.set_multipart(&id, 2, "m").await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().multipart_id.as_deref(), Some("m"));
    assert!(superseded(world.begin_append(&id, 1, None).await), "not at that offset");
    assert!(superseded(world.begin_append("none", 0, None).await));
}

/// Parts of ten bytes.
fn reserve(id: &str, epoch: i64, number: i64) -> Reservation<'_> {
    Reservation {
        upload_id: id,
        epoch,
        number,
        offset: (number - 1) * 10,
        size: 10,
        crc64: "ab",
        deadline: 1000 * number,
        attempts_until: 1000 * number,
    }
}

fn commit(id: &str, epoch: i64, number: i64) -> PartCommit<'_> {
    PartCommit {
        upload_id: id,
        epoch,
        number,
        offset: (number - 1) * 10,
        size: 10,
        etag: "tag",
        sha256_state: "state",
        crc64_prefix: "prefix",
    }
}

#[tokio::test]
async fn parts_are_reserved_and_committed_in_order() {
    let world = World::open().await;
    let id = world.begun().await;
    assert!(superseded(world.commit_part(&commit(&id, 1, 1)).await), "it was not reserved");
    assert_eq!(world.upload(&id).await.unwrap().offset, 0, "nothing of it is kept");
    for number in 1..=3 {
        world.reserve_part(&reserve(&id, 1, number)).await.unwrap();
    }
    assert!(world.parts(&id).await.unwrap().is_empty(), "none is stored");
    assert!(superseded(world.commit_part(&commit(&id, 1, 2)).await), "it is not the next");
    world.commit_part(&commit(&id, 1, 1)).await.unwrap();
    assert!(superseded(world.commit_part(&commit(&id, 1, 1)).await), "once only");
    world.commit_part(&commit(&id, 1, 2)).await.unwrap();
    let upload = world.upload(&id).await.unwrap();
    assert_eq!((upload.offset, upload.crc64.as_deref()), (20, Some("prefix")));
    let parts = world.parts(&id).await.unwrap();
    assert_eq!(
        parts.iter().map(|part| (part.number, part.offset, part.size)).collect::<Vec<_>>(),
        [(1, 0, 10), (2, 10, 10)]
    );
    assert_eq!(parts[0].etag, "tag");
    let next = world.begin_append(&id, 20, None).await.unwrap();
    assert_eq!((next.epoch, next.sha256_state.as_deref()), (2, Some("state")));
    world.reserve_part(&reserve(&id, 2, 3)).await.unwrap();
    assert!(superseded(world.commit_part(&commit(&id, 1, 3)).await), "the older epoch's part");
    world.commit_part(&commit(&id, 2, 3)).await.unwrap();
    assert!(superseded(world.begin_append(&id, 31, None).await), "beyond its offset");
    let next = world.begin_append(&id, 20, None).await.unwrap();
    assert_eq!((next.epoch, next.upload.offset), (3, 30), "what was stored in between counts");
}

/// All of it or nothing: what a digest was announced for.
#[tokio::test]
async fn parts_and_tail_are_committed_together() {
    let world = World::open().await;
    let id = world.begun().await;
    for number in 1..=2 {
        world.reserve_part(&reserve(&id, 1, number)).await.unwrap();
    }
    let tail = |offset| Tail { offset, size: 5, crc64: "t".into(), key: "tail".into() };
    let with = |tail| TailCommit { upload_id: &id, epoch: 1, tail, sha256_state: "after", replaces: false };
    let parts = [commit(&id, 1, 1), commit(&id, 1, 2)];
    let (gap, fits) = (tail(21), tail(20));
    assert!(superseded(world.commit(&parts, &[with(&gap)]).await));
    assert!(superseded(world.commit(&[commit(&id, 1, 1), commit(&id, 1, 3)], &[]).await));
    assert_eq!(world.upload(&id).await.unwrap().offset, 0);
    assert!(world.parts(&id).await.unwrap().is_empty() && world.tails(&id).await.unwrap().is_empty());
    world.commit(&parts, &[with(&fits)]).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().offset, 25);
    assert_eq!((world.parts(&id).await.unwrap().len(), world.tails(&id).await.unwrap()), (2, vec![fits]));
}

/// A writer that resumes begins after the last part, and waits for numbers that another writer may still send.
#[tokio::test]
async fn part_numbers_of_another_writer_are_doubtful_until_their_deadline() {
    let world = World::open().await;
    let id = world.begun().await;
    assert_eq!(world.numbers(&id, 1).await.unwrap(), Numbers { last: 0, doubtful_until: 0 });
    for number in 1..=3 {
        world.reserve_part(&reserve(&id, 1, number)).await.unwrap();
    }
    world.commit_part(&commit(&id, 1, 1)).await.unwrap();
    assert_eq!(world.numbers(&id, 1).await.unwrap(), Numbers { last: 1, doubtful_until: 0 }, "its own");
    assert_eq!(world.numbers(&id, 2).await.unwrap(), Numbers { last: 1, doubtful_until: 3000 });
    // It is alive.
    assert!(world.heartbeat(&id, 1, 5000).await.unwrap());
    assert_eq!(world.numbers(&id, 2).await.unwrap().doubtful_until, 5000);
    assert!(world.heartbeat(&id, 1, 4000).await.unwrap());
    assert_eq!(world.numbers(&id, 2).await.unwrap().doubtful_until, 5000, "never earlier");
    // Another writer takes over.
    world.begin_append(&id, 10, None).await.unwrap();
    assert!(!world.heartbeat(&id, 1, 9000).await.unwrap());
    assert_eq!(world.numbers(&id, 2).await.unwrap().doubtful_until, 5000);
    world.release_reservations(&id, 1, 0).await.unwrap();
    assert_eq!(world.numbers(&id, 2).await.unwrap().doubtful_until, 0, "nothing is in flight");
}

/// A part that is stored is not reserved again: its tag stays.
#[tokio::test]
async fn stored_part_keeps_its_etag() {
    let world = World::open().await;
    let id = world.begun().await;
    world.reserve_part(&reserve(&id, 1, 1)).await.unwrap();
    world.commit_part(&commit(&id, 1, 1)).await.unwrap();
    assert!(superseded(world.reserve_part(&reserve(&id, 1, 1)).await));
    assert_eq!(world.parts(&id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn attempts_are_extended_and_never_shortened() {
    let world = World::open().await;
    let id = world.begun().await;
    let later = now_ms() + 1000;
    world.extend_attempts(&id, 1, later).await.unwrap();
    world.extend_attempts(&id, 1, 5).await.unwrap();
    world.reserve_part(&reserve(&id, 1, 1)).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().attempts_until, later);
    world.begin_completing(&Completion { attempts_until: later + 1, ..end(&id, 1, "d") }).await.unwrap();
    world.extend_attempts(&id, 1, later + 2).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().attempts_until, later + 2);
    world.complete(&id, 1, None).await.unwrap();
    assert!(superseded(world.extend_attempts(&id, 1, later + 3).await));
}

#[tokio::test]
async fn cancelled_uploads_wait_for_a_sweep() {
    let world = World::open().await;
    let (first, second, kept) = (world.begun().await, world.begun().await, world.begun().await);
    world.reserve_part(&reserve(&first, 1, 1)).await.unwrap();
    world.commit_part(&commit(&first, 1, 1)).await.unwrap();
    assert!(!world.cancel(&first, Some(0), "operator", "").await.unwrap());
    assert!(world.cancel(&first, Some(1), "operator", "").await.unwrap());
    assert!(!world.cancel(&first, None, "operator", "").await.unwrap(), "once only");
    assert_eq!(world.upload(&first).await.unwrap().epoch, 2);
    assert!(superseded(world.begin_append(&first, 10, None).await));
    assert!(superseded(world.reserve_part(&reserve(&first, 1, 2)).await));
    assert!(superseded(world.complete(&first, 1, None).await));
    assert!(world.cancel(&second, None, "operator", "").await.unwrap());
    let unswept = async |after: &str| -> Vec<String> {
        world.unswept(after, 10).await.unwrap().into_iter().map(|upload| upload.id).collect()
    };
    let (low, high) = if first < second { (&first, &second) } else { (&second, &first) };
    assert_eq!(unswept("").await, [low.clone(), high.clone()]);
    assert_eq!(unswept(low).await, std::slice::from_ref(high), "a page after the first");
    world.swept(&first, State::Cancelled, None).await.unwrap();
    assert_eq!(unswept("").await, [second]);
    assert!(world.parts(&first).await.unwrap().is_empty());
    assert_eq!(world.state(&kept).await, State::Open);
}

#[tokio::test]
async fn removed_upload_has_no_jobs_and_no_claim() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.remove(&id, "staff:1").await.unwrap();
    assert!(matches!(world.remove(&id, "staff:1").await, Err(Error::NotFound)));
    assert_eq!(world.state(&id).await, State::Removed);
    assert!(world.job_counts().await.unwrap().is_empty());
    assert_eq!(world.unswept("", 10).await.unwrap().len(), 1);
    let audit = world.audit(&AuditFilter::about(&id)).await.unwrap();
    let audit: Vec<_> = audit.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    let link = format!("link:{}", world.link.id);
    assert_eq!(audit, [(link.as_str(), "upload.complete"), ("staff:1", "upload.remove")]);
    world.complete_one("d").await;
}

#[tokio::test]
async fn listings_and_counts() {
    let world = World::open().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.create().await);
    }
    ids.sort();
    let complete = world.complete_one("d").await;
    let list = async |filter: Filter| -> Vec<String> {
        world.uploads(&filter).await.unwrap().into_iter().map(|upload| upload.id).collect()
    };
    let all = Filter { limit: 10, ..Filter::default() };
    assert_eq!(list(all.clone()).await.len(), 4);
    let open = Filter { state: Some(State::Open), ..all.clone() };
    assert_eq!(list(open.clone()).await, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    let page = Filter { before: Some(ids[2].clone()), limit: 1, ..open };
    assert_eq!(list(page).await, [ids[1].clone()]);
    for (filter, found) in [
        (Filter { link_id: Some(world.link.id.clone()), ..all.clone() }, 4),
        (Filter { link_id: Some("none".into()), ..all.clone() }, 0),
        (Filter { ticket: Some("1001".into()), partner_id: Some("acme".into()), ..all.clone() }, 4),
        (Filter { ticket: Some("1002".into()), ..all.clone() }, 0),
        (Filter { since: Some(now_ms() + 1000), ..all.clone() }, 0),
        (Filter { until: Some(now_ms() + 1000), ..all.clone() }, 4),
    ] {
        assert_eq!(list(filter.clone()).await.len(), found, "{filter:?}");
    }
    let mut counts = world.upload_counts().await.unwrap();
    counts.sort();
    assert_eq!(counts, [("complete".into(), "pending".into(), 1), ("open".into(), String::new(), 3)]);
    let idle = world.idle_uploads(State::Complete, now_ms()).await.unwrap();
    assert_eq!(idle[0].id, complete);
    assert!(world.idle_uploads(State::Complete, idle[0].updated_at - 1).await.unwrap().is_empty());
}

/// Two writers with pools of their own on one file: every write arrives, none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_concurrent_writers() {
    let world = World::open().await;
    let id = world.begun().await;
    let ledgers = [world.ledger.clone(), world.another().await];
    let mut writers = Vec::new();
    for ledger in ledgers {
        let (id, new) = (id.clone(), world.new_upload());
        writers.push(tokio::spawn(async move {
            let mut epochs = Vec::new();
            for _ in 0..100 {
                let epoch = ledger.begin_append(&id, 0, None).await.unwrap().epoch;
                match ledger.reserve_part(&reserve(&id, epoch, 1)).await {
                    Ok(()) | Err(Error::Superseded) => epochs.push(epoch),
                    Err(error) => panic!("{error}"),
                }
            }
            ledger.create_upload(&new, AMPLE).await.unwrap();
            epochs
        }));
    }
    let mut epochs = Vec::new();
    for writer in writers {
        epochs.extend(writer.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (2..=201).collect::<Vec<_>>(), "each epoch was given once");
    assert_eq!(world.upload(&id).await.unwrap().epoch, 201);
}
