//! Looks again and again which files have reached the end of their time, and queues what follows.
//! Invariant: nothing is deleted here. A time is recorded first, and a job looks at the ticket before anything is removed.

use std::time::Duration;

use bucket::chain;
use ledger::{Ledger, now_ms};
use tickets::Tickets;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// A ticket with files is looked at after this time even if nothing told of a change, ms.
const SEEN_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Files looked at in one statement.
const PAGE: i64 = 1_000;

/// Looks until it is stopped. Does nothing without a retention.
pub async fn retention(ledger: Ledger, tickets: Tickets, every: Duration, stop: CancellationToken) {
    if tickets.policy().retention.is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = look(&ledger, &tickets).await {
            tracing::warn!(error = chain(&error), "cannot look for files whose time is over");
        }
    }
}

async fn look(ledger: &Ledger, tickets: &Tickets) -> ledger::Result<()> {
    let policy = tickets.policy();
    ledger.date_closed_tickets().await?;
    let shortest = policy.partners.keys().filter_map(|id| policy.retention_of(id)).chain(policy.retention);
    let Some(maximum) = shortest.map(|retention| retention.maximum).min() else { return Ok(()) };
    let announced = maximum.saturating_sub(policy.warn_before);
    let received_before = now_ms() - ms(announced);
    let mut after = String::new();
    loop {
        let page = ledger.kept(received_before, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        let changed: Vec<_> = page
            .into_iter()
            .filter_map(|file| {
                let retention = policy.retention_of(&file.partner_id)?;
                let time =
                    retention.expires_at(file.completed_at, file.closed_at, policy.warn_before, now_ms());
                (time != file.expires_at).then_some((file.id, time))
            })
            .collect();
        if !changed.is_empty() {
            ledger.set_expiry(&changed).await?;
        }
    }
    ledger.queue_unseen(now_ms() - SEEN_MS).await?;
    ledger.queue_expiring(now_ms().saturating_add(ms(policy.warn_before))).await?;
    ledger.queue_expired().await
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
