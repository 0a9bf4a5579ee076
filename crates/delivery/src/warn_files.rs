//! Says on a ticket, in a private note, when its files will be deleted: once when it is solved, since a closed ticket accepts no
//! note, and once before the longest time of a file is over while the ticket is open.

use desk::{NewComment, Status};
use ledger::{Filter, Job, State, Upload, now_ms};
use tickets::Retention;

use crate::error::JobError;
use crate::marker;
use crate::shared::Shared;
use crate::step::once;
use crate::ticket::{self, ALLOWED_SKEW_MS};

/// Files that a note names.
const NAMES_MAX: usize = 20;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let ticket = job.ticket.as_deref().unwrap_or(&job.subject);
    let step = format!("warn-{}", job.payload);
    once(shared, ticket, &step, async |before| {
        let since = before.map_or_else(now_ms, |before| before.begun_at).min(now_ms()) - ALLOWED_SKEW_MS;
        warn(shared, ticket, &job.payload, since).await.map(str::to_owned)
    })
    .await?;
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// What became of it.
async fn warn(shared: &Shared, ticket: &str, reason: &str, since: i64) -> Result<&'static str, JobError> {
    let seen = match shared.desk.ticket(ticket).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, ticket).await => return Ok("gone"),
        seen => seen?,
    };
    let ours = ticket::our_comments_since(shared, ticket, since).await?;
    let marker = format!("files-end: {reason}");
    if marker::is_in(&ours, &marker) {
        return Ok("told");
    }
    if seen.status == Status::Closed {
        return Ok("closed");
    }
    let filter = Filter {
        ticket: Some(ticket.to_owned()),
        state: Some(State::Complete),
        limit: 10_000,
        ..Filter::default()
    };
    let files = shared.ledger.uploads(&filter).await?;
    let Some(text) = text(shared, reason, &files) else { return Ok("no files") };
    let body = format!("{text}\n\n{marker}");
    let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
    match ticket::write(shared, ticket, comment).await {
        Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
            // Asking again gets the same answer.
            tracing::error!(error = %error, ticket, "the desk refuses the note about files that end: an operator must act");
            Ok("refused")
        }
        written => written.map(|()| "told"),
    }
}

/// None if there is nothing to say.
fn text(shared: &Shared, reason: &str, files: &[Upload]) -> Option<String> {
    let first = files.first()?;
    let policy = shared.tickets.policy();
    let retention = policy.retention_of(&first.partner_id)?;
    let (count, verb) =
        if files.len() == 1 { ("file".to_owned(), "is") } else { (format!("{} files", files.len()), "are") };
    if reason == "solved" {
        let Retention { grace, minimum, .. } = retention;
        return Some(format!(
            "The {count} of this ticket {verb} deleted {} after the ticket is closed, at the earliest {} after arrival. Download \
             what you still need, or set a hold: `wb hold add TICKET --reason TEXT`.",
            crate::words::duration(grace),
            crate::words::duration(minimum)
        ));
    }
    let end = now_ms().saturating_add(i64::try_from(policy.warn_before.as_millis()).unwrap_or(i64::MAX));
    let mut ending =
        files.iter().filter(|file| file.expires_at.is_some_and(|at| at <= end)).collect::<Vec<_>>();
    ending.sort_by_key(|file| file.expires_at);
    let names = ending.iter().take(NAMES_MAX).map(|file| {
        let at = file.expires_at.map(ledger::rfc3339).unwrap_or_default();
        format!("- {} `{}`: {}", at.get(..10).unwrap_or(&at), file.id, desk::escape(&file.name))
    });
    let names: Vec<_> = names.collect();
    let more = ending.len().saturating_sub(names.len());
    let rest = if more > 0 { format!("\n- and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| {
        format!(
            "These files are deleted soon, although the ticket is open, because no file is kept longer than {}. Download what you \
             still need, or set a hold: `wb hold add TICKET --reason TEXT`.\n\n{}{rest}",
            crate::words::duration(retention.maximum),
            names.join("\n")
        )
    })
}
