//! The audit: who did what to which thing, and when.

use serde::{Deserialize, Serialize};

use crate::Extra;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Sorts by time.
    pub id: String,
    /// RFC 3339.
    pub at: Option<String>,
    /// `link:ID`, `staff:ID`, `operator` or `gateway`.
    #[serde(default)]
    pub actor: String,
    /// The name of the staff token, if the actor is staff.
    pub actor_name: Option<String>,
    /// Such as `upload.complete`.
    #[serde(default)]
    pub action: String,
    /// What it was done to: an ID, a ticket, or a partner's short name.
    #[serde(default)]
    pub subject: String,
    pub ticket: Option<String>,
    pub partner: Option<String>,
    #[serde(default)]
    pub detail: String,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
}
