//! Objects in a listing: what their keys say, and which are receipts of others.

use std::collections::HashSet;

use api::Receipt;
use bucket::layout::{self, FileKey};
use jiff::Timestamp;
use serde_json::Value;

use crate::checksum::is_sha256;

/// Limit for objects held back to the next page. An upload has one file and its receipt, but a folder can be someone else's.
const HELD_MAX: usize = 1_000;

/// An object that is a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    pub(crate) last_modified: Timestamp,
    pub(crate) etag: Option<String>,
    /// According to the listing or to a read; `None` if unknown.
    pub(crate) has_receipt: Option<bool>,
    /// The answer to a HEAD, if one was sent.
    pub(crate) head: Option<bucket::Found>,
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

    /// The parts of the key, if the gateway wrote the object.
    pub(crate) fn file_key(&self) -> Option<FileKey<'_>> {
        FileKey::parse_any(&self.key)
    }

    /// The last component of the key.
    pub(crate) fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// Parses a receipt, if it can be this object's: complete, and for the upload in the key.
    pub(super) fn accept(&self, text: &[u8]) -> Option<Receipt> {
        let receipt: Receipt = serde_json::from_slice(text).ok()?;
        let (_, sha256) = receipt.proof()?;
        let is_same_upload = self.file_key().is_none_or(|key| key.upload_id == receipt.id);
        (is_sha256(sha256) && is_same_upload).then_some(receipt)
    }

    /// What `--json` prints: the receipt's fields, null if unknown, and the object's own.
    pub(crate) fn facts(&self, receipt: Option<&Receipt>) -> anyhow::Result<Value> {
        let mut facts = match receipt {
            Some(receipt) => serde_json::to_value(receipt)?,
            None => serde_json::to_value(Receipt {
                name: self.name().to_owned(),
                size: Some(self.size_bytes),
                ticket: self.file_key().map(|key| key.ticket.to_owned()),
                ..Receipt::default()
            })?,
        };
        if receipt.is_none() {
            facts["id"] = self.file_key().map(|key| key.upload_id).into();
        }
        facts["key"] = self.key.as_str().into();
        facts["last_modified"] = self.last_modified.to_string().into();
        facts["unverified"] = (!self.has_valid_receipt(receipt)).into();
        Ok(facts)
    }

    /// Whether the object has a receipt for this many bytes. Without `receipt`, whether the listing has one.
    pub(crate) fn has_valid_receipt(&self, receipt: Option<&Receipt>) -> bool {
        match receipt {
            Some(receipt) => receipt.size == Some(self.size_bytes),
            None => self.has_receipt == Some(true),
        }
    }
}

/// The entries among the objects, without receipts of other objects, hidden objects and folder markers. `objects` must have
/// all objects of an upload.
pub(super) fn entries(objects: Vec<bucket::Object>) -> Vec<Entry> {
    let keys: HashSet<String> = objects
        .iter()
        .filter(|object| FileKey::parse_any(&object.key).is_some())
        .map(|object| object.key.clone())
        .collect();
    let is_receipt =
        |key: &str| keys.contains(key) && layout::receipt_subject(key).is_some_and(|of| keys.contains(of));
    let is_shown = |object: &bucket::Object| {
        let is_marker = object.size == 0 && object.key.ends_with('/');
        !is_marker && !is_receipt(&object.key) && !layout::is_hidden(&object.key)
    };
    objects
        .into_iter()
        .filter(is_shown)
        .map(|object| {
            let has_receipt = keys.contains(&layout::receipt_key(&object.key));
            Entry::from_listing(object, has_receipt)
        })
        .collect()
}

/// Splits off the objects of the last upload.
pub(super) fn split_last_upload(objects: &mut Vec<bucket::Object>) -> Vec<bucket::Object> {
    let Some(folder) =
        objects.last().and_then(|last| Some(FileKey::parse_any(&last.key)?.folder().to_owned()))
    else {
        return Vec::new();
    };
    let count = objects.iter().rev().take_while(|object| object.key.starts_with(&folder)).count();
    objects.split_off(objects.len() - count.min(HELD_MAX))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";

    fn objects(keys: &[String]) -> Vec<bucket::Object> {
        let object =
            |key: &String| bucket::Object { key: key.clone(), size: 1, last_modified: 0, etag: None };
        keys.iter().map(object).collect()
    }

    #[test]
    fn receipts_and_tails_are_hidden_but_files_named_like_receipts_are_not() {
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
    fn an_upload_is_not_split_between_pages() {
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
