//! Objects as they are shown: what a key says by itself, and which objects are receipts of others.
//! The gateway's own lie at `…{ticket}/{upload id}/{name}` with `{name}.receipt.json` beside them.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::RECEIPT_SUFFIX;
use crate::receipt::Receipt;

/// Unfinished pieces of the gateway lie in folders of this name.
const HIDDEN: &str = ".weighbridge";
/// The gateway keeps one file in an upload's folder; somebody else's folder is not held back for ever.
const HELD_MAX: usize = 1_000;

/// An object that is a file of somebody's.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    pub(crate) last_modified: Timestamp,
    pub(crate) etag: Option<String>,
    /// As the listing says, or as was seen when it was read; none when nobody has looked.
    pub(crate) has_receipt: Option<bool>,
    /// What a HEAD has told, if there was one.
    pub(crate) head: Option<bucket::Found>,
}

/// What the key of an object of the gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) ticket: &'a str,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

impl Entry {
    pub(super) fn from_head(key: &str, found: bucket::Found) -> Self {
        Self {
            key: key.to_owned(),
            size_bytes: u64::try_from(found.size).unwrap_or_default(),
            last_modified: timestamp(found.last_modified),
            etag: found.etag.clone(),
            has_receipt: None,
            head: Some(found),
        }
    }

    fn from_listing(object: bucket::Object, has_receipt: bool) -> Self {
        Self {
            key: object.key,
            size_bytes: u64::try_from(object.size).unwrap_or_default(),
            last_modified: timestamp(object.last_modified),
            etag: object.etag,
            has_receipt: Some(has_receipt),
            head: None,
        }
    }

    /// Ticket, id and name, if the key is one of the gateway's.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        place(&self.key)
    }

    /// The key's last component.
    pub(crate) fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// A receipt that can be this object's: complete, and for the upload whose key it is.
    pub(super) fn accept(&self, text: &[u8]) -> Option<Receipt> {
        let receipt: Receipt = serde_json::from_slice(text).ok()?;
        let (_, sha256) = receipt.proof()?;
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && self.place().is_none_or(|place| place.id == receipt.id)).then_some(receipt)
    }

    /// What `--json` prints: the receipt's fields, null where unknown, and the object's own.
    pub(crate) fn facts(&self, receipt: Option<&Receipt>) -> anyhow::Result<Value> {
        let place = self.place();
        let mut facts = match receipt {
            Some(receipt) => serde_json::to_value(receipt)?,
            None => json!({
                "id": place.map(|place| place.id), "name": self.name(), "size": self.size_bytes, "sha256": null,
                "partner": null, "ticket": place.map(|place| place.ticket), "destination": null, "delivery": null,
                "received_at": null, "expires_at": null, "checked": null,
            }),
        };
        facts["key"] = self.key.as_str().into();
        facts["last_modified"] = self.last_modified.to_string().into();
        facts["unverified"] = (!self.is_vouched_for(receipt)).into();
        Ok(facts)
    }

    /// Whether a receipt of these bytes is there, as far as can be said without reading them.
    pub(crate) fn is_vouched_for(&self, receipt: Option<&Receipt>) -> bool {
        match receipt {
            Some(receipt) => receipt.size == Some(self.size_bytes),
            None => self.has_receipt == Some(true),
        }
    }
}

/// Objects by key as entries: without receipts that stand beside what they are of, unfinished pieces, and folder markers.
/// All objects of an upload must be among them.
pub(super) fn entries(objects: Vec<bucket::Object>) -> Vec<Entry> {
    let keys: HashSet<String> = objects
        .iter()
        .filter(|object| place(&object.key).is_some())
        .map(|object| object.key.clone())
        .collect();
    let is_receipt = |key: &str| {
        keys.contains(key) && key.strip_suffix(RECEIPT_SUFFIX).is_some_and(|of| keys.contains(of))
    };
    let is_shown = |object: &bucket::Object| {
        let is_marker = object.size == 0 && object.key.ends_with('/');
        !is_marker && !is_receipt(&object.key) && object.key.split('/').all(|part| part != HIDDEN)
    };
    objects
        .into_iter()
        .filter(is_shown)
        .map(|object| {
            let has_receipt = keys.contains(&format!("{}{RECEIPT_SUFFIX}", object.key));
            Entry::from_listing(object, has_receipt)
        })
        .collect()
}

