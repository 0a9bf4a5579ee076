//! The ticket that a request names, and the one it may use.

use access::TicketError;

use super::request::PartnerRequest;
use crate::problem::Problem;

/// The ticket that the file is for. `in_form` is the ticket field of a form.
pub(super) async fn resolve(request: &PartnerRequest, in_form: Option<&str>) -> Result<String, Problem> {
    let named = in_form.map(str::to_owned).or_else(|| request.query("ticket"));
    let tickets = request.state.tickets.check();
    Ok(tickets.resolve(&request.link, &request.partner, named.as_deref()).await?)
}

fn in_query(request: &PartnerRequest) -> Option<String> {
    request.query("ticket").filter(|text| !text.trim().is_empty())
}

/// The ticket that the request names or its link is bound to, without asking the ledger or the desk.
pub(super) fn named(request: &PartnerRequest) -> Option<String> {
    match (&request.link.ticket, in_query(request)) {
        (bound, None) => bound.clone(),
        (bound, Some(text)) => {
            desk::ticket_number(&text).filter(|number| bound.as_ref().is_none_or(|bound| bound == number))
        }
    }
}

/// [`named`], but a ticket that cannot be the link's is refused.
pub(super) fn expected(request: &PartnerRequest) -> Result<Option<String>, Problem> {
    match named(request) {
        None if in_query(request).is_some() => Err(TicketError::Unknown.into()),
        named => Ok(named),
    }
}
