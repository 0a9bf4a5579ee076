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

/// The cursor of a list, if it can be one of ours: an ID.
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

pub(crate) fn contact(contact: &ledger::Contact) -> api::Contact {
    api::Contact {
        id: contact.id.clone(),
        partner: contact.partner_id.clone(),
        name: contact.name.clone(),
        email: contact.email.clone(),
        slack_user_id: contact.slack_user_id.clone(),
        created_at: Some(rfc3339(contact.created_at)),
        disabled_at: contact.disabled_at.map(rfc3339),
        extra: api::Extra::default(),
    }
}

/// What the sender of an escalation sees.
pub(crate) fn escalation_status(escalation: &ledger::Escalation, joined: bool) -> api::EscalationStatus {
    api::EscalationStatus {
        id: escalation.id.clone(),
        reference: escalation.reference.clone(),
        ticket: escalation.ticket.clone(),
        state: escalation.state.name().to_owned(),
        reason: escalation.state_reason.clone(),
        joined,
        hints: escalation.hints.clone(),
        extra: api::Extra::default(),
    }
}

/// What support sees, without the files of the ticket.
pub(crate) fn escalation(escalation: &ledger::Escalation) -> api::Escalation {
    api::Escalation {
        id: escalation.id.clone(),
        reference: escalation.reference.clone(),
        partner: escalation.partner_id.clone(),
        ticket: escalation.ticket.clone(),
        state: escalation.state.name().to_owned(),
        state_reason: escalation.state_reason.clone(),
        reason: escalation.reason.clone(),
        actions: escalation.actions.clone(),
        urgency: escalation.urgency.name().to_owned(),
        emergency: escalation.emergency,
        hints: escalation.hints.clone(),
        joined_requests: unsigned(escalation.joined).unwrap_or_default(),
        actor: escalation.actor.clone(),
        created_at: Some(rfc3339(escalation.created_at)),
        updated_at: Some(rfc3339(escalation.updated_at)),
        files: None,
        note: None,
        tag: None,
        extra: api::Extra::default(),
    }
}

pub(crate) fn audit_entry(entry: &ledger::AuditEntry) -> api::AuditEntry {
    api::AuditEntry {
        id: entry.id.clone(),
        at: Some(rfc3339(entry.at)),
        actor: entry.actor.clone(),
        actor_name: entry.actor_name.clone(),
        action: entry.action.clone(),
        subject: entry.subject.clone(),
        ticket: entry.ticket.clone(),
        partner: entry.partner_id.clone(),
        detail: entry.detail.clone(),
        extra: api::Extra::default(),
    }
}

pub(crate) fn ask(ask: &ledger::Ask) -> api::Ask {
    api::Ask {
        id: ask.id.clone(),
        wanted: ask.wanted.clone(),
        asked_by: ask.asked_by.clone(),
        created_at: Some(rfc3339(ask.created_at)),
        upload_id: ask.upload_id.clone(),
        arrived_at: ask.arrived_at.map(rfc3339),
        extra: api::Extra::default(),
    }
}

pub(crate) fn hold(hold: &ledger::Hold) -> api::Hold {
    api::Hold {
        ticket: hold.ticket.clone(),
        reason: hold.reason.clone(),
        created_by: hold.created_by.clone(),
        created_at: Some(rfc3339(hold.created_at)),
        extra: api::Extra::default(),
    }
}
