//! What a receipt and the object beside it say together. Pure. Invariant: every text that goes on from here has been
//! looked at, since whoever can write into a bucket can write a receipt.

use bucket::layout::FileKey;
use bucket::{Found, SUPPORT_UPLOADER};
use ledger::{Adopted, Delivery, Destination, is_id, parse_rfc3339};
use serde_json::Value;

/// A key that an upload may rest at: `{prefix}{ticket}/{upload id}/{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) key: &'a str,
    pub(super) ticket: &'a str,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(prefix: &str, key: &'a str) -> Option<Self> {
        let FileKey { key, ticket, upload_id: id, name } = FileKey::parse(prefix, key)?;
        let is_ticket = desk::ticket_number(ticket).is_some_and(|number| number == ticket);
        is_ticket.then_some(Self { key, ticket, id, name })
    }
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// In a word.
    pub(super) what: &'static str,
    /// And what to do.
    pub(super) detail: String,
    /// Whether it may be otherwise the next time.
    pub(super) passes: bool,
}

impl Doubt {
    fn stays(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: detail.into(), passes: false }
    }

    pub(super) fn no_receipt() -> Self {
        Self::stays("no-receipt", "what stands beside it is no receipt of it: have the file sent again")
    }

    pub(super) fn no_object() -> Self {
        Self::stays("no-object", "the object has gone: look for it in a backup of the bucket")
    }

    pub(super) fn other() -> Self {
        Self::stays(
            "other-upload",
            "the ledger has this id for another key or partner: `weighbridge audit` tells of it",
        )
    }

    pub(super) fn unknown_partner(id: &str) -> Self {
        let detail = format!(
            "there is no partner {id:?}: put it into the configuration, or `weighbridge partner add`, and run this again"
        );
        Self::stays("unknown-partner", detail)
    }

    pub(super) fn ticket() -> Self {
        let detail = "the desk does not know its ticket as one of the partner's organisation: check that and the partner's \
                      organization_id, and run this again, or have the file sent again";
        Self::stays("other-ticket", detail)
    }

    pub(super) fn later(why: &str) -> Self {
        let detail = format!("not adopted now: whose its ticket is cannot be asked ({why}); run this again");
        Self { what: "failed", detail, passes: true }
    }
}

/// Whether a text is a receipt of the upload at that place, as far as the two are concerned.
pub(super) fn is_of(text: &[u8], place: &Place<'_>) -> bool {
    serde_json::from_slice(text).is_ok_and(|receipt| is_receipt_of(&receipt, place))
}

fn is_receipt_of(receipt: &Value, place: &Place<'_>) -> bool {
    receipt["id"] == place.id && receipt["name"] == place.name && receipt["ticket"] == place.ticket
}

/// The upload that receipt and object tell of together. `bucket` is the configured bucket they lie in.
pub(super) fn read(text: &[u8], place: &Place<'_>, bucket: &str, found: &Found) -> Result<Adopted, Doubt> {
    let receipt: Value = serde_json::from_slice(text).map_err(|_| Doubt::no_receipt())?;
    let text = |field: &str| receipt[field].as_str().ok_or_else(Doubt::no_receipt);
    let sha256 = text("sha256")?;
    if !is_receipt_of(&receipt, place) || !is_hex(sha256, 64) {
        return Err(Doubt::no_receipt());
    }
    let size = receipt["size"].as_i64().ok_or_else(Doubt::no_receipt)?;
    if size != found.size {
        let detail =
            format!("the receipt says {size} bytes, the object has {}: have the file sent again", found.size);
        return Err(Doubt::stays("other-size", detail));
    }
    let said = |name: &str| found.metadata.get(name).map(String::as_str);
    if said("sha256").is_some_and(|said| said != sha256) || said("upload-id").is_some_and(|id| id != place.id)
    {
        let detail = "the object was not written for this receipt: have the file sent again";
        return Err(Doubt::stays("other-object", detail));
    }
    let partner = text("partner")?;
    if bucket != SUPPORT_UPLOADER && partner != bucket {
        let detail = "it lies in another partner's bucket: no gateway has written it there";
        return Err(Doubt::stays("other-partner", detail));
    }
    let link = said("uploader").and_then(|by| by.strip_prefix("link:")).filter(|id| is_id(id));
    let content_type = found.content_type.as_deref().filter(|text| is_media_type(text));
    Ok(Adopted {
        id: place.id.to_owned(),
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
        destination: Destination::parse(text("destination")?).ok_or_else(Doubt::no_receipt)?,
        delivery: Delivery::parse(text("delivery")?).ok_or_else(Doubt::no_receipt)?,
        received_at: parse_rfc3339(text("received_at")?).ok_or_else(Doubt::no_receipt)?,
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

/// Algorithm, digest announced, digest of the file.
fn is_mismatch(text: &str) -> bool {
    text.split(' ').count() == 3 && text.split(' ').all(is_word)
}

fn is_media_type(text: &str) -> bool {
    text.len() <= 255 && text.contains('/') && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
