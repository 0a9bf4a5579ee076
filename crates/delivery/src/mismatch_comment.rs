//! Says on the ticket that a digest sent after a file does not match it: in the file's note if that is not written yet,
//! otherwise in a comment of its own. Invariant: no file name can forge the marker line, and it is on the ticket once.

use bucket::Crc64Hasher;
use desk::{NewComment, Status, escape};
use ledger::{Delivery, Job, State, Upload, now_ms};

use crate::error::JobError;
use crate::marker;
use crate::shared::Shared;
use crate::ticket;

const MARKER: &str = "mismatch: ";
/// How long to wait for the file's own note.
const NOTE_WAIT_MS: i64 = 2_000;

/// The lines that report the mismatch, the marker last; none if there is no mismatch.
pub(crate) fn lines(upload: &Upload) -> Option<Vec<String>> {
    let mismatch = upload.mismatch.as_deref()?;
    let mut words = mismatch.split(' ');
    let (algorithm, announced, actual) = (words.next()?, words.next()?, words.next()?);
    Some(vec![
        String::new(),
        format!("**Digest mismatch**: the sender gave the {algorithm} {announced}, the file has {actual}."),
        "It may have changed on its way to us or before. Ask for it again before relying on it.".into(),
        String::new(),
        marker_of(upload, mismatch),
    ])
}

/// Not the upload's ID, which is on the ticket once, in its note.
fn marker_of(upload: &Upload, mismatch: &str) -> String {
    let mut crc64 = Crc64Hasher::new();
    crc64.update(format!("{} {mismatch}", upload.id).as_bytes());
    format!("{MARKER}{}", crc64.value().to_hex())
}

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let upload = shared.ledger.upload(&job.subject).await?;
    let is_told = upload.state == State::Complete && upload.delivery != Some(Delivery::Undeliverable);
    if let Some(lines) = lines(&upload).filter(|_| is_told) {
        if upload.delivery == Some(Delivery::Pending) {
            let jobs = std::slice::from_ref(job);
            return Ok(shared.ledger.postpone(jobs, now_ms() + NOTE_WAIT_MS, None).await?);
        }
        comment(shared, &upload, &lines).await?;
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// Looks for the marker, and comments if it is missing. A closed ticket accepts no comment; the ledger's audit has the
/// mismatch.
async fn comment(shared: &Shared, upload: &Upload, lines: &[String]) -> Result<(), JobError> {
    let seen = shared.desk.ticket(&upload.ticket).await?;
    if seen.status == Status::Closed {
        return Ok(());
    }
    let marker = lines.last().map_or("", String::as_str);
    let comments = ticket::our_comments(shared, &upload.ticket, std::iter::once(upload)).await?;
    if marker::is_in(&comments, marker) {
        return Ok(());
    }
    let body = format!("File: {}\n{}\n", escape(&upload.name), lines.join("\n"));
    let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
    ticket::write(shared, &upload.ticket, comment).await?;
    upload.span().in_scope(|| tracing::info!("reported a digest mismatch on the ticket"));
    Ok(())
}
