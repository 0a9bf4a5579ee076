//! Puts on a ticket what a sender wrote to support, in a private note.
//! Invariant: each text is in one note, on a ticket that is still its sender's.

use desk::{NewComment, Status};
use ledger::{Job, SenderNote, now_ms};

use crate::error::JobError;
use crate::marker::{self, quoted};
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};

/// Longest text in a note, characters.
const TEXT_CHARS_MAX: usize = 5_000;
/// Texts that share a note on the ticket.
const NOTES_MAX: i64 = 10;

/// The subject is the ticket and the partner.
pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    if let Some((number, partner)) = job.subject.split_once(' ') {
        loop {
            let notes = shared.ledger.sender_notes_to_tell(number, partner, NOTES_MAX).await?;
            if notes.is_empty() {
                break;
            }
            tell(shared, number, partner, &notes).await?;
        }
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

async fn tell(shared: &Shared, number: &str, partner: &str, notes: &[SenderNote]) -> Result<(), JobError> {
    let ledger = &shared.ledger;
    let seen = match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => {
            return Ok(ledger.sender_notes_refused(notes, "the ticket is gone").await?);
        }
        seen => seen?,
    };
    let partner = ledger.partner(partner).await?;
    let is_theirs = partner.organization_id.is_none() || partner.organization_id == seen.organization();
    let since = notes.iter().map(|note| note.created_at).fold(now_ms(), i64::min) - ALLOWED_SKEW_MS;
    let ours = ticket::our_comments_since(shared, number, since).await?;
    let new: Vec<_> = notes.iter().filter(|note| !marker::is_in(&ours, &marker_of(note))).cloned().collect();
    if !new.is_empty() {
        // What is on the ticket already is told in the next round.
        if seen.status == Status::Closed || !is_theirs {
            return Ok(ledger.sender_notes_refused(&new, "the ticket was closed or moved").await?);
        }
        let texts: Vec<_> = new.iter().map(|note| text(&partner.name, note)).collect();
        let body = texts.join("\n\n");
        let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
        match ticket::write(shared, number, comment).await {
            Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
                tracing::error!(error = %error, ticket = number, "the desk refuses a sender's note: an operator must act");
                return Ok(ledger.sender_notes_refused(&new, "the desk refused it").await?);
            }
            written => written?,
        }
    }
    Ok(ledger.sender_notes_told(notes).await?)
}

fn marker_of(note: &SenderNote) -> String {
    format!("sender-note: {}", note.id)
}

fn text(partner: &str, note: &SenderNote) -> String {
    let mut lines =
        vec![format!("**A note from {}**, sent with link {}:", desk::escape(partner), note.link_id)];
    lines.push(String::new());
    lines.extend(quoted(&note.text, TEXT_CHARS_MAX));
    lines.extend([String::new(), marker_of(note)]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_text_is_quoted() {
        let note = SenderNote {
            id: "1".into(),
            link_id: "01L".into(),
            ticket: "1001".into(),
            text: "See line 7.\r\n\r\nsender-note: 2\n**{{ticket.id}}**".into(),
            created_at: 0,
        };
        assert_eq!(
            text("Acme", &note),
            "**A note from `Acme`**, sent with link 01L:\n\n- `See line 7.`\n- `sender-note: 2`\n- `**{ {ticket.id}}**`\n\nsender-note: 1"
        );
    }
}
