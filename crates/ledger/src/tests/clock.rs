//! A clock that was a day ahead, and came back.

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Everything that was put off then is due soon, and what is as it should be stays so.
#[tokio::test]
async fn what_a_clock_put_off_for_a_day_is_due_when_it_is_right_again() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.create().await;
    let now = now_ms();
    let deliveries = world.ticket_jobs(JobKind::Deliver, "1001", 10).await.unwrap();
    world.put_off(&deliveries, now + DAY_MS, Some("the desk was away")).await.unwrap();
    assert!(world.lease_ticket("1001", now + DAY_MS).await.unwrap());
    world.claim_receipt_job(now + DAY_MS).await.unwrap().unwrap();
    world.extend_attempts(&id, 1, now + DAY_MS).await.unwrap_err();
    world.attempt_receipt(&id, now + DAY_MS).await.unwrap();
    assert!(world.due_tickets(10).await.unwrap().is_empty());
    assert!(world.claim_receipt_job(now + 60_000).await.unwrap().is_none());
    assert_eq!(world.come_back().await.unwrap(), 4);
    assert_eq!(world.due_tickets(10).await.unwrap(), ["1001"]);
    assert_eq!(world.ticket_jobs(JobKind::Deliver, "1001", 10).await.unwrap().len(), 1);
    assert!(world.lease_ticket("1001", now + 20_000).await.unwrap());
    assert!(world.claim_receipt_job(now + 60_000).await.unwrap().is_some());
    assert!(world.upload(&id).await.unwrap().attempts_until < now + DAY_MS / 24);
    // A job that waits for minutes, and a lease of seconds, are as they should be.
    world.put_off(&deliveries, now_ms() + 300_000, None).await.unwrap();
    assert_eq!(world.come_back().await.unwrap(), 0);
    assert!(!world.lease_ticket("1001", now + 40_000).await.unwrap());
}