/// Takes out the objects at the end that belong to one upload.
pub(super) fn split_last_upload(objects: &mut Vec<bucket::Object>) -> Vec<bucket::Object> {
    let folder = |key: &str| place(key).map(|place| key.len() - place.name.len());
    let Some(last) = objects.last().and_then(|last| Some(last.key[..folder(&last.key)?].to_owned())) else {
        return Vec::new();
    };
    let count = objects.iter().rev().take_while(|object| object.key.starts_with(&last)).count();
    objects.split_off(objects.len() - count.min(HELD_MAX))
}

/// Whatever the prefix is: names hold no `/`, so a key is read from its end.
fn place(key: &str) -> Option<Place<'_>> {
    let mut parts = key.rsplit('/');
    let (name, id, ticket) = (parts.next()?, parts.next()?, parts.next()?);
    (!name.is_empty() && is_upload_id(id) && !ticket.is_empty()).then_some(Place { ticket, id, name })
}

/// A ULID: 26 characters of Crockford's base 32 that hold 128 bits.
pub(crate) fn is_upload_id(text: &str) -> bool {
    let is_digit =
        |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    text.len() == 26 && text.bytes().all(is_digit) && text.as_bytes()[0] <= b'7'
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";

    fn objects(keys: &[String]) -> Vec<bucket::Object> {
        let object =
            |key: &String| bucket::Object { key: key.clone(), size: 1, last_modified: 0, etag: None };
        keys.iter().map(object).collect()
    }

    #[test]
    fn places() {
        let key = format!("in/1001/{ID}/a.log");
        assert_eq!(place(&key), Some(Place { ticket: "1001", id: ID, name: "a.log" }));
        for key in [
            "a.log".to_owned(),
            format!("{ID}/a.log"),
            format!("/{ID}/a.log"),
            format!("1001/{ID}/"),
            format!("1001/{ID}/a/b"),
            format!("1001/{}/a", ID.to_lowercase()),
            format!("1001/8{}/a", &ID[1..]),
            format!("1001/{}U/a", &ID[1..]),
        ] {
            assert_eq!(place(&key), None, "{key}");
        }
    }

    #[test]
    fn receipts_and_pieces_are_hidden_and_names_like_receipts_are_not() {
        let keys = [
            format!("in/.weighbridge/{ID}/tail"),
            format!("in/1001/{ID}/a"),
            format!("in/1001/{ID}/a.receipt.json"),
            format!("in/1001/{ID}/a.receipt.json.receipt.json"),
            format!("in/1002/{ID}/b.receipt.json"),
            "in/own.receipt.json".to_owned(),
            "in/own".to_owned(),
        ];
        let shown: Vec<_> =
            entries(objects(&keys)).into_iter().map(|entry| (entry.key, entry.has_receipt)).collect();
        let expected = [(1, true), (4, false), (5, false), (6, false)];
        assert_eq!(shown, expected.map(|(n, has_receipt): (usize, _)| (keys[n].clone(), Some(has_receipt))));
    }

    #[test]
    fn an_upload_is_not_torn_apart_by_the_end_of_a_page() {
        let keys = [
            "1001/x".to_owned(),
            format!("1001/{ID}/a"),
            format!("1001/{ID}/a b"),
            format!("1001/{ID}/a.receipt.json"),
        ];
        for (end, kept) in [(4, 1), (3, 1), (2, 1), (1, 1), (0, 0)] {
            let mut page = objects(&keys[..end]);
            let held = split_last_upload(&mut page);
            assert_eq!((page.len(), held.len()), (kept, end - kept), "{end}");
        }
    }

    #[test]
    fn only_a_receipt_of_this_upload_is_accepted() {
        let entry = entries(objects(&[format!("1001/{ID}/a")])).remove(0);
        let receipt = |id: &str, sha256: &str| json!({"id": id, "size": 1, "sha256": sha256}).to_string();
        let digest = "ab".repeat(32);
        assert!(entry.accept(receipt(ID, &digest).as_bytes()).is_some());
        for wrong in [receipt(ID, "ab"), receipt("01OTHER", &digest), "{}".to_owned(), "[".to_owned()] {
            assert!(entry.accept(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
