//! Software that is not for resale gets no support: whatever says that it is about such software is refused before any byte.

use super::request::PartnerRequest;
use crate::fields::as_boolean;
use crate::problem::{self, Problem};

/// Refuses a request that says so in its address (`?nfr=true`).
pub(super) fn check_query(request: &PartnerRequest) -> Result<(), Problem> {
    check(request, request.query("nfr").as_deref())
}

/// Refuses what a field says.
pub(super) fn check(request: &PartnerRequest, said: Option<&str>) -> Result<(), Problem> {
    match said.map(as_boolean) {
        None | Some(Some(false)) => Ok(()),
        Some(Some(true)) => Err(refusal(request)),
        Some(None) => Err(problem::bad_field("nfr", "Write `true` or `false`.")),
    }
}

pub(super) fn refusal(request: &PartnerRequest) -> Problem {
    problem::nfr_not_supported(request.state.tickets.policy().support.nfr_page.as_deref())
}
