//! Which ticket a file is for, and whether that ticket is the partner's. A link bound to a ticket never asks the desk; other
//! links ask it, unless the ledger knows the ticket.
//! Invariant: a missing ticket and another partner's give the same answer, in the same time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use desk::Desk;
use ledger::{Ledger, Link, Partner};

use crate::desk_ticket::ask;
use crate::rate_limit::RateLimiter;

/// What the desk said about a ticket counts for this long without asking again.
const FRESH_MS: i64 = 5 * 60 * 1000;
/// How long a request waits for the desk.
const DESK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a file cannot be sent for a ticket.
#[derive(Debug)]
pub enum TicketError {
    /// The link is not bound to a ticket, and the request names none.
    Required,
    Unknown,
    /// The link is bound to this ticket, and the request names another.
    BoundTo(String),
    Closed(String),
    TooMany {
        per_minute: u32,
        retry_after: Duration,
    },
    /// The desk does not respond, and the ledger does not know the ticket.
    Unchecked,
    Ledger(ledger::Error),
}

impl From<ledger::Error> for TicketError {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

/// Checks tickets for partners.
pub struct TicketCheck {
    ledger: Ledger,
    desk: Desk,
    /// Tickets that each link may have checked.
    lookups: RateLimiter,
    lookups_per_minute: u32,
    absent: AbsentTickets,
}

impl TicketCheck {
    pub fn new(ledger: Ledger, desk: Desk, lookups_per_minute: u32) -> Self {
        let (lookups, absent) = (RateLimiter::default(), AbsentTickets::default());
        Self { ledger, desk, lookups, lookups_per_minute, absent }
    }

    /// The ticket that a file is for. `named` is the ticket that the request names.
    pub async fn resolve(
        &self,
        link: &Link,
        partner: &Partner,
        named: Option<&str>,
    ) -> Result<String, TicketError> {
        let bound_to = || link.ticket.clone().map_or(TicketError::Unknown, TicketError::BoundTo);
        let named = match named.filter(|text| !text.trim().is_empty()) {
            Some(text) => Some(desk::ticket_number(text).ok_or_else(bound_to)?),
            None => None,
        };
        match (&link.ticket, named) {
            (Some(bound), named) if named.as_ref().is_none_or(|named| named == bound) => {
                match self.ledger.ticket(bound).await? {
                    // It was moved to another organisation, and people there may read the link.
                    Some(ticket) if is_others(&ticket, partner) => Err(TicketError::Unknown),
                    Some(ticket) if ticket.closed => Err(TicketError::Closed(bound.clone())),
                    _ => Ok(bound.clone()),
                }
            }
            (Some(_), _) => Err(bound_to()),
            (None, None) => Err(TicketError::Required),
            (None, Some(ticket)) => {
                // A partner without an organisation owns no ticket that it could name.
                let organization = partner.organization_id.ok_or(TicketError::Unknown)?;
                match self.closed(&link.id, organization, &ticket).await? {
                    true => Err(TicketError::Closed(ticket)),
                    false => Ok(ticket),
                }
            }
        }
    }

    /// Counts a look-up in the desk. `asker` is whose look-ups are counted.
    pub fn take_lookup(&self, asker: &str) -> Result<(), TicketError> {
        let per_minute = self.lookups_per_minute;
        let taken = self.lookups.take(asker, per_minute);
        taken.map_err(|retry_after| TicketError::TooMany { per_minute, retry_after })
    }

    /// Whether the organisation's ticket is closed. `asker` is whose look-ups are counted: a link, for example.
    pub async fn closed(&self, asker: &str, organization: i64, ticket: &str) -> Result<bool, TicketError> {
        // What the ledger knows about another organisation's ticket is ignored, so that it looks like a missing one.
        let known = self.ledger.ticket(ticket).await?;
        let known = known.filter(|known| known.checked_at > 0 && known.organization_id == Some(organization));
        if let Some(known) = &known
            && ledger::now_ms() - known.checked_at < FRESH_MS
        {
            return Ok(known.closed);
        }
        let taken = self.lookups.take(asker, self.lookups_per_minute);
        let per_minute = self.lookups_per_minute;
        taken.map_err(|retry_after| TicketError::TooMany { per_minute, retry_after })?;
        if self.absent.contains(organization, ticket) {
            return Err(TicketError::Unknown);
        }
        match ask(&self.desk, ticket, DESK_TIMEOUT).await {
            Ok(Some(found)) if found.organization == Some(organization) => {
                self.ledger.saw_ticket(ticket, found.organization, found.closed).await?;
                Ok(found.closed)
            }
            Ok(_) => {
                self.absent.insert(organization, ticket);
                // Recorded only for a ticket that was theirs before: otherwise the extra write would show in the time.
                if known.is_some() {
                    self.ledger.saw_ticket(ticket, None, false).await?;
                }
                Err(TicketError::Unknown)
            }
            Err(_) => known.map(|known| known.closed).ok_or(TicketError::Unchecked),
        }
    }
}

/// Whether the desk said that the ticket belongs to an organisation that is not this partner's.
fn is_others(ticket: &ledger::Ticket, partner: &Partner) -> bool {
    let owners = ticket.organization_id.filter(|_| ticket.checked_at > 0).zip(partner.organization_id);
    owners.is_some_and(|(owner, partner)| owner != partner)
}

/// Tickets that the desk just denied an organisation, so that a loop does not ask it again and again. Whether a ticket is
/// missing or another organisation's makes no difference here.
#[derive(Debug, Default)]
struct AbsentTickets(Mutex<HashMap<(i64, String), Instant>>);

/// A ticket that was just opened can be named after this long at most.
const ABSENT_FOR: Duration = Duration::from_secs(30);
const ABSENT_MAX: usize = 10_000;

impl AbsentTickets {
    fn insert(&self, organization: i64, ticket: &str) {
        let now = Instant::now();
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= ABSENT_MAX {
            until.retain(|_, at| *at > now);
        }
        if until.len() < ABSENT_MAX {
            until.insert((organization, ticket.to_owned()), now + ABSENT_FOR);
        }
    }

    fn contains(&self, organization: i64, ticket: &str) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&(organization, ticket.to_owned())).is_some_and(|at| *at > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_absent_tickets_is_bounded() {
        let absent = AbsentTickets::default();
        (0..ABSENT_MAX + 10).for_each(|n| absent.insert(7, &n.to_string()));
        assert_eq!(absent.0.lock().unwrap().len(), ABSENT_MAX);
        assert!(absent.contains(7, "0") && !absent.contains(7, "x") && !absent.contains(8, "0"));
    }
}
