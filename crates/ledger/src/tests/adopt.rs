//! A ledger that is lost, or older than its buckets, adopts complete uploads.

use super::*;
use crate::AuditFilter;

fn found(id: &str, link_id: Option<&str>, delivery: Delivery) -> Adopted {
    Adopted {
        id: id.into(),
        link_id: link_id.map(str::to_owned),
        partner_id: "acme".into(),
        ticket: "1001".into(),
        name: "a.bin".into(),
        content_type: "text/plain".into(),
        bucket: "support-uploader".into(),
        object_key: format!("1001/{id}/a.bin"),
        size: 10,
        sha256: "ab".into(),
        crc64: None,
        checked: vec!["sha-256".into(), "md5".into()],
        mismatch: None,
        destination: Destination::SupportUploader,
        delivery,
        received_at: now_ms() - 1_000,
    }
}

async fn jobs(world: &World) -> Vec<(String, i64)> {
    world.job_counts().await.unwrap().into_iter().map(|(kind, count, _)| (kind, count)).collect()
}

#[tokio::test]
async fn adopting_is_idempotent() {
    let world = World::open().await;
    let (id, link) = (new_id(), new_id());
    let adopted = found(&id, Some(&link), Delivery::Done);
    assert!(world.adopt(&adopted).await.unwrap());
    assert!(!world.adopt(&adopted).await.unwrap(), "it is there");
    let upload = world.upload(&id).await.unwrap();
    assert_eq!((upload.state, upload.delivery), (State::Complete, Some(Delivery::Done)));
    assert_eq!(
        (upload.length, upload.offset, upload.completed_at),
        (Some(10), 10, Some(adopted.received_at))
    );
    assert_eq!((upload.checked, upload.link_id), (adopted.checked.clone(), link.clone()));
    assert!(now_ms() - upload.created_at < 60_000, "as its id says");
    assert_eq!(jobs(&world).await, [], "its ticket was told");
    assert!(world.link(&link).await.unwrap().revoked_at.is_some(), "nobody has its token");
    assert_eq!(world.audit(&AuditFilter::about(&id)).await.unwrap()[0].action, "upload.adopt");
    assert_eq!(world.unswept("", 10).await.unwrap().len(), 1, "it may have had a tail");
    // A sender that repeats it on that link gets its receipt.
    let key = hash_token(&format!("{link}\n1001\na.bin\nab"));
    let other = world.begun().await;
    let claimed = world.begin_completing(&end(&other, 1, &key)).await.unwrap();
    assert_eq!(claimed, Dedupe::DuplicateOf(id));
}

#[tokio::test]
async fn only_a_pending_delivery_is_queued() {
    let world = World::open().await;
    let (pending, refused) = (new_id(), new_id());
    assert!(world.adopt(&found(&refused, None, Delivery::Undeliverable)).await.unwrap());
    assert_eq!(jobs(&world).await, []);
    assert!(world.upload(&refused).await.unwrap().delivery_detail.is_some());
    assert!(world.adopt(&found(&pending, None, Delivery::Pending)).await.unwrap());
    assert_eq!(jobs(&world).await, [("deliver".to_owned(), 1)]);
    let links = [&pending, &refused].map(|id| world.upload(id));
    for upload in futures_util::future::join_all(links).await {
        assert_eq!(upload.unwrap().link_id, "adopted-acme", "one link for what nobody knows a link of");
    }
}

#[tokio::test]
async fn ledger_older_than_the_receipt_believes_it() {
    let world = World::open().await;
    let link = world.link.id.clone();
    let cancelled = world.begun().await;
    assert!(world.cancel(&cancelled, None, "operator", "").await.unwrap());
    let (open, completing, removed) =
        (world.begun().await, world.begun().await, world.complete_one("r").await);
    world.begin_completing(&end(&completing, 1, "c")).await.unwrap();
    world.remove(&removed, "operator").await.unwrap();
    for id in [&open, &completing, &cancelled] {
        let elsewhere =
            Adopted { object_key: "1001/x/a.bin".into(), ..found(id, Some(&link), Delivery::Done) };
        assert!(!world.adopt(&elsewhere).await.unwrap(), "another object");
        assert!(world.adopt(&found(id, Some(&link), Delivery::Done)).await.unwrap());
        assert_eq!(world.state(id).await, State::Complete);
        assert!(matches!(world.extend_attempts(id, 1, 0).await, Err(Error::Superseded)), "an older writer");
    }
    assert!(!world.adopt(&found(&removed, Some(&link), Delivery::Done)).await.unwrap());
    assert_eq!(world.state(&removed).await, State::Removed);
    assert!(world.link(&link).await.unwrap().revoked_at.is_none(), "a link that is known stays as it is");
}

#[tokio::test]
async fn no_partner_gets_another_partners_link() {
    let world = World::open().await;
    world.put_partner("globex", "Globex", None).await.unwrap();
    let id = new_id();
    let theirs = Adopted { partner_id: "globex".into(), ..found(&id, Some(&world.link.id), Delivery::Done) };
    assert!(world.adopt(&theirs).await.unwrap());
    assert_eq!(world.upload(&id).await.unwrap().link_id, "adopted-globex");
    let unknown = Adopted { partner_id: "nobody".into(), ..found(&new_id(), None, Delivery::Done) };
    assert!(matches!(world.adopt(&unknown).await, Err(Error::Conflict(_))));
}
