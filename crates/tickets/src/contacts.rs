//! Who may open tickets for a partner: a contact here, who is a user of the partner's organisation in the desk.
//! Invariant: membership in the desk decides, never the domain of an address.

use std::time::Duration;

use ledger::{Contact, Partner};

use crate::Tickets;

/// How long a request waits for the desk.
const DESK_TIMEOUT: Duration = Duration::from_secs(10);

/// What an operator still has to arrange for a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The partner has no such contact here.
    Contact,
    /// The partner has no organisation in the desk.
    Organization,
    /// The desk has no such user, or it is suspended.
    User,
    /// The user is not a member of the partner's organisation.
    Membership,
}

/// Why nobody knows whether a contact is arranged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(transparent)]
    Desk(#[from] desk::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

pub(crate) enum Arranged {
    /// The desk's ID of the user.
    Yes(Contact, u64),
    No(Missing),
}

impl Tickets {
    /// Whether this person's account is arranged, here and in the desk.
    ///
    /// # Errors
    /// The desk's, if it does not answer.
    pub(crate) async fn arranged(&self, partner: &Partner, email: &str) -> Result<Arranged, Unknown> {
        let Some(contact) = self.0.ledger.contact_by_email(&partner.id, email).await? else {
            return Ok(Arranged::No(Missing::Contact));
        };
        Ok(match self.desk_user(partner, &contact).await? {
            Ok(user) => Arranged::Yes(contact, user),
            Err(missing) => Arranged::No(missing),
        })
    }

    async fn desk_user(
        &self,
        partner: &Partner,
        contact: &Contact,
    ) -> Result<Result<u64, Missing>, desk::Error> {
        let Some(organization) = partner.organization_id.and_then(|id| u64::try_from(id).ok()) else {
            return Ok(Err(Missing::Organization));
        };
        let ask = async {
            let desk = &self.0.desk;
            let mut found = Err(Missing::User);
            for user in desk.users_by_email(&contact.email).await?.into_iter().filter(|user| !user.suspended)
            {
                if desk.user_organizations(user.id).await?.contains(&organization) {
                    return Ok(Ok(user.id));
                }
                found = Err(Missing::Membership);
            }
            Ok(found)
        };
        tokio::time::timeout(DESK_TIMEOUT, ask).await.unwrap_or_else(|_| Err(desk_silent()))
    }

    /// What is missing before this contact can open a ticket, for an operator.
    ///
    /// # Errors
    /// The desk's, if it does not answer.
    pub async fn missing(
        &self,
        partner: &Partner,
        contact: &Contact,
    ) -> Result<Option<Missing>, desk::Error> {
        Ok(self.desk_user(partner, contact).await?.err())
    }
}

pub(crate) fn desk_silent() -> desk::Error {
    desk::Error::Unavailable { retry_after: None, source: "the desk does not respond".into() }
}

/// Whether a text can be an e-mail address: one `@` with something on both sides, and no blanks or quotes.
pub fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '<' | '>' | ',' | ';');
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && text.chars().all(plain)
    })
}
