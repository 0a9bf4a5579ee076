//! Escalates what a hook delivered, and tells the result in the channel that it came from.
//! Invariant: the escalation is recorded once, under the job's subject; the answer is posted once.

use access::TicketError;
use desk::slack::Message;
use ledger::{Escalation, Job, now_ms};
use tickets::{FindError, IncomingEscalation, NUMBER_HINT};

use crate::error::JobError;
use crate::shared::Shared;
use crate::step::once;
use crate::tell_slack::post_once;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let Ok(incoming) = serde_json::from_str::<IncomingEscalation>(&job.payload) else {
        tracing::error!(job = job.id, "cannot read the payload of a job; it is given up");
        return Ok(shared.ledger.finish_job(&job.id).await?);
    };
    let text = match shared.tickets.escalate_incoming(&incoming, &job.subject).await {
        Ok(escalated) if escalated.joined => {
            format!("This ticket is escalated already: {}. Support knows.", escalated.escalation.reference)
        }
        Ok(escalated) => received(&escalated.escalation),
        Err(FindError::NotANumber) => {
            format!("This was not escalated. {NUMBER_HINT} Then send the form again.")
        }
        Err(FindError::Ticket(TicketError::TooMany { retry_after, .. })) => {
            let wait = i64::try_from(retry_after.as_millis()).unwrap_or(i64::MAX);
            let jobs = std::slice::from_ref(job);
            return Ok(shared.ledger.postpone(jobs, now_ms().saturating_add(wait), None).await?);
        }
        Err(FindError::TooManyOpen { max, .. }) => {
            format!(
                "This was not escalated: {max} of your escalations are open. Ask support to resolve some first."
            )
        }
        Err(FindError::Ticket(TicketError::Unchecked)) => {
            let source = "the desk does not respond".into();
            return Err(desk::Error::Unavailable { retry_after: None, source }.into());
        }
        Err(FindError::Ticket(TicketError::Ledger(error)) | FindError::Ledger(error)) => {
            return Err(error.into());
        }
        Err(FindError::Ticket(_)) => {
            "This was not escalated: no ticket of yours has this number. Check it, and send the form again."
                .to_owned()
        }
    };
    if let (Some(slack), Some(channel)) = (&shared.slack, incoming.channel) {
        let message = Message {
            channel,
            text: desk::slack::escape(&text),
            thread_ts: incoming.thread,
            buttons: Vec::new(),
            id: job.subject.clone(),
        };
        once(shared, &job.subject, "answer", async |before| post_once(slack, &message, before).await).await?;
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// What was understood, so that its sender can correct it, and what may delay an answer.
fn received(escalation: &Escalation) -> String {
    let emergency = if escalation.emergency { ", an emergency" } else { "" };
    let (reference, ticket) = (&escalation.reference, &escalation.ticket);
    let mut text = format!(
        "Received as {reference}: ticket {ticket}, answer wanted within {}{emergency}.",
        escalation.urgency.name()
    );
    for hint in &escalation.hints {
        text.push(' ');
        text.push_str(hint);
    }
    text
}
