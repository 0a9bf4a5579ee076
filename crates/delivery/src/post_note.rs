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

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let note = shared.ledger.sender_note(&job.subject).await?;
    if note.told_at.is_none() {
        tell(shared, &note).await?;
        shared.ledger.sender_note_told(&note.id).await?;
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

async fn tell(shared: &Shared, note: &SenderNote) -> Result<(), JobError> {
    let number = note.ticket.as_str();
    let seen = match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => return Ok(()),
        seen => seen?,
    };
    let partner = shared.ledger.partner(&note.partner_id).await?;
    let is_theirs = partner.organization_id.is_none() || partner.organization_id == seen.organization();
    if seen.status == Status::Closed || !is_theirs {
        tracing::warn!(
            note.id,
            ticket = number,
            "a ticket cannot get its sender's note: it was closed or moved"
        );
        return Ok(());
    }
    let marker = format!("sender-note: {}", note.id);
    let since = note.created_at.min(now_ms()) - ALLOWED_SKEW_MS;
    if marker::is_in(&ticket::our_comments_since(shared, number, since).await?, &marker) {
        return Ok(());
    }
    let body = format!("{}\n\n{marker}", text(&partner.name, note));
    let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
    match ticket::write(shared, number, comment).await {
        Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
            tracing::error!(error = %error, ticket = number, "the desk refuses a sender's note: an operator must act");
            Ok(())
        }
        written => written,
    }
}

fn text(partner: &str, note: &SenderNote) -> String {
    let mut lines =
        vec![format!("**A note from {}**, sent with link {}:", desk::escape(partner), note.link_id)];
    lines.push(String::new());
    lines.extend(quoted(&note.text, TEXT_CHARS_MAX));
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
            partner_id: "acme".into(),
            ticket: "1001".into(),
            text: "See line 7.\r\n\r\nsender-note: 2\n**{{ticket.id}}**".into(),
            created_at: 0,
            told_at: None,
        };
        assert_eq!(
            text("Acme", &note),
            "**A note from `Acme`**, sent with link 01L:\n\n- `See line 7.`\n- `sender-note: 2`\n- `**{ {ticket.id}}**`"
        );
    }
}
