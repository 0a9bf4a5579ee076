//! Opens a ticket for a request, and makes the link that its files go through.
//! Invariant: the same request gets the same ticket and the same link, whose token follows from the sender's own.

use ledger::{Link, NewLink, Right, Token};
use tickets::{OpenError, TicketRequest};

use super::request::PartnerRequest;
use super::{idempotency, nfr};
use crate::fields::Fields;
use crate::problem::{self, Problem};

/// A ticket that was opened for a request, and the link that its files go through.
pub(super) struct OpenedFor {
    pub(super) ticket: String,
    pub(super) subject: String,
    pub(super) link: Link,
    /// The link's address, with a slash at its end.
    pub(super) address: String,
}

/// Opens the ticket that the fields describe, and makes its link. The same request gets the same ticket and link.
pub(super) async fn open(request: &PartnerRequest, mut fields: Fields) -> Result<OpenedFor, Problem> {
    let tickets = &request.state.tickets;
    let policy = tickets.policy().partner(&request.partner.id);
    let said_nfr = fields.boolean("nfr");
    if said_nfr == Some(true) {
        return Err(nfr::refusal(request));
    }
    if let (Some(about), None) = (&policy.nfr_only, said_nfr) {
        let detail =
            format!("Say that the ticket is not about {about}, which is not for resale: send `false`.");
        fields.wrong("nfr", &detail);
    }
    let wanted = TicketRequest {
        contact: fields.line("contact", "Write the e-mail address of a contact."),
        customer: fields.line("customer", "Write the name of the customer that the ticket is about."),
        case_number: fields.optional_line("case_number"),
        subject: fields.line("subject", "Write what the ticket is about, in a line."),
        description: fields.text("description", "Describe the problem."),
    };
    let case_number = wanted.case_number.as_deref().map(|text| policy.case_number.read(text));
    if case_number == Some(None) {
        fields.wrong("case_number", "Write only the number, such as T123456789, without `#` or other text.");
    }
    fields.finish()?;
    let wanted = TicketRequest { case_number: case_number.flatten(), ..wanted };
    let key = idempotency::key(request)?;
    let opened = tickets
        .open(&request.partner, &request.link.id, key.as_deref(), &wanted)
        .await
        .map_err(|error| refused(request, error))?;
    let token = Token::derived(&request.token, &opened.external_id);
    let (link, token) = link(request, &opened.ticket, opened.contact_id.as_deref(), token).await?;
    let address = format!("{}/u/{}/", request.state.public_url, token.reveal());
    Ok(OpenedFor { ticket: opened.ticket, subject: opened.subject, link, address })
}

fn refused(request: &PartnerRequest, error: OpenError) -> Problem {
    match error {
        OpenError::NotArranged(missing) => {
            tracing::info!(partner = request.partner.id, missing = ?missing, "a contact is not arranged");
            problem::not_arranged(&request.state.tickets.policy().whom_to_ask(&request.partner.id))
        }
        OpenError::OtherRequest => problem::idempotency_mismatch(),
        OpenError::TooMany(error) => error.into(),
        OpenError::Refused(detail) => {
            tracing::error!(detail, "the desk refuses to open a ticket: an operator must act");
            problem::desk_refused(&request.state.tickets.policy().whom_to_ask(&request.partner.id))
        }
        OpenError::Desk(error) => {
            tracing::warn!(error = %error, "the desk opens no ticket now");
            problem::desk_down()
        }
        OpenError::Ledger(error) => error.into(),
    }
}

/// The link with this token for a ticket; made if there is none, and again if it has expired. It may do what its parent may,
/// except opening tickets, and ends with its parent.
pub(super) async fn link(
    request: &PartnerRequest,
    ticket: &str,
    contact_id: Option<&str>,
    token: Token,
) -> Result<(Link, Token), Problem> {
    let ledger = &request.state.ledger;
    let token = match ledger.link_by_token(token.reveal()).await {
        Err(ledger::Error::NotFound) => token,
        known => {
            let known = known?;
            if known.revoked_at.is_some() {
                return Err(problem::link_expired(true));
            }
            if known.expires_at.is_none_or(|at| at > ledger::now_ms()) {
                return Ok((known, token));
            }
            Token::random()
        }
    };
    let parent = &request.link;
    let life = i64::try_from(request.state.limits.link_expiry.as_millis()).unwrap_or(i64::MAX);
    let expires_at = ledger::now_ms().saturating_add(life);
    let new = NewLink {
        partner_id: parent.partner_id.clone(),
        contact_id: contact_id.map(str::to_owned),
        parent_id: Some(parent.id.clone()),
        ticket: Some(ticket.to_owned()),
        rights: parent.rights.iter().copied().filter(|right| *right != Right::OpenTicket).collect(),
        max_bytes: parent.max_bytes,
        max_open: parent.max_open,
        max_unfinished_bytes: parent.max_unfinished_bytes,
        max_requests_per_minute: parent.max_requests_per_minute,
        created_by: request.actor(),
        expires_at: Some(parent.expires_at.map_or(expires_at, |of_parent| of_parent.min(expires_at))),
    };
    let link = match ledger.create_link(&token, &new).await {
        // An equal request made it in the meantime.
        Err(ledger::Error::Conflict(_)) => ledger.link_by_token(token.reveal()).await?,
        made => made?,
    };
    Ok((link, token))
}
