//! Problem details (RFC 9457): why a request was refused, and what to do.

use serde::{Deserialize, Serialize};

use crate::Extra;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Problem {
    /// Stable; programs decide by it.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub kind: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub title: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status: u16,
    /// Tells a person what to do.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Fields that depend on `type`.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}
