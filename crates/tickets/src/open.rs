//! Opens a ticket in the desk, once for each key.
//! Invariant: the key and the ticket's external ID are recorded before the desk is asked. A retry finds the ticket by that ID.

use access::TicketError;
use ledger::{OpenedTicket, OpeningTicket, Partner, hash_token};

use crate::Tickets;
use crate::contacts::{Arranged, Missing, Unknown, desk_silent};

/// A key counts for this time, ms.
const KEY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a request waits until the desk has opened a ticket.
const OPEN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// A ticket to open. Every text is checked: one line, except the description.
#[derive(Debug, Clone)]
pub struct TicketRequest {
    /// The e-mail address of a contact.
    pub contact: String,
    pub customer: String,
    /// The partner's own, in upper case.
    pub case_number: Option<String>,
    pub subject: String,
    pub description: String,
}

/// An opened ticket.
#[derive(Debug, Clone)]
pub struct Opened {
    pub ticket: String,
    pub subject: String,
    /// None for a repeated request.
    pub contact_id: Option<String>,
    /// The same for a repeated request.
    pub external_id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the contact is not arranged: {0:?}")]
    NotArranged(Missing),
    #[error("too many look-ups")]
    TooMany(TicketError),
    /// The key was used for another ticket.
    #[error("the key was used for another ticket")]
    OtherRequest,
    /// The desk accepts no such ticket.
    #[error("the desk refused the ticket: {0}")]
    Refused(String),
    #[error(transparent)]
    Desk(#[from] desk::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

/// Whether a ticket was opened here, by its external ID in the desk.
pub fn is_opened_here(external_id: &str) -> bool {
    external_id.starts_with("weighbridge-")
}

impl From<Unknown> for OpenError {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Desk(error) => Self::Desk(error),
            Unknown::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl TicketRequest {
    /// `[Customer] - [case number] - [Subject]`.
    pub fn title(&self) -> String {
        let parts = [Some(self.customer.as_str()), self.case_number.as_deref(), Some(self.subject.as_str())];
        let parts: Vec<_> = parts.into_iter().flatten().map(|part| format!("[{part}]")).collect();
        parts.join(" - ")
    }

    fn body(&self, contact: &str) -> String {
        let mut lines = vec![
            desk::escape_block(&self.description),
            String::new(),
            format!("Customer: {}", desk::escape(&self.customer)),
        ];
        lines.extend(
            self.case_number.as_deref().map(|number| format!("Case number: {}", desk::escape(number))),
        );
        lines.push(format!("Contact: {}", desk::escape(contact)));
        lines.join("\n")
    }

    fn hash(&self) -> String {
        let number = self.case_number.as_deref().unwrap_or_default();
        let fields = [&self.contact, &self.customer, number, &self.subject, &self.description];
        let text: Vec<_> = fields.iter().map(|field| format!("{}:{field}", field.len())).collect();
        hash_token(&text.join("\n"))
    }
}

impl Tickets {
    /// Opens a ticket for a partner. `key` is the request's own, or none: then an equal request within 24 hours is the same.
    ///
    /// # Errors
    /// Nothing is opened with any error, or a repetition finds it.
    pub async fn open(
        &self,
        partner: &Partner,
        link_id: &str,
        key: Option<&str>,
        request: &TicketRequest,
    ) -> Result<Opened, OpenError> {
        let fields_hash = request.hash();
        let key_hash = match key {
            Some(key) => hash_token(&format!("{link_id}\ntickets\nkey\n{key}")),
            None => hash_token(&format!("{link_id}\ntickets\nfields\n{fields_hash}")),
        };
        let since = ledger::now_ms() - KEY_MS;
        if let Some(before) = self.0.ledger.ticket_key(&key_hash, since).await? {
            if before.fields_hash != fields_hash {
                return Err(OpenError::OtherRequest);
            }
            if let Some(ticket) = before.ticket {
                let external_id = before.external_id;
                return Ok(Opened { ticket, subject: request.title(), contact_id: None, external_id });
            }
        }
        self.0.check.take_lookup(&format!("partner {}", partner.id)).map_err(OpenError::TooMany)?;
        let (contact, user) = match self.arranged(partner, &request.contact).await? {
            Arranged::Yes(contact, user) => (contact, user),
            Arranged::No(missing) => return Err(OpenError::NotArranged(missing)),
        };
        let opening = OpeningTicket { key_hash: &key_hash, fields_hash: &fields_hash, link_id };
        let claim = match self.0.ledger.claim_ticket_key(&opening, since).await {
            Err(ledger::Error::Conflict(_)) => return Err(OpenError::OtherRequest),
            claim => claim?,
        };
        let create = self.create(partner, user, &contact.name, request, &claim);
        let ticket =
            tokio::time::timeout(OPEN_TIMEOUT, create).await.unwrap_or_else(|_| Err(desk_silent().into()))?;
        let (ledger, organization) = (&self.0.ledger, partner.organization_id);
        ledger.saw_ticket(&ticket, organization, false).await?;
        if let Some(number) = &request.case_number {
            ledger.saw_case_number(&partner.id, number, &ticket).await?;
        }
        ledger.ticket_opened(&claim, &ticket, &format!("link:{link_id}")).await?;
        tracing::info!(ticket, partner = partner.id, "opened a ticket");
        let (subject, contact_id) = (request.title(), Some(contact.id));
        Ok(Opened { ticket, subject, contact_id, external_id: claim.external_id })
    }

    /// The desk remembers the key for two hours; after that the external ID finds a ticket whose answer was lost.
    async fn create(
        &self,
        partner: &Partner,
        user: u64,
        contact: &str,
        request: &TicketRequest,
        claim: &OpenedTicket,
    ) -> Result<String, OpenError> {
        let desk = &self.0.desk;
        if let Some(found) = desk.tickets_by_external_id(&claim.external_id).await?.first() {
            return Ok(found.id.to_string());
        }
        let new = desk::NewTicket {
            subject: request.title(),
            body: request.body(contact),
            uploads: Vec::new(),
            requester: desk::Requester::Id(user),
            organization_id: partner.organization_id.and_then(|id| u64::try_from(id).ok()),
            ticket_form_id: Some(self.0.policy.support.ticket_form_id),
            tags: Vec::new(),
            external_id: Some(claim.external_id.clone()),
        };
        match desk.create_ticket(&new, &claim.external_id).await {
            Ok(ticket) => Ok(ticket.id.to_string()),
            Err(desk::Error::Refused { detail }) => {
                self.0.ledger.drop_ticket_key(claim).await?;
                Err(OpenError::Refused(detail))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> TicketRequest {
        TicketRequest {
            contact: "a@acme.example".into(),
            customer: "Initech".into(),
            case_number: Some("T123456789".into()),
            subject: "Slow".into(),
            description: "Every page {{ticket.id}} takes ten seconds.\n\nSince Monday.".into(),
        }
    }

    #[test]
    fn the_title_names_customer_case_and_subject() {
        assert_eq!(request().title(), "[Initech] - [T123456789] - [Slow]");
        let without = TicketRequest { case_number: None, ..request() };
        assert_eq!(without.title(), "[Initech] - [Slow]");
    }

    #[test]
    fn the_desk_expands_nothing_of_the_description() {
        let body = request().body("Ann");
        assert!(
            body.starts_with("```\nEvery page { {ticket.id}} takes ten seconds.\n\nSince Monday.\n```\n\n"),
            "{body}"
        );
        assert!(body.ends_with("Customer: `Initech`\nCase number: `T123456789`\nContact: `Ann`"), "{body}");
    }

    #[test]
    fn every_field_counts_for_the_hash() {
        let hashes = [
            request(),
            TicketRequest { contact: "b@acme.example".into(), ..request() },
            TicketRequest { customer: "InitechT123456789".into(), case_number: None, ..request() },
            TicketRequest { subject: "Slower".into(), ..request() },
            TicketRequest { description: "x".into(), ..request() },
        ]
        .map(|request| request.hash());
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash));
        }
        assert_eq!(hashes[0], request().hash());
    }
}
