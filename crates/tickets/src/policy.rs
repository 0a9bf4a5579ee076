//! What the operator has decided about partners and support. From the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::hours::Hours;
use crate::request_number::CasePattern;
use crate::retention::{Retention, RetentionOverride};

/// The form of partner tickets, unless the configuration names another.
const PARTNER_FORM: u64 = 360_001_172_559;

/// Everything that the operator has decided.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// By short name. A partner that is not here has the defaults.
    pub partners: BTreeMap<String, PartnerPolicy>,
    pub support: Support,
    /// None: files are kept for ever.
    pub retention: Option<Retention>,
    /// How long before its end a ticket is told that files will be deleted although it is open.
    pub warn_before: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct PartnerPolicy {
    /// Name and address of whom a person asks who is not a contact yet.
    pub ask: Option<String>,
    /// The operator's own notes, for support.
    pub notes_file: Option<PathBuf>,
    /// The ID of the Slack channel that is shared with the partner.
    pub slack_channel: Option<String>,
    pub case_number: CasePattern,
    /// Subscriptions that are not for resale: a new ticket must say that it is not about them.
    pub nfr_only: Option<String>,
    pub retention: RetentionOverride,
}

#[derive(Debug, Clone)]
pub struct Support {
    /// Whom to ask, where the partner has nobody.
    pub ask: Option<String>,
    /// What to read about software that is not for resale.
    pub nfr_page: Option<String>,
    /// Where a partner opens tickets with the right form; the desk's own page if it is not given.
    pub form_page: Option<String>,
    /// The ID of the Slack channel of support's leaders.
    pub leaders_channel: Option<String>,
    /// None: always.
    pub hours: Option<Hours>,
    pub ticket_form_id: u64,
}

impl Default for Support {
    fn default() -> Self {
        Self {
            ask: None,
            nfr_page: None,
            form_page: None,
            leaders_channel: None,
            hours: None,
            ticket_form_id: PARTNER_FORM,
        }
    }
}

impl Policy {
    pub fn partner(&self, id: &str) -> PartnerPolicy {
        self.partners.get(id).cloned().unwrap_or_default()
    }

    /// How long files of this partner are kept; none for ever.
    pub fn retention_of(&self, partner_id: &str) -> Option<Retention> {
        let own = self.partners.get(partner_id).map(|partner| partner.retention).unwrap_or_default();
        self.retention.map(|retention| retention.with(own))
    }

    /// Whom a person of this partner asks for access. Never empty.
    pub fn whom_to_ask(&self, partner_id: &str) -> String {
        let own = self.partners.get(partner_id).and_then(|partner| partner.ask.clone());
        own.or_else(|| self.support.ask.clone())
            .unwrap_or_else(|| "your customer success manager, account executive or sales contact".to_owned())
    }

    /// The partner whose Slack channel this is. The channel decides, never a user's workspace.
    pub fn partner_of_channel(&self, channel: &str) -> Option<&str> {
        let mut partners = self.partners.iter();
        let found = partners.find(|(_, partner)| partner.slack_channel.as_deref() == Some(channel));
        found.map(|(id, _)| id.as_str())
    }
}
