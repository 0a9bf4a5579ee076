//! Escalations: requests that support look at a ticket now.

use serde::{Deserialize, Serialize};

use crate::{Extra, Receipt};

/// What the sender of an escalation sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EscalationStatus {
    pub id: String,
    /// What people call it.
    pub reference: String,
    pub ticket: String,
    /// `submitted`, `acknowledged`, `resolved` or `declined`.
    pub state: String,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ticket was escalated before, and this request joined that escalation.
    #[serde(default)]
    pub joined: bool,
    /// What may delay an answer.
    #[serde(default)]
    pub hints: Vec<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// What support sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Escalation {
    pub id: String,
    #[serde(default)]
    pub reference: String,
    #[serde(default)]
    pub partner: String,
    #[serde(default)]
    pub ticket: String,
    #[serde(default)]
    pub state: String,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// Why the partner escalates: its own words, so do not trust them on a terminal.
    #[serde(default)]
    pub reason: String,
    /// What the partner wants to happen: its own words.
    #[serde(default)]
    pub actions: String,
    /// `2h`, `1h` or `30m`.
    #[serde(default)]
    pub urgency: String,
    #[serde(default)]
    pub emergency: bool,
    #[serde(default)]
    pub hints: Vec<String>,
    /// How often the same ticket was escalated again.
    #[serde(default)]
    pub joined_requests: u64,
    /// Who sent it, as in the audit.
    #[serde(default)]
    pub actor: String,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339.
    pub updated_at: Option<String>,
    /// `written`, `closed`, `gone` or `refused` once the ticket has its note or never will; only of a single escalation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `tagged`, `closed`, `gone` or `refused` once the ticket has its tag or never will; only of a single escalation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The ticket's files; only of a single escalation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<EscalationFiles>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// The files of an escalated ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EscalationFiles {
    /// Support made a link for the ticket or asked for files on it, so it waits for files.
    pub asked_for: bool,
    /// What support asked for and has not arrived; left out if that is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    pub arrived: Vec<Receipt>,
    /// Announced, and not complete.
    pub unfinished: Vec<Receipt>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EscalationList {
    pub escalations: Vec<Escalation>,
}
