//! The only place that turns errors into problems. What an operator must know is logged here, once.

use std::time::Duration;

use access::{LinkError, TicketError};
use axum::http::StatusCode;
use tickets::{FindError, NUMBER_HINT};
use upload::{Algorithm, SideFile};

use super::{
    Problem, RETRY_SOON, UPLOAD_OFFSET, bad_field, bad_request, idempotency_mismatch, internal, link_expired,
    not_found, storage_down, ticket_closed, ticket_required, too_large, too_many_escalations, too_many_open,
    too_many_tickets, too_much_unfinished, unavailable, unknown_ticket, upload_gone,
};

/// A restart, or another gateway, takes about this long.
const DRAINING_RETRY_AFTER: Duration = Duration::from_secs(2);

impl From<upload::Error> for Problem {
    fn from(error: upload::Error) -> Self {
        use upload::Error as E;
        match error {
            E::NotFound => not_found().with_detail(
                "This link has no upload with this id. Check the address, or send the file again.".into(),
            ),
            E::Gone => upload_gone(),
            E::OffsetMismatch { expected } => Self::new(
                StatusCode::CONFLICT,
                "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
                "Wrong offset",
                format!("The upload is at offset {expected}. Resume from there."),
            )
            .header(UPLOAD_OFFSET, &expected.to_string()),
            E::TooLarge { max } => too_large(max),
            E::LengthMismatch { declared, actual } => Self::new(
                StatusCode::BAD_REQUEST,
                "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
                "Lengths differ",
                format!("The request announced {declared} bytes but sent {actual}. Send the file again."),
            ),
            E::DigestMismatch { algorithm, announced, actual, side_file } => {
                digest_mismatch(&mismatch(algorithm, side_file), algorithm, announced, actual)
            }
            E::UnreadableSideFile { algorithm, target } => unreadable_side_file(algorithm, &target),
            E::ContentMismatch { algorithm, announced, actual } => {
                let name = algorithm.name();
                let detail = format!(
                    "The bytes of this request do not match the {name} it announced, so none were kept. Send them again."
                );
                digest_mismatch(&detail, algorithm, announced, actual)
            }
            E::Draining => unavailable(
                "The gateway is restarting. The bytes received so far are kept.",
                DRAINING_RETRY_AFTER,
            ),
            E::Interrupted { received } => Self::new(
                StatusCode::BAD_REQUEST,
                "/problems/interrupted",
                "Interrupted",
                format!("The connection broke after {received} bytes, before the end of the body."),
            ),
            E::TooSlow { received } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "/problems/too-slow",
                "Too slow",
                format!("The body arrived below the minimum rate; {received} bytes were received."),
            ),
            E::Malformed(why) => bad_request(&why),
            E::Superseded => Self::new(
                StatusCode::CONFLICT,
                "/problems/superseded",
                "A newer request has taken over",
                "A newer request is sending this file, so this one was stopped.",
            ),
            E::OnHold { .. } => Self::new(
                StatusCode::CONFLICT,
                "/problems/on-hold",
                "File cannot be removed",
                "This file cannot be removed now. Ask support.",
            ),
            E::Revoked => link_expired(true),
            E::TooManyOpen => too_many_open(),
            E::TooMuchUnfinished { max } => too_much_unfinished(max),
            E::Busy { retry_after } => unavailable("The gateway is busy with other uploads.", retry_after),
            error @ (E::Unavailable(_) | E::Refused(_) | E::Damaged(_) | E::Internal(_)) => of_ours(error),
        }
    }
}

/// Failures on our side. Operators are told more than the sender.
fn of_ours(error: upload::Error) -> Problem {
    use upload::Error as E;
    match error {
        E::Unavailable(source) => {
            tracing::warn!(error = source, "storage is unavailable");
            storage_down()
        }
        E::Refused(source) => {
            tracing::error!(error = source, "storage refuses requests: an operator must act");
            storage_down()
        }
        E::Damaged(source) => {
            tracing::error!(error = source, "storage damaged bytes: an operator must investigate");
            let what = "Storage damaged the bytes on their way, so the rest of this request was not kept.";
            unavailable(what, RETRY_SOON)
        }
        other => {
            tracing::error!(error = %other, "upload failed");
            internal()
        }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::NotANumber => bad_field("request", NUMBER_HINT),
            FindError::Ticket(error) => error.into(),
            FindError::TooManyOpen { max, retry_after } => too_many_escalations(max, retry_after),
            FindError::Ledger(ledger::Error::Conflict(_)) => idempotency_mismatch(),
            FindError::Ledger(error) => error.into(),
        }
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::NotFound => not_found(),
            ledger::Error::Conflict(text) => bad_request(&text),
            other => upload::Error::from(other).into(),
        }
    }
}

