//! Which of the files that support asks for a file is, if its sender says so. Otherwise its name decides when it has arrived.

use super::request::PartnerRequest;
use crate::problem::{self, Problem};

/// What the address says (`?ask=ID`).
pub(super) fn in_query(request: &PartnerRequest) -> Result<Option<String>, Problem> {
    check(request.query("ask"))
}

/// What a field says: an ID or `none`. Nothing may stand for nothing, as in a form. Whether the ticket waits for it is looked at
/// when the file has arrived: support may withdraw it meanwhile.
pub(super) fn check(said: Option<String>) -> Result<Option<String>, Problem> {
    match said.filter(|text| !text.is_empty()) {
        Some(text) if text != ledger::ASK_NONE && !ledger::is_id(&text) => Err(problem::bad_field(
            "ask",
            "Write the ID of a file that support asks for, as the upload page shows it, or `none`.",
        )),
        said => Ok(said),
    }
}
