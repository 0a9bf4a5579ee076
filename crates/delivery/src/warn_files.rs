//! Says on a ticket, in a private note, when its files will be deleted: once when it is solved, since a closed ticket accepts no
//! note, and before the longest time of a file is over while the ticket is open.
//! Invariant: a file counts as told only when a note on the ticket names it.

use desk::{Comment, NewComment, Status, Ticket};
use ledger::{Filter, Job, State, Upload, now_ms};
use tickets::Retention;

use crate::error::JobError;
use crate::marker;
use crate::shared::Shared;
use crate::step::once;
use crate::ticket::{self, ALLOWED_SKEW_MS};
use crate::words;

/// Files that a note names. The others are in the next one.
const NAMES_MAX: usize = 20;
/// In a note about a solved ticket.
const SOLVED: &str = "files-end: solved";
/// Before the IDs of files in a note about an open ticket.
const ENDING: &str = "files-end:";

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let number = job.ticket.as_deref().unwrap_or(&job.subject);
    if job.payload == "solved" {
        once(shared, number, "warn-solved", async |before| {
            let since = before.map_or_else(now_ms, |before| before.begun_at);
            tell_solved(shared, number, since).await.map(str::to_owned)
        })
        .await?;
    } else {
        tell_ending(shared, number).await?;
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// The ticket, and our comments on it since then, ms. None if it accepts no note any more.
async fn read(shared: &Shared, number: &str, since: i64) -> Result<Option<(Ticket, Vec<Comment>)>, JobError> {
    let seen = match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => return Ok(None),
        seen => seen?,
    };
    let ours = ticket::our_comments_since(shared, number, since.min(now_ms()) - ALLOWED_SKEW_MS).await?;
    Ok((seen.status != Status::Closed).then_some((seen, ours)))
}

/// Writes a private note. Returns false if the desk refuses it for good.
async fn note(shared: &Shared, number: &str, seen: &Ticket, body: String) -> Result<bool, JobError> {
    let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
    match ticket::write(shared, number, comment).await {
        Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
            tracing::error!(error = %error, ticket = number, "the desk refuses the note about files that end: an operator must act");
            Ok(false)
        }
        written => written.map(|()| true),
    }
}

/// What became of it.
async fn tell_solved(shared: &Shared, number: &str, since: i64) -> Result<&'static str, JobError> {
    let Some((seen, ours)) = read(shared, number, since).await? else { return Ok("closed") };
    if marker::is_in(&ours, SOLVED) {
        return Ok("told");
    }
    let files = files(shared, number).await?;
    let retention = files.first().and_then(|file| shared.tickets.policy().retention_of(&file.partner_id));
    let Some(Retention { grace, minimum, .. }) = retention else { return Ok("no files") };
    let (count, verb) =
        if files.len() == 1 { ("file".to_owned(), "is") } else { (format!("{} files", files.len()), "are") };
    let body = format!(
        "The {count} of this ticket {verb} deleted {} after the ticket is closed, at the earliest {} after arrival. Download what \
         you still need, or set a hold: `wb hold add {number} --reason TEXT`.\n\n{SOLVED}",
        words::duration(grace),
        words::duration(minimum)
    );
    Ok(if note(shared, number, &seen, body).await? { "told" } else { "refused" })
}

async fn files(shared: &Shared, number: &str) -> Result<Vec<Upload>, JobError> {
    let filter = Filter {
        ticket: Some(number.to_owned()),
        state: Some(State::Complete),
        limit: 10_000,
        ..Filter::default()
    };
    Ok(shared.ledger.uploads(&filter).await?)
}

async fn tell_ending(shared: &Shared, number: &str) -> Result<(), JobError> {
    let policy = shared.tickets.policy();
    let end = now_ms().saturating_add(i64::try_from(policy.warn_before.as_millis()).unwrap_or(i64::MAX));
    let mut files = files(shared, number).await?;
    files.retain(|file| file.expires_at.is_some_and(|at| at <= end));
    let mut untold = Vec::new();
    let mut since = now_ms();
    for file in files {
        let step = shared.ledger.begin_step(&file.id, "end-told").await?;
        if step.as_ref().is_none_or(|step| step.done_at.is_none()) {
            since = since.min(step.map_or(since, |step| step.begun_at));
            untold.push(file);
        }
    }
    untold.sort_by(|one, other| (one.expires_at, &one.id).cmp(&(other.expires_at, &other.id)));
    let Some((seen, ours)) = read(shared, number, since).await? else { return Ok(()) };
    let told = |file: &Upload| {
        let mut lines = ours.iter().flat_map(|comment| comment.body.lines());
        lines.any(|line| line.starts_with(ENDING) && line.split_whitespace().any(|word| word == file.id))
    };
    let (before, mut now): (Vec<_>, Vec<_>) = untold.into_iter().partition(told);
    now.truncate(NAMES_MAX);
    if let Some(retention) = now.first().and_then(|file| policy.retention_of(&file.partner_id)) {
        let names = now.iter().map(|file| {
            // Not before it was told for long enough.
            let at = file.expires_at.map(|at| ledger::rfc3339(at.max(end))).unwrap_or_default();
            format!("- {} {}", at.get(..10).unwrap_or(&at), desk::escape(&file.name))
        });
        let ids: Vec<_> = now.iter().map(|file| file.id.as_str()).collect();
        let body = format!(
            "These files are deleted soon, although the ticket is open, because no file is kept longer than {}. Download what you \
             still need, or set a hold: `wb hold add {number} --reason TEXT`.\n\n{}\n\n{ENDING} {}",
            words::duration(retention.maximum),
            names.collect::<Vec<_>>().join("\n"),
            ids.join(" ")
        );
        if !note(shared, number, &seen, body).await? {
            now.clear();
        }
    }
    for file in before.iter().chain(&now) {
        shared.ledger.end_step(&file.id, "end-told", "told").await?;
    }
    Ok(())
}
