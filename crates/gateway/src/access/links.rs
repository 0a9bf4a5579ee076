//! Makes upload links, for support and for operators. A link is bound only to a ticket that the desk confirms as the
//! partner's. If the desk does not respond, the link is made with a warning.

use std::time::Duration;

use desk::Desk;
use ledger::{Ledger, Link, NewLink, Partner, Right, Token};
use serde_json::{Value, json};

use super::partner_id::is_partner_id;
use super::tickets::{DeskAnswer, ask_desk};

/// Longest life of a link: ten years.
const LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Why a link is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
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
    #[error("`{0}` must be at least 1.")]
    LimitTooSmall(&'static str),
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
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

/// What a link should be. A limit that is none is the configuration's.
pub(crate) struct LinkRequest<'a> {
    pub(crate) partner: &'a str,
    pub(crate) ticket: Option<&'a str>,
    pub(crate) rights: &'a [String],
    pub(crate) expires_in: Option<Duration>,
    pub(crate) max_bytes: Option<i64>,
    pub(crate) max_open: Option<i64>,
    pub(crate) max_unfinished_bytes: Option<i64>,
    pub(crate) max_requests_per_minute: Option<i64>,
}

pub(crate) struct MadeLink {
    pub(crate) link: Link,
    /// Shown only once.
    pub(crate) token: Token,
    /// What could not be checked.
    pub(crate) warning: Option<String>,
}

/// Makes links.
pub(crate) struct LinkMaker<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) desk: &'a Desk,
    pub(crate) default_expiry: Duration,
}

impl LinkMaker<'_> {
    pub(crate) async fn make(
        &self,
        request: &LinkRequest<'_>,
        created_by: &str,
    ) -> Result<MadeLink, LinkError> {
        let partner = self.partner(request.partner).await?;
        let ticket = match request.ticket {
            Some(text) => Some(desk::ticket_number(text).ok_or(LinkError::NoTicketNumber)?),
            None if partner.organization_id.is_none() => return Err(LinkError::TicketNeeded),
            None => None,
        };
        let parse = |name: &String| Right::parse(name).ok_or_else(|| LinkError::UnknownRight(name.clone()));
        let rights = request.rights.iter().map(parse).collect::<Result<_, _>>()?;
        for (name, limit) in [
            ("max_bytes", request.max_bytes),
            ("max_open", request.max_open),
            ("max_unfinished_bytes", request.max_unfinished_bytes),
            ("max_requests_per_minute", request.max_requests_per_minute),
        ] {
            if limit.is_some_and(|limit| limit < 1) {
                return Err(LinkError::LimitTooSmall(name));
            }
        }
        let life = request.expires_in.unwrap_or(self.default_expiry);
        if life.is_zero() || life > LIFE_MAX {
            return Err(LinkError::Life);
        }
        let life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        let warning = match &ticket {
            Some(ticket) => self.check_ticket(&partner, ticket).await?,
            None => None,
        };
        let new = NewLink {
            partner_id: partner.id,
            contact_id: None,
            ticket,
            rights,
            max_bytes: request.max_bytes,
            max_open: request.max_open,
            max_unfinished_bytes: request.max_unfinished_bytes,
            max_requests_per_minute: request.max_requests_per_minute,
            created_by: created_by.to_owned(),
            expires_at: Some(ledger::now_ms().saturating_add(life_ms)),
        };
        let token = Token::random();
        Ok(MadeLink { link: self.ledger.create_link(&token, &new).await?, token, warning })
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
        let (organization, closed) = match ask_desk(self.desk, ticket).await {
            DeskAnswer::Found { organization, closed } => (organization, closed),
            DeskAnswer::NotFound => return Err(LinkError::UnknownTicket(ticket.to_owned())),
            DeskAnswer::Unavailable(why) => {
                return Ok(Some(format!(
                    "Ticket {ticket} was not checked: {why}. The link was made anyway."
                )));
            }
        };
        self.ledger.saw_ticket(ticket, organization, closed).await?;
        if partner.organization_id.is_some() && organization != partner.organization_id {
            return Err(LinkError::OtherPartner { ticket: ticket.to_owned(), partner: partner.id.clone() });
        }
        if closed {
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

/// A link as it is shown, without its token. A limit that is null is the configuration's.
pub(crate) fn describe(link: &Link) -> Value {
    json!({
        "id": link.id,
        "partner": link.partner_id,
        "ticket": link.ticket,
        "rights": link.rights.iter().map(|right| right.name()).collect::<Vec<_>>(),
        "max_bytes": link.max_bytes,
        "max_open": link.max_open,
        "max_unfinished_bytes": link.max_unfinished_bytes,
        "max_requests_per_minute": link.max_requests_per_minute,
        "created_by": link.created_by,
        "created_at": ledger::rfc3339(link.created_at),
        "expires_at": link.expires_at.map(ledger::rfc3339),
        "revoked_at": link.revoked_at.map(ledger::rfc3339),
    })
}
