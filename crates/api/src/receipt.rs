//! Receipts: the truth about an upload, for its sender, for support, and beside the object in its bucket.

use serde::{Deserialize, Serialize};

use crate::{Extra, Problem};

/// An upload, complete or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    pub id: String,
    /// As the sender gave it: do not trust it as a path or on a terminal.
    #[serde(default)]
    pub name: String,
    /// Bytes; `null` until the upload is complete.
    pub size: Option<u64>,
    /// Lower-case hex; `null` until the upload is complete.
    pub sha256: Option<String>,
    pub partner: Option<String>,
    pub ticket: Option<String>,
    /// `ticket-attachment`, `support-uploader` or `partner-bucket`.
    pub destination: Option<String>,
    /// `pending`, `done` or `undeliverable`.
    pub delivery: Option<String>,
    /// RFC 3339; `null` until the upload is complete.
    pub received_at: Option<String>,
    /// RFC 3339; `null` while it depends on the ticket.
    pub expires_at: Option<String>,
    /// The sender's digests that were compared, by algorithm.
    pub checked: Option<Vec<String>>,
    /// The algorithm, the digest in the side file and the digest of the file, if a later side file does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// Only of an upload that is not complete.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = MaybeProgress))]
    pub progress: Option<Progress>,
    /// Why the delivery failed, for support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_detail: Option<String>,
    /// `s3://bucket/key`, for support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// `open`, `completing`, `cancelled` or `removed`.
    pub state: String,
    /// Durable bytes.
    pub offset: u64,
    /// All bytes, if the sender has announced them.
    pub length: Option<u64>,
}

/// How far an upload has come; nothing once it is complete.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
pub struct MaybeProgress {
    /// `open`, `completing`, `cancelled` or `removed`.
    pub state: Option<String>,
    /// Durable bytes.
    pub offset: Option<u64>,
    /// All bytes, if the sender has announced them.
    pub length: Option<u64>,
}

impl Receipt {
    /// Size and SHA-256, once the upload is complete.
    pub fn proof(&self) -> Option<(u64, &str)> {
        Some((self.size?, self.sha256.as_deref()?))
    }
}

/// One of several unfinished uploads that a request may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnfinishedUpload {
    pub id: String,
    /// All bytes, if the sender has announced them.
    pub length: Option<u64>,
    /// Durable bytes.
    pub offset: u64,
    /// RFC 3339.
    pub started_at: String,
    pub location: String,
}

/// A page of uploads, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadPage {
    pub uploads: Vec<Receipt>,
    pub next_cursor: Option<String>,
}

/// The answer to a form with several files, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FormAnswer {
    pub uploads: Vec<FormFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum FormFile {
    Stored(Box<Receipt>),
    /// The file's name is in `extra` as `name`.
    Refused(Problem),
}
