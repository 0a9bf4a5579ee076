//! Files that support asks for on a ticket.

use serde::{Deserialize, Serialize};

use crate::Extra;

/// A file that support asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ask {
    pub id: String,
    /// In support's words.
    #[serde(default)]
    pub wanted: String,
    /// As in the audit, or `desk:ID` for the author of a comment in the desk.
    #[serde(default)]
    pub asked_by: String,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// The upload that is this file; `null` while it is missing.
    pub upload_id: Option<String>,
    /// RFC 3339; `null` while it is missing.
    pub arrived_at: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// What a ticket waits for, and what of it has arrived, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskList {
    pub asks: Vec<Ask>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// What to send, a line each.
    pub wanted: Vec<String>,
}
