//! Brings an escalation before support, on its ticket: an internal note and a tag, and a note again when it becomes more urgent.
//! Invariant: each is done once. A ticket that is closed or gone, and a desk that refuses, end a step: the record stays.

mod note;

use desk::NewComment;
use ledger::{Escalation, Job, now_ms, step_when_raised};

use crate::error::JobError;
use crate::marker;
use crate::shared::Shared;
use crate::step::once;
use crate::ticket::{self, ALLOWED_SKEW_MS};

/// What the desk's own rules and views look for.
const TAG: &str = "star_submitted";
/// How often to look again at once when the ticket changes while we write.
const CONFLICTS_MAX: u32 = 5;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let escalation = shared.ledger.escalation(&job.subject).await?;
    let id = &escalation.id;
    let ends = [
        once(shared, id, &step_when_raised("note", escalation.raised), async |_| {
            write_note(shared, &escalation).await
        })
        .await,
        once(shared, id, "tag", async |_| add_tag(shared, &escalation).await).await,
    ];
    ends.into_iter().collect::<Result<(), _>>()?;
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// The ticket's number may be wrong by now: a ticket that is closed or gone accepts no note, and the record stays here.
async fn write_note(shared: &Shared, escalation: &Escalation) -> Result<String, JobError> {
    let ticket = escalation.ticket.as_str();
    let mut conflicts = 0;
    loop {
        match try_note(shared, escalation).await {
            Err(JobError::Desk(desk::Error::Closed)) => return Ok("closed".into()),
            Err(JobError::Desk(desk::Error::Refused { detail })) => {
                return refused(shared, escalation, &detail).await;
            }
            Err(JobError::Desk(desk::Error::TooLarge)) => {
                return refused(shared, escalation, "too large").await;
            }
            Err(JobError::Desk(desk::Error::NotFound)) if ticket::is_gone(shared, ticket).await => {
                return Ok("gone".into());
            }
            Err(JobError::Desk(desk::Error::Conflict)) if conflicts < CONFLICTS_MAX => conflicts += 1,
            end => return end,
        }
    }
}

/// Asking again gets the same answer.
async fn refused(shared: &Shared, escalation: &Escalation, detail: &str) -> Result<String, JobError> {
    tracing::error!(
        detail,
        escalation = escalation.id,
        "the desk refuses an escalation's note or tag: an operator must act"
    );
    shared.ledger.record("gateway", "escalation.refused", &escalation.id, detail).await?;
    Ok("refused".into())
}

async fn try_note(shared: &Shared, escalation: &Escalation) -> Result<String, JobError> {
    let ticket = escalation.ticket.as_str();
    shared.desk.me().await?;
    let seen = shared.desk.ticket(ticket).await?;
    let since = escalation.created_at.min(now_ms()) - ALLOWED_SKEW_MS;
    let ours = ticket::our_comments_since(shared, ticket, since).await?;
    if marker::is_in(&ours, &note::marker(escalation)) {
        return Ok("written".into());
    }
    if seen.status == desk::Status::Closed {
        return Err(desk::Error::Closed.into());
    }
    let files = shared.tickets.files(&escalation.partner_id, ticket).await?;
    let partner = shared.ledger.partner(&escalation.partner_id).await?;
    let notes = shared.tickets.notes(&partner).await?;
    let body = note::text(escalation, &files, &notes, &shared.config.public_url);
    let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
    ticket::write(shared, ticket, comment).await?;
    tracing::info!(ticket, escalation = escalation.id, "wrote the note of an escalation");
    Ok("written".into())
}

async fn add_tag(shared: &Shared, escalation: &Escalation) -> Result<String, JobError> {
    let ticket = escalation.ticket.as_str();
    let mut conflicts = 0;
    loop {
        shared.desk.me().await?;
        let seen = match shared.desk.ticket(ticket).await {
            Err(desk::Error::NotFound) if ticket::is_gone(shared, ticket).await => return Ok("gone".into()),
            seen => seen?,
        };
        if seen.tags.iter().any(|tag| tag == TAG) {
            return Ok("tagged".into());
        }
        if seen.status == desk::Status::Closed {
            return Ok("closed".into());
        }
        match shared.desk.add_tag(ticket, TAG, &seen.updated_stamp).await {
            Err(desk::Error::Conflict) if conflicts < CONFLICTS_MAX => conflicts += 1,
            Err(desk::Error::Closed) => return Ok("closed".into()),
            Err(desk::Error::Refused { detail }) => return refused(shared, escalation, &detail).await,
            end => return Ok(end.map(|()| "tagged".into())?),
        }
    }
}
