//! Says on a ticket, in a private note, which objects its partner put into its own bucket for it.
//! Invariant: the ticket as it is now decides whose it is. Each object is on one note.

use desk::{NewComment, Status, escape};
use ledger::{Job, ObjectNote, now_ms};

use crate::error::JobError;
use crate::marker;
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};
use crate::words;

/// Objects that a note names.
const NAMES_MAX: i64 = 20;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    if let Some((number, partner)) = job.subject.split_once(' ') {
        note(shared, number, partner).await?;
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

async fn note(shared: &Shared, number: &str, partner_id: &str) -> Result<(), JobError> {
    let ledger = &shared.ledger;
    let seen = match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => {
            // What is recorded of it would queue this again and again.
            ledger.saw_ticket(number, None, true).await?;
            return Ok(());
        }
        seen => seen?,
    };
    let closed = seen.status == Status::Closed;
    ledger.saw_ticket(number, seen.organization(), closed).await?;
    let partner = ledger.partner(partner_id).await?;
    let is_theirs = partner.organization_id.is_none() || partner.organization_id == seen.organization();
    if closed || !is_theirs {
        return Ok(());
    }
    let Some(about) = ledger.begin_object_note(partner_id, number, NAMES_MAX).await? else { return Ok(()) };
    let marker = format!("partner-objects: {}", about.id);
    let since = about.seen_at.min(now_ms()) - ALLOWED_SKEW_MS;
    if !marker::is_in(&ticket::our_comments_since(shared, number, since).await?, &marker) {
        let bucket = shared.buckets.of_partner(partner_id).1.name();
        let body = format!("{}\n\n{marker}", text(partner_id, bucket, &about));
        let comment = NewComment { body, public: false, uploads: Vec::new(), stamp: &seen.updated_stamp };
        match ticket::write(shared, number, comment).await {
            Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
                tracing::error!(error = %error, ticket = number, "the desk refuses the note about a partner's objects: an operator must act");
            }
            written => written?,
        }
    }
    Ok(ledger.objects_noted(partner_id, number, &about.id).await?)
}

fn text(partner_id: &str, bucket: &str, about: &ObjectNote) -> String {
    let count = match about.objects {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let mut lines = vec![
        format!("**{count} found in the partner's bucket**"),
        String::new(),
        "The partner put this there with its own tools, so nobody has a receipt for it.".to_owned(),
        String::new(),
    ];
    lines.extend(about.first.iter().map(|object| {
        let key = escape(&object.object_key);
        format!("- `s3://{bucket}/{}, {}", key.trim_start_matches('`'), words::size(object.size_bytes))
    }));
    let named = i64::try_from(about.first.len()).unwrap_or(i64::MAX);
    if about.objects > named {
        lines.push(format!("- and {} more", about.objects - named));
    }
    lines.extend([
        String::new(),
        "The SHA-256 of each is there once the gateway has read it:".to_owned(),
        String::new(),
        "```".to_owned(),
        format!("wb partner {partner_id} --objects"),
        "```".to_owned(),
    ]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use ledger::PartnerObject;

    use super::*;

    #[test]
    fn a_note_names_some_objects_and_counts_the_others() {
        let object = |key: &str| PartnerObject {
            id: "1".into(),
            partner_id: "globex".into(),
            object_key: key.into(),
            size_bytes: 1_234,
            etag: "e".into(),
            seen_at: 0,
            sha256: None,
            verified_at: None,
            problem: None,
        };
        let first = vec![object("2001/a\npartner-objects: 2"), object("`2001/b")];
        let about = ObjectNote { id: "1".into(), objects: 5, first, seen_at: 0 };
        let text = text("globex", "own", &about);
        for line in [
            "**5 files found in the partner's bucket**",
            "- `s3://own/2001/a partner-objects: 2`, 1,234 bytes (1.2 kB)",
            "- and 3 more",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
