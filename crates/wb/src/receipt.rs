//! The gateway's answers as Rust types.
//! Fields this version does not know are kept and passed on by `--json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::output;

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

    /// How much of it has arrived, for a person: of an upload that is not complete, the bytes so far and how many there will
    /// be, where that is known.
    pub(crate) fn shown_size(&self) -> String {
        let bytes = |field: &str| self.extra.get(field).and_then(Value::as_u64);
        match (self.size, bytes("offset")) {
            (Some(size), _) => output::size(size),
            (None, Some(offset)) => {
                let length = bytes("length").map_or_else(|| "?".to_owned(), output::size);
                format!("{} / {length}", output::size(offset))
            }
            (None, None) => "-".to_owned(),
        }
    }

    /// `open` and the like, where the gateway says so.
    pub(crate) fn state(&self) -> Option<&str> {
        self.extra.get("state")?.as_str()
    }
}

/// The receipts in what somebody has saved: JSON, one object or several or a form's answer, or the short text that curl gets.
/// None where there is no receipt.
pub(crate) fn saved(text: &str) -> Vec<Receipt> {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    match values {
        Ok(values) => values
            .into_iter()
            .flat_map(|mut value| match value.get_mut("uploads").map(Value::take) {
                Some(Value::Array(uploads)) => uploads,
                _ => vec![value],
            })
            // A form's answer may hold problems among the receipts.
            .filter_map(|value| serde_json::from_value(value).ok())
            .collect(),
        Err(_) => from_text(text),
    }
}

/// `NAME, SIZE bytes`, and `SHA-256 DIGEST` on the next line; `for ticket TICKET, …` and `Receipt …/ID` may follow.
fn from_text(text: &str) -> Vec<Receipt> {
    let mut found: Vec<Receipt> = Vec::new();
    let mut before = "";
    for line in text.lines().map(str::trim_end) {
        if let (Some((name, size)), Some(sha256)) = (name_and_size(before), digest(line)) {
            let fields = serde_json::json!({"id": "", "name": name, "size": size, "sha256": sha256});
            found.extend(serde_json::from_value::<Receipt>(fields));
        } else if let Some(receipt) = found.last_mut() {
            if let Some(location) = line.strip_prefix("Receipt ") {
                receipt.id = location.rsplit('/').next().unwrap_or_default().to_owned();
            } else if let Some(place) = line.strip_prefix("for ticket ") {
                receipt.ticket = place.split(',').next().map(str::to_owned);
            }
        }
        before = line;
    }
    found
}

fn name_and_size(line: &str) -> Option<(&str, u64)> {
    let (name, size) = line.strip_suffix(" bytes")?.rsplit_once(", ")?;
    Some((name, size.parse().ok()?))
}

fn digest(line: &str) -> Option<&str> {
    let digest = line.strip_prefix("SHA-256 ")?;
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, Option<u64>, String)> {
        let one = |receipt: Receipt| (receipt.id, receipt.size, receipt.name);
        saved(text).into_iter().map(one).collect()
    }

    #[test]
    fn saved_receipts() {
        let digest = "ab".repeat(32);
        let first =
            format!("a, 2 bytes, b.log, 12 bytes\nSHA-256 {digest}\nfor ticket 1001, as an attachment\n");
        let first = format!("{first}Receipt https://host/u/T/uploads/01A\n");
        let second =
            format!("b.log, 0 bytes\r\nSHA-256 {digest}\r\nReceipt https://host/u/T/uploads/01B\r\n");
        let of_a = ("01A".to_owned(), Some(12), "a, 2 bytes, b.log".to_owned());
        let of_b = ("01B".to_owned(), Some(0), "b.log".to_owned());
        assert_eq!(shown(&first), std::slice::from_ref(&of_a));
        assert_eq!(saved(&first)[0].ticket.as_deref(), Some("1001"));
        assert_eq!(saved(&first)[0].sha256.as_deref(), Some(digest.as_str()));
        assert_eq!(shown(&format!("{first}\n{second}")), [of_a, of_b]);

        let json = |id: &str| {
            format!("{{\"id\": \"{id}\", \"name\": \"n\", \"size\": 1, \"sha256\": \"{digest}\"}}")
        };
        let (a, b) = (json("01A"), json("01B"));
        for (text, ids) in [
            (a.clone(), vec!["01A"]),
            (format!("{a}\n{b}\n"), vec!["01A", "01B"]),
            (format!("{{\"uploads\": [{a}, {{\"status\": 413}}, {b}]}}"), vec!["01A", "01B"]),
            ("{\"type\": \"/problems/too-large\", \"status\": 413}".to_owned(), vec![]),
            ("{".to_owned(), vec![]),
            (String::new(), vec![]),
            (format!("SHA-256 {digest}\n"), vec![]),
            ("a.log, 1 bytes\nSHA-256 abc\n".to_owned(), vec![]),
            (format!("a.log, many bytes\nSHA-256 {digest}\n"), vec![]),
        ] {
            let found: Vec<_> = saved(&text).into_iter().map(|receipt| receipt.id).collect();
            assert_eq!(found, ids, "{text}");
        }
    }
}
