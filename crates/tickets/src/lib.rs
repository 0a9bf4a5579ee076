//! Partners' tickets: who may open one, which one a case number means, and escalations. No HTTP and no SQL.
//! Invariant: a partner learns nothing about tickets of others, and nothing of what the desk notes about its organisation.

mod contacts;
mod escalate;
mod find;
mod hours;
mod incoming;
mod notes;
mod open;
mod policy;
mod request_number;
mod retention;
mod text;

use std::sync::Arc;

use access::TicketCheck;
use desk::Desk;
use ledger::Ledger;

pub use contacts::{Missing, is_email};
pub use escalate::{Escalated, EscalationRequest, TicketFiles};
pub use find::FindError;
pub use hours::Hours;
pub use incoming::IncomingEscalation;
pub use notes::Notes;
pub use open::{OpenError, Opened, TicketRequest, is_opened_here};
pub use policy::{PartnerPolicy, Policy, Support};
pub use request_number::{CasePattern, NUMBER_HINT};
pub use retention::{Retention, RetentionOverride};
pub use text::{is_unprintable, visible};

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Tickets(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    desk: Desk,
    check: Arc<TicketCheck>,
    policy: Policy,
}

impl Tickets {
    pub fn new(ledger: Ledger, desk: Desk, check: Arc<TicketCheck>, policy: Policy) -> Self {
        Self(Arc::new(Shared { ledger, desk, check, policy }))
    }

    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub fn check(&self) -> &TicketCheck {
        &self.0.check
    }
}
