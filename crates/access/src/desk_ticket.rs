//! Asks the desk about a ticket.
//! Invariant: a desk that does not answer never counts as an answer.

use std::time::Duration;

use desk::Desk;

/// What the desk knows about a ticket.
pub(crate) struct DeskTicket {
    pub(crate) organization: Option<i64>,
    pub(crate) closed: bool,
}

/// Why the desk did not say anything about a ticket.
pub(crate) struct NoAnswer {
    pub(crate) why: String,
    /// The desk wants to be asked again after this time.
    pub(crate) retry_after: Option<Duration>,
}

/// None: the desk has no such ticket.
pub(crate) async fn ask(
    desk: &Desk,
    ticket: &str,
    timeout: Duration,
) -> Result<Option<DeskTicket>, NoAnswer> {
    let no_answer = |why: String, retry_after| {
        tracing::warn!(error = why, "asking the desk for a ticket failed");
        Err(NoAnswer { why, retry_after })
    };
    match tokio::time::timeout(timeout, desk.ticket(ticket)).await {
        Ok(Ok(found)) => Ok(Some(DeskTicket {
            organization: found.organization(),
            closed: found.status == desk::Status::Closed,
        })),
        Ok(Err(desk::Error::NotFound)) => Ok(None),
        Ok(Err(error @ desk::Error::RateLimited { retry_after })) => {
            no_answer(error.to_string(), Some(retry_after))
        }
        Ok(Err(error)) => no_answer(error.to_string(), None),
        Err(_) => no_answer("the desk does not respond".into(), None),
    }
}
