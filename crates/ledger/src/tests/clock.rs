//! A clock that was a day ahead, and came back.

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Everything it postponed is due soon, and correct times stay as they are.
#[tokio::test]
async fn times_of_a_clock_a_day_ahead_are_corrected() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.create().await;
    let now = now_ms();
    let deliveries = world.claim_jobs(JobKind::Deliver, now + DAY_MS).await.unwrap().unwrap().jobs;
    world.postpone(&deliveries, now + DAY_MS, Some("the desk was down")).await.unwrap();
    world.claim_jobs(JobKind::Receipt, now + DAY_MS).await.unwrap().unwrap();
    world.extend_attempts(&id, 1, now + DAY_MS).await.unwrap_err();
    world.attempt_receipt(&id, now + DAY_MS).await.unwrap();
    for kind in [JobKind::Deliver, JobKind::Receipt] {
        assert!(world.claim_jobs(kind, now + 60_000).await.unwrap().is_none());
    }
    assert_eq!(world.correct_future_times().await.unwrap(), 4);
    for kind in [JobKind::Deliver, JobKind::Receipt] {
        assert_eq!(world.claim_jobs(kind, now + 60_000).await.unwrap().unwrap().jobs.len(), 1);
    }
    assert!(world.upload(&id).await.unwrap().attempts_until < now + DAY_MS / 24);
    // A job that waits for minutes, and a lease of seconds, are as they should be.
    world.postpone(&deliveries, now_ms() + 300_000, None).await.unwrap();
    assert_eq!(world.correct_future_times().await.unwrap(), 0);
    assert!(world.claim_jobs(JobKind::Deliver, now + 60_000).await.unwrap().is_none());
}
