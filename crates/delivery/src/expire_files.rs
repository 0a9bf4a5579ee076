//! Removes the files of a ticket whose time is over.
//! Invariant: nothing recorded decides alone. The desk has just confirmed the state of the ticket and of its follow-ups, and the
//! time of each file is computed anew from that. A desk that does not answer, or whose clock is not ours, keeps every file.

use std::collections::BTreeSet;
use std::time::Duration;

use desk::{Status, Ticket};
use ledger::{Job, Upload, now_ms, rfc3339};

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};

/// Follow-ups of follow-ups that are looked at. A ticket with more keeps its files as if one were open.
const FOLLOW_UPS_MAX: usize = 100;
/// The desk's tag of a ticket that was merged into another, which continues.
const MERGED: &str = "closed_by_merge";

/// What the desk confirms of a ticket.
enum Confirmed {
    /// Its files have their longest time, and the ticket is told first.
    Open,
    /// Closed, and something continues it. Its files have their longest time.
    Continued,
    /// Closed since then, ms, with all that continued it.
    Closed(i64),
    /// What was recorded does not hold. The next look records new times.
    Changed,
}

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let number = job.subject.as_str();
    if shared.tickets.policy().retention.is_some() {
        let confirmed = confirm(shared, number).await?;
        let ahead_ms = shared.desk.clock_ahead_ms();
        if ahead_ms.abs() > ALLOWED_SKEW_MS {
            tracing::error!(ahead_ms, "our clock and the desk's differ: no file is deleted until they agree");
        } else if !matches!(confirmed, Confirmed::Changed) {
            for file in shared.ledger.expired_files(number).await? {
                expire(shared, &file, &confirmed).await?;
            }
            if matches!(confirmed, Confirmed::Continued) {
                // The others are looked at again after another grace.
                shared.ledger.closed_later(number, now_ms()).await?;
            }
        }
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

async fn expire(shared: &Shared, file: &Upload, confirmed: &Confirmed) -> Result<(), JobError> {
    let policy = shared.tickets.policy();
    let Some(retention) = policy.retention_of(&file.partner_id) else { return Ok(()) };
    let received_at = file.completed_at.unwrap_or(file.created_at);
    let closed_at = match confirmed {
        Confirmed::Closed(at) => Some(*at),
        _ => None,
    };
    let now = now_ms();
    let ends_at = retention.expires_at(received_at, closed_at, Duration::ZERO, now);
    if ends_at.is_none_or(|at| at > now)
        || (matches!(confirmed, Confirmed::Open) && !was_told(shared, file).await?)
    {
        return Ok(());
    }
    let last = retention.expires_at(received_at, None, Duration::ZERO, now);
    let why = match closed_at {
        Some(at) if last.is_none() => format!("its ticket was closed at {}", rfc3339(at)),
        _ => "its longest time is over".to_owned(),
    };
    if shared.ledger.expire(file, &why).await? {
        tracing::info!(upload.id = file.id, ticket = file.ticket, why, "removed a file whose time is over");
    }
    Ok(())
}

/// Whether the ticket was told long enough ago that this file ends.
async fn was_told(shared: &Shared, file: &Upload) -> Result<bool, JobError> {
    let told = shared.ledger.step(&file.id, "end-told").await?.and_then(|step| step.done_at);
    let ahead = i64::try_from(shared.tickets.policy().warn_before.as_millis()).unwrap_or(i64::MAX);
    Ok(told.is_some_and(|at| at.saturating_add(ahead) <= now_ms()))
}

async fn confirm(shared: &Shared, number: &str) -> Result<Confirmed, JobError> {
    let known = shared.ledger.ticket(number).await?;
    let recorded = known.as_ref().and_then(|known| known.closed_at);
    let seen = match shared.desk.ticket(number).await {
        // Deleted counts as closed, from when that was first seen.
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => {
            let organization = known.and_then(|known| known.organization_id);
            shared.ledger.saw_ticket(number, organization, true).await?;
            return Ok(recorded.map_or(Confirmed::Changed, Confirmed::Closed));
        }
        seen => seen?,
    };
    let is_closed = seen.status == Status::Closed;
    shared.ledger.saw_ticket(number, seen.organization(), is_closed).await?;
    let closed_at = match (is_closed, recorded) {
        (false, None) => return Ok(Confirmed::Open),
        // It was reopened, or closed unseen.
        (false, Some(_)) | (true, None) => return Ok(Confirmed::Changed),
        (true, Some(closed_at)) => closed_at,
    };
    // It was closed again later, or our clock was behind.
    if let Some(changed_at) = seen.updated_at_ms()
        && changed_at > closed_at + ALLOWED_SKEW_MS
    {
        shared.ledger.closed_later(number, changed_at.min(now_ms())).await?;
        return Ok(Confirmed::Changed);
    }
    let is_merged = seen.tags.iter().any(|tag| tag == MERGED);
    match if is_merged { None } else { last_closing(shared, &seen).await? } {
        Some(last) if last <= closed_at => Ok(Confirmed::Closed(closed_at)),
        Some(last) => {
            shared.ledger.closed_later(number, last).await?;
            Ok(Confirmed::Changed)
        }
        None => Ok(Confirmed::Continued),
    }
}

/// When the last of the ticket's follow-ups was first seen closed, 0 without any; none if one is open.
async fn last_closing(shared: &Shared, ticket: &Ticket) -> Result<Option<i64>, JobError> {
    let (mut waiting, mut seen_before) = (ticket.followup_ids.clone(), BTreeSet::from([ticket.id]));
    let mut last = 0;
    while let Some(id) = waiting.pop() {
        if !seen_before.insert(id) {
            continue;
        }
        if seen_before.len() > FOLLOW_UPS_MAX {
            return Ok(None);
        }
        let number = id.to_string();
        let seen = match shared.desk.ticket(&number).await {
            Err(desk::Error::NotFound) if ticket::is_gone(shared, &number).await => continue,
            seen => seen?,
        };
        let is_closed = seen.status == Status::Closed;
        shared.ledger.saw_ticket(&number, seen.organization(), is_closed).await?;
        if !is_closed {
            return Ok(None);
        }
        let known = shared.ledger.ticket(&number).await?;
        last = last.max(known.and_then(|known| known.closed_at).unwrap_or_else(now_ms));
        waiting.extend(seen.followup_ids);
    }
    Ok(Some(last))
}
