//! Says on a ticket which files support asks for, in a public comment; and in a private note which of them had arrived before
//! that was known.
//! Invariant: an ask counts as told only when a comment on the ticket names it.

use desk::{Comment, NewComment, Status, escape};
use ledger::{Ask, Job, now_ms};

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};

/// Before the IDs of asks in a comment.
const ASKED: &str = "asked:";
const ARRIVED: &str = "arrived:";
/// Missing files that a note names.
const NAMES_MAX: usize = 10;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let number = job.subject.as_str();
    let (asked, arrived) =
        (shared.ledger.asks_to_tell(number).await?, shared.ledger.arrivals_to_tell(number).await?);
    tell(shared, number, asked, true).await?;
    tell(shared, number, arrived, false).await?;
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// Tells asks, or their arrivals.
async fn tell(shared: &Shared, number: &str, asks: Vec<Ask>, is_request: bool) -> Result<(), JobError> {
    let times = asks.iter().map(|ask| ask.arrived_at.unwrap_or(ask.created_at));
    let Some(since) = times.min() else { return Ok(()) };
    let seen = match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => {
            return Ok(shared.ledger.asks_told(&asks).await?);
        }
        seen => seen?,
    };
    if !shared.ledger.is_partners_ticket(number, seen.organization()).await? {
        // It was moved to strangers since.
        return Ok(shared.ledger.asks_told(&asks).await?);
    }
    let ours = ticket::our_comments_since(shared, number, since.min(now_ms()) - ALLOWED_SKEW_MS).await?;
    let mark = if is_request { ASKED } else { ARRIVED };
    let new: Vec<_> = asks.iter().filter(|ask| !is_told(&ours, mark, &ask.id)).cloned().collect();
    if !new.is_empty() && seen.status != Status::Closed {
        let ids: Vec<_> = new.iter().map(|ask| ask.id.as_str()).collect();
        let text = if is_request { request(&new) } else { arrival(shared, number, &new).await? };
        let body = format!("{text}\n\n{mark} {}", ids.join(" "));
        let comment =
            NewComment { body, public: is_request, uploads: Vec::new(), stamp: &seen.updated_stamp };
        match ticket::write(shared, number, comment).await {
            Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
                tracing::error!(error = %error, ticket = number, "the desk refuses a comment about files that support asks for: an operator must act");
            }
            written => written?,
        }
    }
    if is_request && seen.status != Status::Closed {
        post_link(shared, number, seen.organization()).await?;
    }
    Ok(shared.ledger.asks_told(&asks).await?)
}

/// Posts a link on a ticket that waits for files and has no link which works: once for the newest of these files.
pub(crate) async fn post_link(
    shared: &Shared,
    number: &str,
    organization: Option<i64>,
) -> Result<(), JobError> {
    let asks = shared.ledger.asks(number).await?;
    let Some(newest) = asks.iter().rfind(|ask| ask.upload_id.is_none()) else { return Ok(()) };
    for partner in shared.ledger.partners().await? {
        let owns = organization.is_some() && partner.organization_id == organization;
        if owns
            && partner.disabled_at.is_none()
            && !shared.ledger.has_working_link(number, &partner.id, &[]).await?
        {
            let subject = format!("{number} {} {}", newest.id, partner.id);
            shared.ledger.post_link(&subject, number, "gateway").await?;
        }
    }
    Ok(())
}

fn is_told(ours: &[Comment], mark: &str, id: &str) -> bool {
    let mut lines = ours.iter().flat_map(|comment| comment.body.lines());
    lines.any(|line| line.starts_with(mark) && line.split_whitespace().any(|word| word == id))
}

fn request(asks: &[Ask]) -> String {
    format!(
        "Support asks for:\n\n{}\n\nPlease send this through the upload link of this ticket. If the link has expired, open it to \
         get a new one here.",
        list(asks.iter().map(|ask| ask.wanted.as_str()))
    )
}

async fn arrival(shared: &Shared, number: &str, asks: &[Ask]) -> Result<String, JobError> {
    let mut lines = Vec::new();
    for ask in asks {
        if let Some(id) = &ask.upload_id {
            let name = escape(&shared.ledger.upload(id).await?.name);
            lines.push(format!("- {}: {name}, `wb get {id} -o .`", escape(&ask.wanted)));
        }
    }
    let missing = still_missing(&shared.ledger.missing(number).await?);
    Ok(format!(
        "What support asked for has arrived:\n\n{}\n\n{}",
        lines.join("\n"),
        missing.unwrap_or_default()
    ))
}

/// Escaped, as a list.
pub(crate) fn list<'a>(wanted: impl Iterator<Item = &'a str>) -> String {
    wanted.map(|wanted| format!("- {}", escape(wanted))).collect::<Vec<_>>().join("\n")
}

/// What the ticket still waits for, in a line; nothing if it waits for nothing.
pub(crate) fn still_missing(missing: &[String]) -> Option<String> {
    let named: Vec<_> = missing.iter().take(NAMES_MAX).map(|wanted| escape(wanted)).collect();
    let more = match missing.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("Still missing: {}{more}", named.join(", ")))
}
