//! Rows of the ledger as types of the JSON interface.

use ledger::{State, Upload, rfc3339};

use crate::problem::{self, Problem};

/// The receipt. Only an unfinished upload has a state, an offset and a length; it has neither size nor digest.
pub(crate) fn receipt(upload: &Upload) -> api::Receipt {
    let mut receipt = delivery::receipt(upload);
    if upload.state != State::Complete {
        receipt.size = None;
        receipt.sha256 = None;
        receipt.progress = Some(api::Progress {
            state: upload.state.name().to_owned(),
            offset: unsigned(upload.offset).unwrap_or_default(),
            length: upload.length.and_then(unsigned),
        });
    }
    receipt
}

/// A link, without its token.
pub(crate) fn link(link: &ledger::Link) -> api::Link {
    api::Link {
        id: link.id.clone(),
        partner: Some(link.partner_id.clone()),
        ticket: link.ticket.clone(),
        rights: link.rights.iter().map(|right| right.name().to_owned()).collect(),
        max_bytes: link.max_bytes.and_then(unsigned),
        max_open: link.max_open.and_then(unsigned),
        max_unfinished_bytes: link.max_unfinished_bytes.and_then(unsigned),
        max_requests_per_minute: link.max_requests_per_minute.and_then(unsigned),
        created_by: Some(link.created_by.clone()),
        created_at: Some(rfc3339(link.created_at)),
        expires_at: link.expires_at.map(rfc3339),
        revoked_at: link.revoked_at.map(rfc3339),
        extra: api::Extra::default(),
    }
}

pub(crate) fn partner(partner: &ledger::Partner, has_own_bucket: bool) -> api::Partner {
    api::Partner {
        id: partner.id.clone(),
        name: partner.name.clone(),
        organization_id: partner.organization_id,
        bucket: has_own_bucket,
        disabled_at: partner.disabled_at.map(rfc3339),
        extra: api::Extra::default(),
    }
}

/// No count or size in the ledger is negative.
fn unsigned(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

/// Uploads on one page of a list.
pub(crate) const PAGE_UPLOADS: i64 = 200;

/// The cursor of a list, if it can be one of ours: the id of an upload.
pub(crate) fn page_cursor(text: &str) -> Result<String, Problem> {
    let why = "`cursor` is not from this list. Use `next_cursor` of the page before, or leave it out.";
    if ledger::is_id(text) { Ok(text.to_owned()) } else { Err(problem::bad_request(why)) }
}

/// Receipts, and the cursor of the next page if there may be one.
pub(crate) fn page(uploads: &[Upload]) -> api::UploadPage {
    let is_full = i64::try_from(uploads.len()).is_ok_and(|count| count >= PAGE_UPLOADS);
    let next_cursor = uploads.last().filter(|_| is_full).map(|upload| upload.id.clone());
    api::UploadPage { uploads: uploads.iter().map(receipt).collect(), next_cursor }
}