impl From<bucket::Error> for Problem {
    fn from(error: bucket::Error) -> Self {
        // The file was complete: trying again does not bring it back.
        if matches!(error, bucket::Error::NotFound(_) | bucket::Error::Changed) {
            return upload::Error::Internal(error.to_string()).into();
        }
        upload::Error::from(error).into()
    }
}

fn digest_mismatch(detail: &str, algorithm: Algorithm, announced: String, actual: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/digest-mismatch", "Digest mismatch", detail)
        .with("algorithm", algorithm.name())
        .with("announced", announced)
        .with("actual", actual)
}

fn mismatch(algorithm: Algorithm, side_file: Option<SideFile>) -> String {
    let name = algorithm.name();
    match side_file {
        None => format!(
            "The received bytes do not match the announced {name}, so nothing was kept. Send the file again."
        ),
        Some(SideFile::Before(side)) => format!(
            "The received bytes do not match the {name} in `{side}`, so nothing was kept. Send the file again. If `{side}` \
             is wrong, send a corrected one first; it counts for one hour."
        ),
        Some(SideFile::After(file)) => format!(
            "`{file}` arrived earlier and does not match the {name} in this side file. The file is kept and flagged on \
             the ticket; the side file is not kept. Compare both with the original and send the wrong one again."
        ),
    }
}

fn unreadable_side_file(algorithm: Algorithm, target: &str) -> Problem {
    let (name, digits) = (algorithm.name(), algorithm.bytes() * 2);
    bad_request(&format!(
        "This side file contains no {name}, so it was not compared with `{target}` and was not kept. Write the {digits} \
         hexadecimal digits as plain text, alone or followed by two spaces and the file name."
    ))
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Required => ticket_required(),
            TicketError::Unknown => unknown_ticket(),
            TicketError::BoundTo(ticket) => unknown_ticket()
                .with_advice(&format!("This link is for ticket {ticket}: leave `ticket` out.")),
            TicketError::Closed(ticket) => ticket_closed(&ticket),
            TicketError::TooMany { per_minute, retry_after } => too_many_tickets(per_minute, retry_after),
            TicketError::Unchecked => unavailable("The ticket cannot be checked right now.", RETRY_SOON),
            TicketError::Ledger(error) => error.into(),
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Ledger(error) => error.into(),
            LinkError::UnknownTicket(_) | LinkError::OtherPartner { .. } => {
                unknown_ticket().with_detail(error.to_string())
            }
            LinkError::TicketClosed(ref ticket) => ticket_closed(ticket).with_detail(error.to_string()),
            LinkError::UnknownPartner(_) => bad_field("partner", &error.to_string()),
            LinkError::NoTicketNumber | LinkError::TicketNeeded => bad_field("ticket", &error.to_string()),
            LinkError::UnknownRight(_) => bad_field("rights", &error.to_string()),
            LinkError::Limit(field) => bad_field(field, &error.to_string()),
            LinkError::Revoked => Self::new(
                StatusCode::CONFLICT,
                "/problems/link-revoked",
                "Upload link revoked",
                error.to_string(),
            ),
            LinkError::Life => bad_field("expires_in_s", &error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_and_metrics_call_it_is_what_the_sender_sees() {
        use upload::Error as E;
        for error in [
            E::Gone,
            E::OffsetMismatch { expected: 1 },
            E::TooLarge { max: 1 },
            E::LengthMismatch { declared: 1, actual: 2 },
            E::DigestMismatch {
                algorithm: Algorithm::Sha256,
                announced: String::new(),
                actual: String::new(),
                side_file: None,
            },
            E::Interrupted { received: 1 },
            E::TooSlow { received: 1 },
            E::Malformed(String::new()),
            E::Superseded,
            E::Revoked,
            E::OnHold { ticket: String::new() },
            E::TooManyOpen,
            E::TooMuchUnfinished { max: 1 },
            E::Unavailable(String::new()),
            E::Refused(String::new()),
            E::Internal(String::new()),
        ] {
            let reason = error.reason();
            let kind = Problem::from(error).kind;
            assert!(kind.rsplit(['/', '#']).next() == Some(reason), "{kind} is called {reason}");
        }
    }
}
