//! Upload links, as support creates, lists and revokes them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Extra;

/// A link, without its secret URL. A limit of `null` is the gateway's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    pub id: String,
    pub partner: Option<String>,
    /// `null` if the link works for any ticket of the partner.
    pub ticket: Option<String>,
    #[serde(default)]
    pub rights: Vec<String>,
    pub max_bytes: Option<u64>,
    pub max_open: Option<u64>,
    pub max_unfinished_bytes: Option<u64>,
    pub max_requests_per_minute: Option<u64>,
    pub created_by: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// RFC 3339.
    pub revoked_at: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// The answer to a request for a link, the only one with the URL. Anyone who has the URL can send files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedLink {
    pub url: String,
    /// What could not be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    #[serde(flatten)]
    pub link: Link,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkList {
    pub links: Vec<Link>,
}

/// A link to create. The gateway's defaults count for what is `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    pub partner: String,
    /// A number is accepted, too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text_or_number")]
    pub ticket: Option<String>,
    #[serde(default)]
    pub rights: Vec<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Open uploads at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open: Option<u64>,
    /// Total bytes of uploads that are not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unfinished_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests_per_minute: Option<u64>,
}

/// How long a link shall work from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkExpiry {
    /// Seconds; the gateway's default if it is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// A new link is posted on a ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkRenewal {
    pub ticket: String,
    /// It was asked for before, and no other is posted.
    #[serde(default)]
    pub repeated: bool,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// What a sender wrote for support. It will be on the ticket in a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentNote {
    pub id: String,
    pub ticket: String,
    /// The same text was sent before, and no other note is written.
    #[serde(default)]
    pub repeated: bool,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// What a link allows, as `OPTIONS` answers before a byte is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkLimits {
    /// Bytes of a file.
    pub max_size: u64,
    /// Up to this size, in bytes, a file becomes an attachment of its ticket.
    pub ticket_attachment_size: u64,
    /// `null` if each file must name its ticket.
    pub ticket: Option<String>,
    /// Open uploads at a time.
    pub max_open: u64,
    /// Total bytes of uploads that are not complete.
    pub max_unfinished_bytes: u64,
    pub max_requests_per_minute: u32,
    /// RFC 3339.
    pub expires_at: Option<String>,
    pub rights: Vec<String>,
    /// Ways to send.
    pub methods: Vec<String>,
    pub resume_window_seconds: u64,
    /// Algorithms of digests that are compared.
    pub digests: Vec<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        None => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}
