//! Makes upload links, for support and for operators. A link is bound only to a ticket that the desk confirms as the
//! partner's. If the desk does not respond, the link is made with a warning.

use std::time::Duration;

use api::LinkRequest;
use desk::Desk;
use ledger::{Ledger, Link, NewLink, Partner, Right, Token};

use crate::desk_ticket::ask;
use crate::partner_id::is_partner_id;

/// Longest life of a link: ten years.
const LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// How long to wait for the desk.
const DESK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a link is not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("No partner is called `{}`. List the partners to find its short name.", .0.escape_debug())]
    UnknownPartner(String),
    #[error("`ticket` must be the number of a ticket, digits only.")]
    NoTicketNumber,
    #[error(
        "This partner has no organisation in the desk, so its tickets cannot be checked. Name a ticket, or set the partner's \
         organization_id."
    )]
    TicketNeeded,
    #[error("`{}` is not a right. Use one of {}.", .0.escape_debug(), Right::ALL.map(Right::name).join(", "))]
    UnknownRight(String),
    #[error("`{0}` must be at least 1, and less than 2^63.")]
    Limit(&'static str),
    #[error("A link must work for at least a second and at most ten years.")]
    Life,
    #[error("The desk has no ticket {0}. Check the number.")]
    UnknownTicket(String),
    #[error(
        "Ticket {ticket} does not belong to the organisation of partner `{partner}`. Check the number and the partner."
    )]
    OtherPartner { ticket: String, partner: String },
    #[error("Ticket {0} is closed. Open a follow-up ticket and make the link for that.")]
    TicketClosed(String),
    #[error("The link was revoked, so it cannot be renewed. Make a new one.")]
    Revoked,
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

pub struct MadeLink {
    pub link: Link,
    /// Shown only once.
    pub token: Token,
    /// What could not be checked.
    pub warning: Option<String>,
}

/// Makes links.
pub struct LinkMaker<'a> {
    pub ledger: &'a Ledger,
    pub desk: &'a Desk,
    pub default_expiry: Duration,
}

impl LinkMaker<'_> {
    pub async fn make(&self, request: &LinkRequest, created_by: &str) -> Result<MadeLink, LinkError> {
        let partner = self.partner(&request.partner).await?;
        let ticket = match &request.ticket {
            Some(text) => Some(desk::ticket_number(text).ok_or(LinkError::NoTicketNumber)?),
            None if partner.organization_id.is_none() => return Err(LinkError::TicketNeeded),
            None => None,
        };
        let parse = |name: &String| Right::parse(name).ok_or_else(|| LinkError::UnknownRight(name.clone()));
        let rights = request.rights.iter().map(parse).collect::<Result<_, _>>()?;
        let expires_at = self.expires_at(request.expires_in_s)?;
        let new = NewLink {
            partner_id: partner.id.clone(),
            contact_id: None,
            parent_id: None,
            ticket,
            rights,
            max_bytes: limit("max_bytes", request.max_bytes)?,
            max_open: limit("max_open", request.max_open)?,
            max_unfinished_bytes: limit("max_unfinished_bytes", request.max_unfinished_bytes)?,
            max_requests_per_minute: limit("max_requests_per_minute", request.max_requests_per_minute)?,
            created_by: created_by.to_owned(),
            expires_at: Some(expires_at),
        };
        let warning = match &new.ticket {
            Some(ticket) => self.check_ticket(&partner, ticket).await?,
            None => None,
        };
        let token = Token::random();
        Ok(MadeLink { link: self.ledger.create_link(&token, &new).await?, token, warning })
    }

    /// Lets a link work for another life from now. Its address stays the same.
    ///
    /// # Errors
    /// [`ledger::Error::NotFound`] as [`LinkError::Ledger`].
    pub async fn renew(&self, id: &str, expires_in_s: Option<u64>, actor: &str) -> Result<Link, LinkError> {
        let expires_at = self.expires_at(expires_in_s)?;
        let link = self.ledger.link(id).await?;
        if let Some(ticket) = &link.ticket {
            let partner = self.ledger.partner(&link.partner_id).await?;
            self.check_ticket(&partner, ticket).await?;
        }
        // It ends with the link that it was made with.
        let expires_at = match &link.parent_id {
            Some(parent) => {
                self.ledger.link(parent).await?.expires_at.map_or(expires_at, |end| end.min(expires_at))
            }
            None => expires_at,
        };
        match self.ledger.renew_link(id, expires_at, actor).await {
            Err(ledger::Error::Conflict(_)) => Err(LinkError::Revoked),
            renewed => Ok(renewed?),
        }
    }

    /// The end of a life that begins now, ms.
    fn expires_at(&self, life_s: Option<u64>) -> Result<i64, LinkError> {
        let life = life_s.map_or(self.default_expiry, Duration::from_secs);
        if life.is_zero() || life > LIFE_MAX {
            return Err(LinkError::Life);
        }
        Ok(ledger::now_ms().saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)))
    }

    async fn partner(&self, id: &str) -> Result<Partner, LinkError> {
        let unknown = || LinkError::UnknownPartner(id.to_owned());
        if !is_partner_id(id) {
            return Err(unknown());
        }
        match self.ledger.partner(id).await {
            Err(ledger::Error::NotFound) => Err(unknown()),
            found => Ok(found?),
        }
    }

    /// Refuses a ticket that is closed, missing or another partner's. Returns what could not be checked.
    async fn check_ticket(&self, partner: &Partner, ticket: &str) -> Result<Option<String>, LinkError> {
        let found = match ask(self.desk, ticket, DESK_TIMEOUT).await {
            Ok(found) => found.ok_or_else(|| LinkError::UnknownTicket(ticket.to_owned()))?,
            Err(no_answer) => {
                let why = no_answer.why;
                return Ok(Some(format!(
                    "Ticket {ticket} was not checked: {why}. The link was made anyway."
                )));
            }
        };
        self.ledger.saw_ticket(ticket, found.organization, found.closed).await?;
        if partner.organization_id.is_some() && found.organization != partner.organization_id {
            return Err(LinkError::OtherPartner { ticket: ticket.to_owned(), partner: partner.id.clone() });
        }
        if found.closed {
            return Err(LinkError::TicketClosed(ticket.to_owned()));
        }
        Ok(partner.organization_id.is_none().then(|| {
            let id = &partner.id;
            format!(
                "Partner `{id}` has no organization_id, so nothing confirms that ticket {ticket} is its own."
            )
        }))
    }
}

/// A limit as the ledger keeps it.
fn limit(name: &'static str, limit: Option<u64>) -> Result<Option<i64>, LinkError> {
    let in_ledger =
        |limit| i64::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(LinkError::Limit(name));
    limit.map(in_ledger).transpose()
}
