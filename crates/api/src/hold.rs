//! Legal holds.

use serde::{Deserialize, Serialize};

use crate::Extra;

/// No file of the ticket is deleted or removed until the hold is lifted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hold {
    pub ticket: String,
    #[serde(default)]
    pub reason: String,
    /// As in the audit.
    #[serde(default)]
    pub created_by: String,
    /// RFC 3339.
    pub created_at: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// Why, a line.
    pub reason: String,
}
