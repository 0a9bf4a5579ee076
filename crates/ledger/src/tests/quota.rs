//! What a link may hold, and what stops when it is revoked.

use super::*;

#[tokio::test]
async fn link_limits_its_unfinished_bytes() {
    let world = World::open().await;
    let room = Room { open: 10, unfinished_bytes: 100 };
    let announced = |length| NewUpload { length, ..world.new_upload() };
    let holds = async |except: Option<&str>| world.link_holds(&world.link.id, except).await.unwrap();
    assert_eq!(holds(None).await, Room { open: 0, unfinished_bytes: 0 });
    assert!(superseded(world.create_upload(&announced(Some(101)), room).await), "larger than all of it");
    let (first, unknown) = (announced(Some(90)), announced(None));
    world.create_upload(&first, room).await.unwrap();
    world.create_upload(&unknown, room).await.unwrap();
    assert_eq!(
        holds(None).await,
        Room { open: 2, unfinished_bytes: 90 },
        "the announced length counts at once"
    );
    // What is durable of an unknown length counts, too.
    world.begin_append(&unknown.id, 0, None).await.unwrap();
    reserve(&world, &unknown.id, 10).await;
    assert_eq!(holds(None).await, Room { open: 2, unfinished_bytes: 100 });
    assert_eq!(holds(Some(&first.id)).await, Room { open: 1, unfinished_bytes: 10 });
    for length in [None, Some(1)] {
        assert!(superseded(world.create_upload(&announced(length), room).await), "no byte is left");
    }
    world.create_upload(&announced(Some(0)), room).await.unwrap();
    // Another link has its own.
    let other = world.create_link(&Token::random(), &new_link()).await.unwrap();
    let elsewhere = NewUpload { link_id: other.id.clone(), ..announced(Some(100)) };
    world.create_upload(&elsewhere, room).await.unwrap();
    // What ends gives its bytes back; what is being published does not yet.
    world.cancel(&first.id, None, "operator", "").await.unwrap();
    assert_eq!(holds(None).await, Room { open: 2, unfinished_bytes: 10 });
    let ending = Completion { size: 10, ..end(&unknown.id, 1, "k") };
    world.begin_completing(&ending).await.unwrap();
    assert_eq!(holds(None).await, Room { open: 1, unfinished_bytes: 10 });
    world.complete(&unknown.id, 1, None).await.unwrap();
    assert_eq!(holds(None).await, Room { open: 1, unfinished_bytes: 0 });
}

/// Stores one part of this size at the beginning.
async fn reserve(world: &World, id: &str, size: i64) {
    let part = Reservation {
        upload_id: id,
        epoch: 1,
        number: 1,
        offset: 0,
        size,
        crc64: "c",
        deadline: 0,
        attempts_until: 0,
    };
    world.reserve_part(&part).await.unwrap();
    let commit = PartCommit {
        upload_id: id,
        epoch: 1,
        number: 1,
        offset: 0,
        size,
        etag: "e",
        sha256_state: "s",
        crc64_prefix: "c",
    };
    world.commit_part(&commit).await.unwrap();
}

#[tokio::test]
async fn revoked_link_or_disabled_partner_stops_uploads() {
    let world = World::open().await;
    let (link_id, now) = (world.link.id.as_str(), Some(now_ms()));
    let id = world.begun().await;
    let part = Reservation {
        upload_id: &id,
        epoch: 1,
        number: 1,
        offset: 0,
        size: 5,
        crc64: "c",
        deadline: 0,
        attempts_until: 0,
    };
    assert!(world.withdrawn_uploads().await.unwrap().is_empty());
    world.set_partner_disabled("acme", now).await.unwrap();
    assert_eq!(world.withdrawn_uploads().await.unwrap(), std::slice::from_ref(&id));
    assert!(superseded(world.reserve_part(&part).await));
    assert!(superseded(world.begin_completing(&end(&id, 1, "k")).await));
    world.set_partner_disabled("acme", None).await.unwrap();
    assert!(world.withdrawn_uploads().await.unwrap().is_empty());
    world.reserve_part(&part).await.unwrap();
    world.revoke_link(link_id, "operator").await.unwrap();
    assert_eq!(world.withdrawn_uploads().await.unwrap(), std::slice::from_ref(&id));
    assert!(superseded(world.reserve_part(&Reservation { number: 2, ..part }).await));
    assert!(superseded(world.begin_completing(&end(&id, 1, "k")).await));
    world.cancel(&id, None, "operator", "").await.unwrap();
    assert!(world.withdrawn_uploads().await.unwrap().is_empty());
}

#[tokio::test]
async fn limits_of_a_link_are_stored() {
    let world = World::open().await;
    let new = NewLink { max_unfinished_bytes: Some(7), max_requests_per_minute: Some(9), ..new_link() };
    let token = Token::random();
    let made = world.create_link(&token, &new).await.unwrap();
    let found = world.link_by_token(token.reveal()).await.unwrap();
    for link in [made, found] {
        assert_eq!((link.max_unfinished_bytes, link.max_requests_per_minute), (Some(7), Some(9)));
    }
    assert_eq!((world.link.max_unfinished_bytes, world.link.max_requests_per_minute), (None, None));
}
