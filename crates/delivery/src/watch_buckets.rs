//! Lists the buckets of partners again and again for objects that they put there with their own tools and that are for a ticket.
//! Invariants: nothing there is changed. A look takes a bounded number of requests, of the bucket and of the desk, and the next
//! one continues behind it: the place moves only after a page is recorded.

use std::time::Duration;

use bucket::{Bucket, Buckets, chain, layout};
use desk::Desk;
use futures_util::{StreamExt as _, stream};
use ledger::{Ledger, PARTNER_OBJECTS_MAX, SeenObject};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Pages of 1,000 objects that one look lists of a bucket.
const PAGES_MAX: usize = 20;
/// Numbers that one look into a bucket asks the desk about.
const LOOKUPS_MAX: i64 = 5;
/// Buckets that are looked into at a time: one that is slow does not delay the others.
const AT_A_TIME: usize = 4;
/// Objects recorded in one transaction: uploads write to the ledger, too.
const RECORDED_AT_A_TIME: usize = 100;
/// A look that takes longer is given up, and the next one continues it.
const LOOK_MAX: Duration = Duration::from_secs(120);

/// Looks until it is stopped.
pub async fn watch_buckets(
    ledger: Ledger,
    buckets: Buckets,
    desk: Desk,
    every: Duration,
    stop: CancellationToken,
) {
    // A gateway that starts again and again does not list the buckets each time.
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = look_into_buckets(&ledger, &buckets, &desk, PAGES_MAX) => {}
        }
    }
}

/// Looks once into each bucket of a partner's own, and lists so many pages of it.
pub async fn look_into_buckets(ledger: &Ledger, buckets: &Buckets, desk: &Desk, pages_max: usize) {
    let looks = stream::iter(buckets.own()).for_each_concurrent(AT_A_TIME, async |(partner, bucket)| {
        let look = tokio::time::timeout(LOOK_MAX, look(ledger, desk, partner, bucket, pages_max));
        let end = look.await.unwrap_or_else(|_| Err("it took too long".into()));
        if let Err(error) = end {
            tracing::warn!(partner, error, "cannot look for objects of a partner in its bucket");
        }
    });
    looks.await;
}

async fn look(
    ledger: &Ledger,
    desk: &Desk,
    partner: &str,
    bucket: &Bucket,
    pages_max: usize,
) -> Result<(), String> {
    let failed = |error: ledger::Error| chain(&error);
    let listed = list(ledger, partner, bucket, pages_max).await;
    for number in ledger.unknown_object_tickets(partner, LOOKUPS_MAX).await.map_err(failed)? {
        let (organization, closed) = match desk.ticket(&number).await {
            Ok(ticket) => (ticket.organization(), ticket.status == desk::Status::Closed),
            // A page in front of the desk may answer 404 to everything.
            Err(desk::Error::NotFound) if desk.ask_me().await.is_err() => break,
            Err(error) if error.is_transient() || matches!(error, desk::Error::Unauthorized) => {
                tracing::info!(partner, error = chain(&error), "cannot ask the desk about a ticket");
                break;
            }
            // No ticket, or none that we may see. There may be one later, and then it is seen.
            Err(_) => (None, false),
        };
        ledger.saw_ticket(&number, organization, closed).await.map_err(failed)?;
    }
    ledger.queue_object_jobs(partner).await.map_err(failed)?;
    listed
}

/// Records the objects of the next pages whose keys begin with a number.
async fn list(ledger: &Ledger, partner: &str, bucket: &Bucket, pages_max: usize) -> Result<(), String> {
    let failed = |error: ledger::Error| chain(&error);
    let cursor = format!("objects {partner}");
    let first = layout::before_tickets(bucket.prefix());
    let place = ledger.cursor(&cursor).await.map_err(failed)?;
    let mut after = place.filter(|place| *place > first).unwrap_or_else(|| first.clone());
    let is_full = ledger.partner_objects(partner).await.map_err(failed)? >= PARTNER_OBJECTS_MAX;
    if is_full {
        tracing::warn!(partner, "a partner's bucket has too many objects for tickets: no new ones are noted");
    }
    for _ in 0..pages_max {
        let page = bucket.list_after(bucket.prefix(), &after).await.map_err(|error| chain(&error))?;
        let last = page.objects.last().map(|object| object.key.clone());
        let is_end = page.next.is_none()
            || last.as_ref().is_none_or(|last| layout::is_after_tickets(bucket.prefix(), last));
        let seen: Vec<_> = page.objects.into_iter().filter_map(|object| seen(bucket, object)).collect();
        for some in seen.chunks(RECORDED_AT_A_TIME) {
            ledger.saw_objects(partner, some, !is_full).await.map_err(failed)?;
        }
        after = last.filter(|_| !is_end).unwrap_or_else(|| first.clone());
        ledger.set_cursor(&cursor, &after).await.map_err(failed)?;
        if is_end {
            break;
        }
    }
    Ok(())
}

fn seen(bucket: &Bucket, object: bucket::Object) -> Option<SeenObject> {
    let ticket = layout::leading_ticket(bucket.prefix(), &object.key)?.to_owned();
    let is_folder = object.size == 0 && object.key.ends_with('/');
    // No database takes the character NUL.
    let etag = object.etag.filter(|_| !is_folder && !object.key.contains('\0'))?;
    Some(SeenObject { key: object.key, ticket: Some(ticket), size_bytes: object.size, etag })
}
