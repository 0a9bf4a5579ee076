//! The questions of an escalation, for partners, support and hooks.

use ledger::Urgency;
use tickets::{EscalationRequest, NUMBER_HINT, PartnerPolicy};

use crate::fields::Fields;
use crate::problem::Problem;

/// Whether the ticket must be named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbered<'a> {
    Required,
    /// The ticket that counts if none is named.
    Default(&'a str),
}

pub(crate) fn read(
    mut fields: Fields,
    policy: &PartnerPolicy,
    numbered: Numbered<'_>,
) -> Result<EscalationRequest, Problem> {
    let request = match numbered {
        Numbered::Required => fields.line("request", NUMBER_HINT),
        Numbered::Default(ticket) => fields.optional_line("request").unwrap_or_else(|| ticket.to_owned()),
    };
    if !request.is_empty() && policy.case_number.read_request(&request).is_none() {
        fields.wrong("request", NUMBER_HINT);
    }
    let reason = fields.text("reason", "Write why the ticket needs attention now.");
    let actions = fields.text("actions", "Write what you want to happen.");
    let urgency = fields.optional_line("urgency");
    let parsed = urgency.as_deref().map_or(Some(Urgency::TwoHours), Urgency::parse);
    if parsed.is_none() {
        fields.wrong("urgency", "Write `2h`, `1h` or `30m`.");
    }
    let emergency = fields.boolean("emergency").unwrap_or_default();
    fields.finish()?;
    Ok(EscalationRequest {
        request,
        reason,
        actions,
        urgency: parsed.unwrap_or(Urgency::TwoHours),
        emergency,
    })
}
