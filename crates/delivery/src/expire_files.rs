//! Removes the files of a ticket whose time is over.
//! Invariant: the desk confirms first that the ticket is still closed, and that no follow-up of it is open. A desk that does not
//! answer keeps every file.

use std::collections::BTreeSet;

use desk::{Status, Ticket};
use ledger::{Job, now_ms, rfc3339};

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket;

/// Follow-ups of follow-ups that are looked at. A ticket with more keeps its files.
const FOLLOW_UPS_MAX: usize = 100;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let number = job.subject.as_str();
    if confirmed(shared, number).await? {
        let known = shared.ledger.ticket(number).await?;
        let closed_at = known.and_then(|known| known.closed_at).map(rfc3339);
        let why = closed_at.map_or_else(
            || "its longest time is over".to_owned(),
            |at| format!("its ticket was closed at {at}"),
        );
        for file in shared.ledger.expired_files(number).await? {
            if shared.ledger.expire(&file, &why).await? {
                tracing::info!(
                    upload.id = file.id,
                    ticket = number,
                    why,
                    "removed a file whose time is over"
                );
            }
        }
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// Whether the recorded times still hold, by what the desk says now. Otherwise new ones are recorded by the next look.
async fn confirmed(shared: &Shared, number: &str) -> Result<bool, JobError> {
    let known = shared.ledger.ticket(number).await?;
    let counted_as_closed = known.as_ref().and_then(|known| known.closed_at);
    let seen = match shared.desk.ticket(number).await {
        // A ticket that was deleted has no follow-up that we could find.
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => return Ok(true),
        seen => seen?,
    };
    let is_closed = seen.status == Status::Closed;
    let organization = seen.organization_id.and_then(|id| i64::try_from(id).ok());
    shared.ledger.saw_ticket(number, organization, is_closed).await?;
    match (is_closed, counted_as_closed) {
        // Its files have their longest time, whatever the ticket's state.
        (false, None) => Ok(true),
        (false, Some(_)) => {
            // Reopened: the times of its files do not count any more.
            shared.ledger.closed_later(number, now_ms()).await?;
            Ok(false)
        }
        (true, None) => Ok(false),
        (true, Some(closed_at)) => match last_closing(shared, &seen).await? {
            Some(last) if last <= closed_at => Ok(true),
            last => {
                shared.ledger.closed_later(number, last.unwrap_or_else(now_ms)).await?;
                Ok(false)
            }
        },
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
        let organization = seen.organization_id.and_then(|id| i64::try_from(id).ok());
        shared.ledger.saw_ticket(&number, organization, is_closed).await?;
        if !is_closed {
            return Ok(None);
        }
        let known = shared.ledger.ticket(&number).await?;
        last = last.max(known.and_then(|known| known.closed_at).unwrap_or_else(now_ms));
        waiting.extend(seen.followup_ids);
    }
    Ok(Some(last))
}
