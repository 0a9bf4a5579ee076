//! Ended uploads that wait for a sweep, and open ones whose resume window is over.

use super::*;

#[tokio::test]
async fn unswept_uploads_are_listed_and_counted() {
    let world = World::open().await;
    let (cancelled, removed) = (world.begun().await, world.complete_one("r").await);
    let (plain, with_tail) = (world.complete_one("p").await, world.begun().await);
    world.tail_begun(&with_tail, 1, 0).await.unwrap();
    let open = world.begun().await;
    world.tail_begun(&open, 1, 0).await.unwrap();
    world.begin_completing(&end(&with_tail, 1, "t")).await.unwrap();
    world.complete(&with_tail, 1, None).await.unwrap();
    world.cancel(&cancelled, None, "operator", "").await.unwrap();
    world.remove(&removed, "operator").await.unwrap();
    let listed = async || {
        let all = world.unswept("", 10).await.unwrap();
        all.into_iter().map(|upload| upload.id).collect::<Vec<_>>()
    };
    let mut expected = vec![cancelled.clone(), removed.clone(), with_tail.clone()];
    expected.sort();
    assert_eq!(listed().await, expected, "neither {plain} nor {open}");
    assert_eq!(world.unswept_counts(now_ms()).await.unwrap(), (2, 10), "a tail has been counted already");
    assert_eq!(world.unswept_counts(0).await.unwrap(), (0, 0), "none of them for long");
    // It was read when it was complete, and is removed by now: there is more to clear.
    world.swept(&removed, State::Complete, None).await.unwrap();
    assert_eq!(listed().await, expected);
    for id in &expected {
        world.swept(id, world.state(id).await, None).await.unwrap();
    }
    assert_eq!((listed().await, world.unswept_counts(now_ms()).await.unwrap()), (vec![], (0, 0)));
}

#[tokio::test]
async fn only_resumable_uploads_are_overdue() {
    let world = World::open().await;
    world.begun().await;
    let resumable = NewUpload { resumable: true, ..world.new_upload() };
    world.create_upload(&resumable, AMPLE).await.unwrap();
    assert_eq!(world.overdue(now_ms()).await.unwrap(), std::slice::from_ref(&resumable.id));
    assert_eq!(world.overdue(0).await.unwrap(), Vec::<String>::new());
    world.cancel(&resumable.id, None, "operator", "").await.unwrap();
    assert_eq!(world.overdue(now_ms()).await.unwrap(), Vec::<String>::new());
}
