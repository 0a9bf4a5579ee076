//! Partners, and the objects in their buckets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Extra;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Partner {
    pub id: String,
    #[serde(default)]
    pub name: String,
    /// The desk's ID of the partner's organisation.
    pub organization_id: Option<i64>,
    /// Whether the partner has a bucket of its own.
    #[serde(default)]
    pub bucket: bool,
    /// RFC 3339.
    pub disabled_at: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// A partner with its organisation's notes in the desk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartnerDetails {
    pub notes: Option<String>,
    pub details: Option<String>,
    /// The organisation's custom fields in the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Value>,
    /// When the desk said so, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_at: Option<String>,
    /// Why the notes are missing or old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_problem: Option<String>,
    /// The operator's own notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_notes: Option<String>,
    #[serde(flatten)]
    pub partner: Partner,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartnerList {
    pub partners: Vec<Partner>,
}

/// An object in a partner's bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BucketObject {
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// RFC 3339.
    pub last_modified: Option<String>,
    pub upload_id: Option<String>,
    /// The partner put it there with its own tools, so there is no receipt, and nobody has read it yet.
    #[serde(default)]
    pub unverified: bool,
    /// Lower-case hex: of an upload, or of an object of the partner's own that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When an object of the partner's own was read, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// Why an object of the partner's own could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectPage {
    pub objects: Vec<BucketObject>,
    pub next_cursor: Option<String>,
}
