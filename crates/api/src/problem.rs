//! Problem details (RFC 9457): why a request was refused, and what to do.

use serde::{Deserialize, Serialize};

use crate::Extra;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Stable; programs decide by it.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// Tells a person what to do.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Fields that depend on `type`.
    #[serde(flatten)]
    pub extra: Extra,
}
