//! Looks at a ticket that was opened or has changed: whose it is, whether it is closed, which case it is about, and whether it
//! came through the right form. If so, the new ticket gets an upload link.
//! Invariant: the ticket as it is now decides, not what a hook said. Each comment about a wrong form is on the ticket once.

use desk::{NewComment, Status, Ticket};
use ledger::{Job, Partner, now_ms};

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket::{self, ALLOWED_SKEW_MS};
use crate::{marker, read_asks, tell_asks};

/// An older ticket on another form was routed long ago, ms.
const NEW_MS: i64 = 24 * 60 * 60 * 1000;
const INTERNAL: &str = "wrong-form: support";
const PUBLIC: &str = "wrong-form: contact";

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let number = job.subject.as_str();
    shared.desk.me().await?;
    match shared.desk.ticket(number).await {
        Err(desk::Error::NotFound) if ticket::is_gone(shared, number).await => {
            // Deleted counts as closed. If it is restored, it is seen again.
            if let Some(known) = shared.ledger.ticket(number).await? {
                shared.ledger.saw_ticket(number, known.organization_id, true).await?;
            }
        }
        seen => see(shared, number, &seen?).await?,
    }
    Ok(shared.ledger.finish_job(&job.id).await?)
}

async fn see(shared: &Shared, number: &str, seen: &Ticket) -> Result<(), JobError> {
    let organization = seen.organization();
    let is_closed = seen.status == Status::Closed;
    let partners = shared.ledger.partners().await?;
    let of = |partner: &&Partner| organization.is_some() && partner.organization_id == organization;
    // Most tickets of the desk are nobody's here.
    if partners.iter().any(|partner| of(&partner))
        || shared.ledger.ticket(number).await?.is_some()
        || shared.ledger.has_files(number).await?
    {
        shared.ledger.saw_ticket(number, organization, is_closed).await?;
    }
    for partner in partners.iter().filter(of) {
        if let Some(case) = shared.tickets.case_in_subject(partner, &seen.subject) {
            shared.ledger.saw_case_number(&partner.id, &case, number).await?;
        }
    }
    if seen.status == Status::Solved && shared.tickets.policy().retention.is_some() {
        shared.ledger.queue_solved(number).await?;
    }
    let is_partners = partners.iter().any(|partner| of(&partner) && partner.disabled_at.is_none());
    if !is_partners || is_closed {
        return Ok(());
    }
    if now_ms() - seen.created_at_ms < NEW_MS {
        see_new(shared, number, seen, &partners).await?;
    }
    read_asks::read(shared, number, seen).await?;
    // After the link of a new ticket, which has the list, too.
    tell_asks::post_link(shared, number, organization).await
}

/// What a new ticket of a partner gets: a link, or a word about its form.
async fn see_new(shared: &Shared, number: &str, seen: &Ticket, partners: &[Partner]) -> Result<(), JobError> {
    let form = shared.tickets.policy().support.ticket_form_id;
    let organization = seen.organization();
    match seen.ticket_form_id {
        Some(id) if id == form => {
            let owners = partners.iter().filter(|partner| partner.organization_id == organization);
            for partner in owners.filter(|partner| partner.disabled_at.is_none()) {
                let subject = format!("{number} {}", partner.id);
                shared.ledger.post_link(&subject, number, "gateway").await?;
            }
        }
        // A ticket that was opened here had the right one.
        Some(_) if !seen.external_id.as_deref().is_some_and(tickets::is_opened_here) => {
            tell_wrong_form(shared, number, seen).await?;
        }
        // A desk without forms names none.
        _ => {}
    }
    Ok(())
}

async fn tell_wrong_form(shared: &Shared, number: &str, seen: &Ticket) -> Result<(), JobError> {
    let since = seen.created_at_ms.min(now_ms()) - ALLOWED_SKEW_MS;
    let ours = ticket::our_comments_since(shared, number, since).await?;
    let support = &shared.tickets.policy().support;
    let page = support.form_page.clone().unwrap_or_else(|| shared.desk.form_url(support.ticket_form_id));
    let for_contact = format!(
        "Thank you for your ticket. It did not come through the form for partners, so it may take longer to reach the right \
         people. Next time, please use this form: {page}\n\n{PUBLIC}"
    );
    let for_support = format!(
        "This ticket of a partner did not come through the partner form, so routing it will be slow. Route it by hand.\n\n\
         {INTERNAL}"
    );
    let mut stamp = seen.updated_stamp.clone();
    for (mark, body, public) in [(INTERNAL, for_support, false), (PUBLIC, for_contact, true)] {
        if marker::is_in(&ours, mark) {
            continue;
        }
        ticket::write(shared, number, NewComment { body, public, uploads: Vec::new(), stamp: &stamp })
            .await?;
        stamp = shared.desk.ticket(number).await?.updated_stamp;
    }
    Ok(())
}
