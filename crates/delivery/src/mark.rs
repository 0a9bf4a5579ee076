//! Says on the ticket that a digest sent after a file is not the file's. In the file's own note where that is not written
//! yet, else in a comment of its own. Invariant: a mark is found again by a line that no file's name can forge, and stands
//! on the ticket once.

use bucket::Crc64Hasher;
use desk::{NewComment, Status, escape};
use ledger::{Delivery, Job, JobKind, State, Upload, now_ms};

use crate::pacing::{self, WINDOW_MS};
use crate::{Shared, chain, failed, note};

const MARKER: &str = "mismatch: ";
/// How long a mark waits for the file's own note.
const NOTE_WAIT_MS: i64 = 2_000;
/// The desk's clock may be behind ours by so much.
const CLOCK_SKEW_MS: i64 = 60 * 60 * 1000;

/// The lines that say it, with the mark; none when nothing is wrong.
pub(crate) fn lines(upload: &Upload) -> Option<Vec<String>> {
    let mismatch = upload.mismatch.as_deref()?;
    let mut words = mismatch.split(' ');
    let (algorithm, announced, actual) = (words.next()?, words.next()?, words.next()?);
    Some(vec![
        String::new(),
        format!("**Digest mismatch**: the sender gave the {algorithm} {announced}, the file has {actual}."),
        "It may have changed on its way to us or before. Ask for it again before relying on it.".into(),
        String::new(),
        marker(upload, mismatch),
    ])
}

/// The mark of this mismatch. Not the upload's id: that stands on the ticket once, in its note.
fn marker(upload: &Upload, mismatch: &str) -> String {
    let mut crc64 = Crc64Hasher::new();
    crc64.update(format!("{} {mismatch}", upload.id).as_bytes());
    format!("{MARKER}{}", crc64.value().to_hex())
}

fn comment(upload: &Upload, lines: &[String]) -> String {
    format!("File: {}\n{}\n", escape(&upload.name), lines.join("\n"))
}

/// Works off what is due for a ticket whose lease is ours. Answers before what time, ms, nobody need look again.
pub(crate) async fn work(shared: &Shared, ticket: &str) -> ledger::Result<i64> {
    for job in shared.ledger.ticket_jobs(JobKind::Mark, ticket, note::FILES_MAX).await? {
        let upload = shared.ledger.upload(&job.upload_id).await?;
        let lines = lines(&upload).filter(|_| upload.state == State::Complete);
        let Some(lines) = lines.filter(|_| upload.delivery != Some(Delivery::Undeliverable)) else {
            shared.ledger.finish_job(&job.id).await?;
            continue;
        };
        if upload.delivery == Some(Delivery::Pending) {
            put_off(shared, &job, now_ms() + NOTE_WAIT_MS, None).await?;
            continue;
        }
        let now = now_ms();
        let room_at = pacing::room_at(&shared.ledger.ticket_updates(ticket, now - WINDOW_MS).await?);
        if room_at > now {
            return Ok(room_at);
        }
        match mark(shared, ticket, &upload, &lines).await {
            Ok(()) => shared.ledger.finish_job(&job.id).await?,
            Err(Trouble::Ledger(error)) => return Err(error),
            Err(Trouble::Desk(error)) => {
                failed("mark");
                let wait = pacing::backoff(job.attempts, error.retry_after(), rand::random());
                let until = now_ms() + i64::try_from(wait.as_millis()).unwrap_or(WINDOW_MS);
                tracing::warn!(upload.id = upload.id, ticket, error = chain(&error), "mark a mismatch");
                put_off(shared, &job, until, Some(&chain(&error))).await?;
            }
        }
    }
    Ok(0)
}

enum Trouble {
    Ledger(ledger::Error),
    Desk(desk::Error),
}

impl From<ledger::Error> for Trouble {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<desk::Error> for Trouble {
    fn from(error: desk::Error) -> Self {
        Self::Desk(error)
    }
}

/// Looks for the mark, and writes it where it is missing. A closed ticket takes none: the ledger's audit has it.
async fn mark(shared: &Shared, ticket: &str, upload: &Upload, lines: &[String]) -> Result<(), Trouble> {
    let Shared { desk, ledger, .. } = shared;
    let me = desk.me().await?;
    let seen = desk.ticket(ticket).await?;
    if seen.status == Status::Closed {
        return Ok(());
    }
    let since = upload.completed_at.unwrap_or(upload.created_at).min(now_ms()) - CLOCK_SKEW_MS;
    let comments = desk.comments_since(ticket, since).await?;
    let mark = lines.last().map_or("", String::as_str);
    let is_there = comments
        .iter()
        .any(|comment| comment.author_id == me && comment.body.lines().any(|line| line.trim() == mark));
    if is_there {
        return Ok(());
    }
    ledger.note_ticket_update(ticket, now_ms() - WINDOW_MS).await?;
    let body = comment(upload, lines);
    desk.comment(ticket, NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp })
        .await?;
    tracing::info!(upload.id = upload.id, ticket, "marked a mismatch");
    Ok(())
}

async fn put_off(shared: &Shared, job: &Job, until: i64, reason: Option<&str>) -> ledger::Result<()> {
    shared.ledger.put_off(std::slice::from_ref(job), until, reason).await
}
