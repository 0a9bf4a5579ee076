//! The gateway's answers as Rust types.
//! Fields this version does not know are kept and passed on by `--json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One upload, arrived or still open.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    /// As the partner gave it: not to be trusted as a path or on a terminal.
    #[serde(default)]
    pub(crate) name: String,
    /// Bytes; none while the upload is open.
    #[serde(default)]
    pub(crate) size: Option<u64>,
    /// Lower-case hex; none while the upload is open.
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    #[serde(default)]
    pub(crate) partner: Option<String>,
    #[serde(default)]
    pub(crate) ticket: Option<String>,
    #[serde(default)]
    pub(crate) destination: Option<String>,
    #[serde(default)]
    pub(crate) delivery: Option<String>,
    #[serde(default)]
    pub(crate) received_at: Option<String>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl Receipt {
    /// Size and SHA-256, once the upload is complete.
    pub(crate) fn proof(&self) -> Option<(u64, &str)> {
        Some((self.size?, self.sha256.as_deref()?))
    }

    /// `open` and the like, where the gateway says so.
    pub(crate) fn state(&self) -> Option<&str> {
        self.extra.get("state")?.as_str()
    }
}

/// A page of `GET /api/v1/uploads`.
#[derive(Debug, Deserialize)]
pub(crate) struct UploadsPage {
    pub(crate) uploads: Vec<Receipt>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// An organisation whose people send files.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Partner {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    /// The desk's id of the organisation: a number or a string.
    #[serde(default)]
    pub(crate) organization_id: Value,
    /// Whether the partner has a bucket of its own.
    #[serde(default)]
    pub(crate) bucket: bool,
    /// `notes`, `details` and `notes_problem` of a single partner, and whatever comes later.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl Partner {
    /// A text field of a single partner; none when absent, null or empty.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.extra.get(field)?.as_str().filter(|text| !text.trim().is_empty())
    }
}

/// `GET /api/v1/partners`.
#[derive(Debug, Deserialize)]
pub(crate) struct Partners {
    pub(crate) partners: Vec<Partner>,
}

/// An object in a partner's bucket.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) last_modified: Option<String>,
    #[serde(default)]
    pub(crate) upload_id: Option<String>,
    /// Put there by the partner's own tools: no receipt vouches for it.
    #[serde(default)]
    pub(crate) unverified: bool,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// A page of `GET /api/v1/partners/{id}/objects`.
#[derive(Debug, Deserialize)]
pub(crate) struct ObjectsPage {
    pub(crate) objects: Vec<Object>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// What `POST /api/v1/links` takes.
#[derive(Debug, Serialize)]
pub(crate) struct LinkRequest {
    pub(crate) partner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    pub(crate) rights: Vec<&'static str>,
    /// Seconds; the gateway's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_s: Option<u64>,
    /// Bytes; the gateway's limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
    /// Uploads at a time; the gateway's limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_open: Option<u64>,
    /// Bytes of uploads that are not complete; the gateway's limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_unfinished_bytes: Option<u64>,
    /// The gateway's limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_requests_per_minute: Option<u64>,
}

/// An upload link. The URL is a capability: whoever has it can send.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) partner: Option<String>,
    #[serde(default)]
    pub(crate) ticket: Option<String>,
    #[serde(default)]
    pub(crate) rights: Vec<String>,
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}
