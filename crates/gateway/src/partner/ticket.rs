//! For which ticket a file is. A bound link never asks the desk; an unbound one asks it unless the ledger knows.
//! A ticket that does not exist and one of another partner are the same answer.

use std::time::Duration;

use super::Asking;
use crate::app::App;
use crate::problem::{self, Problem};

/// What the desk said of a ticket is good for this long while the desk answers.
const FRESH_MS: i64 = 5 * 60 * 1000;
/// How long a request waits for the desk before it goes by what is known.
const DESK_WAIT: Duration = Duration::from_secs(10);

/// The ticket this request is for, if it may be. `named` is what the form says, for links that are not bound.
pub(crate) async fn resolve(asking: &Asking, named: Option<&str>) -> Result<String, Problem> {
    let named = match named
        .map(str::to_owned)
        .or_else(|| asking.query("ticket"))
        .filter(|text| !text.trim().is_empty())
    {
        Some(text) => Some(desk::ticket_number(&text).ok_or_else(|| not_this_link(asking))?),
        None => None,
    };
    match (&asking.link.ticket, named) {
        (Some(bound), named) if named.as_ref().is_none_or(|named| named == bound) => {
            match asking.app.ledger.ticket(bound).await? {
                Some(ticket) if ticket.closed => Err(problem::ticket_closed(bound)),
                _ => Ok(bound.clone()),
            }
        }
        (Some(_), _) => Err(not_this_link(asking)),
        (None, None) => Err(problem::ticket_required()),
        (None, Some(ticket)) => unbound(asking, ticket).await,
    }
}

/// The same for every ticket that is not this link's, whether it exists or not.
fn not_this_link(asking: &Asking) -> Problem {
    match &asking.link.ticket {
        Some(bound) => {
            problem::unknown_ticket().next(&format!("This link is for ticket {bound}: leave `ticket` out."))
        }
        None => problem::unknown_ticket(),
    }
}

/// The ticket that the request names, or that its link is bound to, as far as that can be said without asking anybody.
pub(super) fn named(asking: &Asking) -> Option<String> {
    let named = asking.query("ticket").filter(|text| !text.trim().is_empty());
    match (&asking.link.ticket, named) {
        (Some(bound), None) => Some(bound.clone()),
        (bound, Some(text)) => {
            let number = desk::ticket_number(&text)?;
            bound.as_ref().is_none_or(|bound| *bound == number).then_some(number)
        }
        (None, None) => None,
    }
}

/// The same, where a ticket that cannot be the link's is refused.
pub(super) fn meant(asking: &Asking) -> Result<Option<String>, Problem> {
    let said = asking.query("ticket").is_some_and(|text| !text.trim().is_empty());
    match named(asking) {
        None if said => Err(problem::unknown_ticket()),
        named => Ok(named),
    }
}

/// The desk does not know the ticket as this organisation's. Whether it is another's or nobody's makes no difference, nor does
/// it to how long this takes: only of one that was theirs is there something to write down.
async fn not_ours(app: &App, organization: i64, ticket: &str, was_theirs: bool) -> Problem {
    app.absent.note(organization, ticket);
    if was_theirs && let Err(error) = app.ledger.saw_ticket(ticket, None, false).await {
        return error.into();
    }
    problem::unknown_ticket()
}

async fn unbound(asking: &Asking, ticket: String) -> Result<String, Problem> {
    let app = &asking.app;
    // A partner without an organisation in the desk owns no ticket that could be named.
    let Some(organization) = asking.partner.organization_id else { return Err(problem::unknown_ticket()) };
    // What is known of another's ticket is passed over: it must look as one that nobody knows, with the desk and without,
    // to the end of the budget.
    let known = app.ledger.ticket(&ticket).await?;
    let known = known.filter(|known| known.checked_at > 0 && known.organization_id == Some(organization));
    let fresh = known.as_ref().is_some_and(|known| ledger::now_ms() - known.checked_at < FRESH_MS);
    if !fresh {
        let per_minute = app.limits.link_ticket_lookups_per_minute;
        let taken = app.lookups.take(&asking.link.id, per_minute);
        taken.map_err(|wait| problem::too_many_tickets(per_minute, wait))?;
    }
    let seen = if fresh {
        None
    } else if app.absent.holds(organization, &ticket) {
        return Err(problem::unknown_ticket());
    } else {
        match tokio::time::timeout(DESK_WAIT, app.desk.ticket(&ticket)).await {
            Ok(Ok(found)) => {
                let owner = found.organization_id.and_then(|id| i64::try_from(id).ok());
                let closed = found.status == desk::Status::Closed;
                if owner != Some(organization) {
                    return Err(not_ours(app, organization, &ticket, known.is_some()).await);
                }
                app.ledger.saw_ticket(&ticket, owner, closed).await?;
                Some(closed)
            }
            Ok(Err(desk::Error::NotFound)) => {
                return Err(not_ours(app, organization, &ticket, known.is_some()).await);
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "ask the desk for a ticket");
                None
            }
            Err(_) => None,
        }
    };
    match seen.or(known.map(|known| known.closed)) {
        None => Err(problem::unavailable("The ticket cannot be checked just now.", problem::RETRY_SOON)),
        Some(true) => Err(problem::ticket_closed(&ticket)),
        Some(false) => Ok(ticket),
    }
}
