//! Finds the ticket that a number means: the number itself, the ledger's own map of case numbers, then a search in the desk
//! among the tickets of the partner's organisation.
//! Invariant: the ticket of another partner is answered like one that does not exist, after the same steps.

use std::time::Duration;

use access::TicketError;
use ledger::{Link, Partner};

use crate::Tickets;
use crate::contacts::desk_silent;

/// How long a search may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It is neither a ticket number nor a case number.
    #[error("not a ticket number or case number")]
    NotANumber,
    #[error("{0:?}")]
    Ticket(TicketError),
    /// The partner has too many open escalations.
    #[error("{max} escalations are open")]
    TooManyOpen { max: i64, retry_after: Duration },
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

impl From<TicketError> for FindError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Ledger(error) => Self::Ledger(error),
            error => Self::Ticket(error),
        }
    }
}

impl Tickets {
    /// The partner's ticket that `request` means: a ticket number or a case number. A ticket with that number comes before a
    /// case with it. `link` bounds it to the link's ticket. Closed tickets are found, too.
    pub async fn find(
        &self,
        partner: &Partner,
        link: Option<&Link>,
        request: &str,
    ) -> Result<String, FindError> {
        let number = self
            .0
            .policy
            .partner(&partner.id)
            .case_number
            .read_request(request)
            .ok_or(FindError::NotANumber)?;
        // Of all links of the partner together: it can make links itself.
        let asker = format!("partner {}", partner.id);
        self.0.check.take_lookup(&asker)?;
        let of_case = self.0.ledger.tickets_of_case(&partner.id, &number).await?;
        let as_ticket = desk::ticket_number(&number);
        if let Some(bound) = link.and_then(|link| link.ticket.as_ref()) {
            let is_bound = as_ticket.as_ref() == Some(bound) || of_case.contains(bound);
            return if is_bound || self.is_case_of(partner, bound, &number).await {
                Ok(bound.clone())
            } else {
                Err(TicketError::Unknown.into())
            };
        }
        let organization = partner.organization_id.ok_or(TicketError::Unknown)?;
        for ticket in as_ticket.into_iter().chain(of_case) {
            match self.0.check.closed(&asker, organization, &ticket).await {
                Ok(_) => return Ok(ticket),
                Err(TicketError::Unknown) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.search(partner, organization, &number).await
    }

    /// Whether the subject of a ticket names this case. A desk that does not answer says nothing.
    async fn is_case_of(&self, partner: &Partner, ticket: &str, number: &str) -> bool {
        match tokio::time::timeout(SEARCH_TIMEOUT, self.0.desk.ticket(ticket)).await {
            Ok(Ok(seen)) => self.case_in_subject(partner, &seen.subject).as_deref() == Some(number),
            _ => false,
        }
    }

    /// The partner's case number in a subject of the form `[Customer] - [case number] - [Subject]`.
    pub fn case_in_subject(&self, partner: &Partner, subject: &str) -> Option<String> {
        self.0.policy.partner(&partner.id).case_number.read(case_number(subject)?)
    }

    /// The latest ticket whose subject names the case. Plain digits stand in many subjects, so they count only in the place of the
    /// case number.
    async fn search(&self, partner: &Partner, organization: i64, number: &str) -> Result<String, FindError> {
        let organization_id = u64::try_from(organization).map_err(|_| TicketError::Unknown)?;
        let search = self.0.desk.search_tickets(organization_id, number);
        let found =
            match tokio::time::timeout(SEARCH_TIMEOUT, search).await.unwrap_or_else(|_| Err(desk_silent())) {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(error = %error, "searching the desk for a case number failed");
                    return Err(TicketError::Unchecked.into());
                }
            };
        let is_word = number.contains(char::is_alphabetic);
        let names_case = |subject: &str| {
            (is_word && has_word(subject, number))
                || self.case_in_subject(partner, subject).as_deref() == Some(number)
        };
        let ticket =
            found.into_iter().filter(|ticket| names_case(&ticket.subject)).max_by_key(|ticket| ticket.id);
        let ticket = ticket.ok_or(TicketError::Unknown)?.id.to_string();
        self.0.ledger.saw_case_number(&partner.id, number, &ticket).await?;
        Ok(ticket)
    }
}

/// Whether the number stands in the text, with nothing around it that could belong to it.
fn has_word(text: &str, number: &str) -> bool {
    let text = text.to_uppercase();
    text.match_indices(number).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + number.len()..).and_then(|text| text.chars().next());
        let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        ends(before) && ends(after)
    })
}

/// The case number in a subject of the form `[Customer] - [case number] - [Subject]`, brackets or none.
fn case_number(subject: &str) -> Option<&str> {
    let mut parts = subject.splitn(3, " - ");
    let (_, number, _) = (parts.next()?, parts.next()?, parts.next()?);
    let number = number.trim();
    Some(number.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(number).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_as_a_word() {
        for (text, number, found) in [
            ("[Initech] - [T123] - Slow", "T123", true),
            ("[Initech] - [t123] - Slow", "T123", true),
            ("[Initech] - [T1234] - Slow", "T123", false),
            ("T1234 and T123", "T123", true),
            ("", "T123", false),
        ] {
            assert_eq!(has_word(text, number), found, "{text}");
        }
    }

    #[test]
    fn a_subject_names_its_case() {
        for (subject, number) in [
            ("[Initech] - [T123] - [Slow]", Some("T123")),
            ("Initech - T123 - Slow - since Monday", Some("T123")),
            ("Slow", None),
            ("Initech - Slow", None),
        ] {
            assert_eq!(case_number(subject), number, "{subject}");
        }
    }
}
