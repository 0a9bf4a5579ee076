//! Reads a receipt and compares it with its object. Pure.
//! Invariant: every text is validated before it is used: anyone who can write into a bucket can write a receipt.

use bucket::layout::FileKey;
use bucket::{Found, SUPPORT_UPLOADER};
use ledger::{Adopted, Delivery, Destination, is_id, parse_rfc3339};
use serde_json::Value;

/// Parses the key of a file whose ticket is one.
pub(crate) fn file_key<'a>(prefix: &str, key: &'a str) -> Option<FileKey<'a>> {
    let file = FileKey::parse(prefix, key)?;
    desk::ticket_number(file.ticket).is_some_and(|number| number == file.ticket).then_some(file)
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// As in [`crate::Discovery`].
    pub(crate) what: &'static str,
    /// The reason and the fix.
    pub(crate) detail: String,
    /// Whether another run may succeed.
    pub(crate) is_temporary: bool,
}

impl Rejection {
    fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: detail.into(), is_temporary: false }
    }

    pub(crate) fn no_receipt() -> Self {
        Self::new("no-receipt", "the file beside it is not its receipt: have the file sent again")
    }

    pub(crate) fn no_object() -> Self {
        Self::new("no-object", "the object is gone: look for it in a backup of the bucket")
    }

    pub(crate) fn other() -> Self {
        Self::new(
            "other-upload",
            "the ledger has this ID for another key or partner: see `weighbridge audit`",
        )
    }

    pub(crate) fn unknown_partner(id: &str) -> Self {
        let detail = format!(
            "there is no partner {id:?}: add it to the configuration or with `weighbridge partner add`, and run this again"
        );
        Self::new("unknown-partner", detail)
    }

    pub(crate) fn ticket() -> Self {
        let detail = "the desk does not list its ticket under the partner's organisation: check the ticket and the partner's \
                      organization_id, and run this again, or have the file sent again";
        Self::new("other-ticket", detail)
    }

    pub(crate) fn later(why: &str) -> Self {
        let detail = format!("not adopted: the desk did not say whose ticket it is ({why}); run this again");
        Self { what: "failed", detail, is_temporary: true }
    }
}

/// Whether a text is a receipt of the upload with that key.
pub(crate) fn is_of(text: &[u8], place: &FileKey<'_>) -> bool {
    serde_json::from_slice(text).is_ok_and(|receipt| is_receipt_of(&receipt, place))
}

fn is_receipt_of(receipt: &Value, place: &FileKey<'_>) -> bool {
    receipt["id"] == place.upload_id && receipt["name"] == place.name && receipt["ticket"] == place.ticket
}

/// The upload that receipt and object describe together. `bucket` is the configured name of their bucket.
pub(crate) fn read(
    text: &[u8],
    place: &FileKey<'_>,
    bucket: &str,
    found: &Found,
) -> Result<Adopted, Rejection> {
    let receipt: Value = serde_json::from_slice(text).map_err(|_| Rejection::no_receipt())?;
    let text = |field: &str| receipt[field].as_str().ok_or_else(Rejection::no_receipt);
    let sha256 = text("sha256")?;
    if !is_receipt_of(&receipt, place) || !is_hex(sha256, 64) {
        return Err(Rejection::no_receipt());
    }
    let size = receipt["size"].as_i64().ok_or_else(Rejection::no_receipt)?;
    if size != found.size {
        let detail =
            format!("the receipt says {size} bytes, the object has {}: have the file sent again", found.size);
        return Err(Rejection::new("other-size", detail));
    }
    let recorded = |name: &str| found.metadata.get(name).map(String::as_str);
    if recorded("sha256").is_some_and(|digest| digest != sha256)
        || recorded("upload-id").is_some_and(|id| id != place.upload_id)
    {
        let detail = "the object was not written for this receipt: have the file sent again";
        return Err(Rejection::new("other-object", detail));
    }
    let partner = text("partner")?;
    if bucket != SUPPORT_UPLOADER && partner != bucket {
        let detail = "it is in another partner's bucket, where no gateway has put it";
        return Err(Rejection::new("other-partner", detail));
    }
    let link = recorded("uploader").and_then(|by| by.strip_prefix("link:")).filter(|id| is_id(id));
    let content_type = found.content_type.as_deref().filter(|text| is_media_type(text));
    Ok(Adopted {
        id: place.upload_id.to_owned(),
        link_id: link.map(str::to_owned),
        partner_id: partner.to_owned(),
        ticket: place.ticket.to_owned(),
        name: place.name.to_owned(),
        content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
        bucket: bucket.to_owned(),
        object_key: place.key.to_owned(),
        size,
        sha256: sha256.to_owned(),
        crc64: found.crc64.map(bucket::Crc64::to_hex),
        checked: words(&receipt["checked"]),
        mismatch: receipt["mismatch"].as_str().filter(|text| is_mismatch(text)).map(str::to_owned),
        destination: Destination::parse(text("destination")?).ok_or_else(Rejection::no_receipt)?,
        delivery: Delivery::parse(text("delivery")?).ok_or_else(Rejection::no_receipt)?,
        received_at: parse_rfc3339(text("received_at")?).ok_or_else(Rejection::no_receipt)?,
    })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn words(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    all.filter(|word| is_word(word)).take(8).map(str::to_owned).collect()
}

/// Algorithm, announced digest, actual digest.
fn is_mismatch(text: &str) -> bool {
    text.split(' ').count() == 3 && text.split(' ').all(is_word)
}

fn is_media_type(text: &str) -> bool {
    text.len() <= 255 && text.contains('/') && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
