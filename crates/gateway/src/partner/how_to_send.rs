//! Refuses a body that cannot be a file, and tells how to send one.

use super::request::PartnerRequest;
use super::ticket;
use crate::headers::resumable;
use crate::http::head::{self, Length};
use crate::problem::Problem;

pub(super) fn check_file(request: &PartnerRequest, length: Length) -> Result<(), Problem> {
    head::check_file(request.version, &request.headers, length, || how_to_send(request))
}

/// [`check_file`] for a request that creates an upload. Only one that ends the file must declare its length.
pub(super) fn check_creation(request: &PartnerRequest) -> Result<(), Problem> {
    let is_whole = resumable::complete(&request.headers)? == Some(true);
    check_file(request, if is_whole { Length::Required } else { Length::Optional })
}

fn how_to_send(request: &PartnerRequest) -> String {
    let user = request.user_option();
    let id = request.upload_id();
    if !id.is_empty() {
        let location = request.location(id);
        return format!(
            "Send the missing bytes and nothing else. HEAD on this address returns the offset N; then run \
             tail -c +$((N + 1)) FILE | curl --fail-with-body {user}-H 'Upload-Offset: N' -T - '{location}'"
        );
    }
    let address = &request.address;
    let (name, query) = match ticket::named(request).filter(|_| request.link.ticket.is_none()) {
        // curl adds no name in front of a query.
        Some(ticket) => ("NAME", format!("?ticket={ticket}")),
        None => ("", String::new()),
    };
    format!(
        "Send the file itself: curl --fail-with-body {user}-T FILE '{address}{name}{query}' Or send the form with POST, \
         without `-X PUT`: curl --fail-with-body {user}-F file=@FILE '{address}{query}'"
    )
}
