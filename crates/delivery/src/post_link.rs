//! Posts an upload link on a ticket: on a new one, and on one whose link is renewed. Nobody of support makes it.
//! Invariant: the token is known to this attempt and to the ticket alone, so each attempt makes a link of its own. The one that
//! is on the ticket stays, and the others are revoked.

use desk::{NewComment, Status, Ticket};
use ledger::{Job, Link, NewLink, Partner, Right, Token, now_ms};

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};
use crate::{marker, tell_asks};

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let ticket = job.ticket.as_deref().unwrap_or(&job.subject);
    let posted = post(shared, job, ticket).await?;
    Ok(shared.ledger.link_posted(&job.id, &job.subject, posted.as_deref()).await?)
}

/// The ID of the link that is on the ticket; none if the ticket gets none.
async fn post(shared: &Shared, job: &Job, ticket: &str) -> Result<Option<String>, JobError> {
    let seen = match shared.desk.ticket(ticket).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, ticket).await => return Ok(None),
        seen => seen?,
    };
    let (begun_at, attempts) = shared.ledger.link_post(&job.subject).await?;
    let ours = ticket::our_comments_since(shared, ticket, begun_at.min(now_ms()) - ALLOWED_SKEW_MS).await?;
    let marker = format!("upload-link: {}", job.subject);
    if let Some(link_id) = marker::value(&ours, &marker) {
        return Ok(Some(link_id.to_owned()));
    }
    if seen.status == Status::Closed {
        return Ok(None);
    }
    let Some(new) = wanted(shared, job, ticket, &seen).await? else { return Ok(None) };
    // One for files that support asks for is not needed beside any other.
    let is_for_asks = job.subject.split(' ').count() == 3;
    if is_for_asks && shared.ledger.has_working_link(ticket, &new.partner_id, &attempts).await? {
        return Ok(None);
    }
    ticket::has_room(shared, ticket).await?;
    let token = Token::random();
    let link = shared.ledger.create_posted_link(&job.subject, &token, &new).await?;
    let is_renewal = ledger::is_id(&job.subject);
    let address = format!("{}/u/{}/", shared.config.public_url, token.reveal());
    let missing = shared.ledger.missing(ticket).await?;
    let body = format!("{}\n\n{marker} {}", text(&address, &link, is_renewal, &missing), link.id);
    let comment = NewComment { body, public: true, uploads: Vec::new(), stamp: &seen.updated_stamp };
    match ticket::write(shared, ticket, comment).await {
        Err(JobError::Desk(error @ (desk::Error::Refused { .. } | desk::Error::TooLarge))) => {
            // Asking again gets the same answer.
            tracing::error!(error = %error, ticket, "the desk refuses the comment with an upload link: an operator must act");
            Ok(None)
        }
        written => written.map(|()| Some(link.id)),
    }
}

/// The link to make; none if the ticket is no longer a partner's, or if the link must not be renewed.
async fn wanted(
    shared: &Shared,
    job: &Job,
    ticket: &str,
    seen: &Ticket,
) -> Result<Option<NewLink>, JobError> {
    let life_ms = i64::try_from(shared.config.link_life.as_millis()).unwrap_or(i64::MAX);
    let expires_at = now_ms().saturating_add(life_ms);
    let organization = seen.organization();
    let owns = |partner: &Partner| partner.disabled_at.is_none() && partner.organization_id == organization;
    if !ledger::is_id(&job.subject) {
        let id = job.subject.rsplit(' ').next().unwrap_or_default();
        let partner = shared.ledger.partner(id).await?;
        return Ok((organization.is_some() && owns(&partner)).then(|| NewLink {
            partner_id: partner.id,
            ticket: Some(ticket.to_owned()),
            created_by: "gateway".to_owned(),
            expires_at: Some(expires_at),
            ..NewLink::default()
        }));
    }
    let old = shared.ledger.link(&job.subject).await?;
    let partner = shared.ledger.partner(&old.partner_id).await?;
    // Nothing confirms the tickets of a partner without an organisation: whoever made the link did.
    let is_owner =
        if partner.organization_id.is_some() { owns(&partner) } else { partner.disabled_at.is_none() };
    if !is_owner || old.revoked_at.is_some() {
        return Ok(None);
    }
    // It ends with the link that the old one was made with.
    let until = match &old.parent_id {
        Some(parent) => {
            shared.ledger.link(parent).await?.expires_at.map_or(expires_at, |end| end.min(expires_at))
        }
        None => expires_at,
    };
    Ok((until > now_ms()).then(|| NewLink {
        partner_id: old.partner_id,
        contact_id: old.contact_id,
        parent_id: old.parent_id,
        ticket: old.ticket,
        // More people read the ticket than had the old link.
        rights: old.rights.into_iter().filter(|right| *right == Right::Escalate).collect(),
        max_bytes: old.max_bytes,
        max_open: old.max_open,
        max_unfinished_bytes: old.max_unfinished_bytes,
        max_requests_per_minute: old.max_requests_per_minute,
        created_by: "gateway".to_owned(),
        expires_at: Some(until),
    }))
}

fn text(address: &str, link: &Link, is_renewal: bool, missing: &[String]) -> String {
    let until = link.expires_at.map(minute).unwrap_or_default();
    let first = if is_renewal {
        "Here is a new link to send files for this ticket"
    } else {
        "Send files for this ticket here"
    };
    let asked = match missing {
        [] => String::new(),
        missing => {
            format!("Support asks for:\n\n{}\n\n", tell_asks::list(missing.iter().map(String::as_str)))
        }
    };
    format!(
        "{first}, of any size: {address}\n\n{asked}\
         From a server:\n\n    curl --fail-with-body --retry 5 -T FILE -o receipt.txt {address}\n\n\
         The link works until {until}, and until the ticket is closed. Whoever has it can send files to this ticket. \
         When it has expired, open it to get a new one here."
    )
}

/// Such as `2026-11-30 14:05 UTC`.
fn minute(ms: i64) -> String {
    let time = ledger::rfc3339(ms);
    format!("{} UTC", time.get(..16).unwrap_or(&time).replace('T', " "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_for_people() {
        assert_eq!(super::minute(1_795_813_169_290), "2026-11-27 20:59 UTC");
    }
}
