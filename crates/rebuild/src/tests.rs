//! Which receipts are believed, and how long the desk is asked.

use std::collections::HashMap;

use bucket::Found;
use ledger::{Delivery, Destination, parse_rfc3339};
use serde_json::{Value, json};

use crate::receipt::{file_key, is_of, read};
use crate::*;

const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";
const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn receipt() -> Value {
    json!({
        "id": ID, "name": "a b.log", "size": 4, "sha256": SHA256, "partner": "globex", "ticket": "2001",
        "destination": "partner-bucket", "delivery": "done", "received_at": "2026-11-22T11:04:06.123Z",
        "expires_at": null, "checked": ["sha-256"], "mismatch": "md5 aa bb",
    })
}

fn found() -> Found {
    let metadata = [("upload-id", ID), ("uploader", "link:01KAP7N3V8Q2ZD4T6W9XYMC5RA"), ("sha256", SHA256)];
    Found {
        size: 4,
        crc64: None,
        etag: None,
        last_modified: 0,
        content_type: Some("text/plain".into()),
        metadata: HashMap::from(metadata.map(|(name, value)| (name.to_owned(), value.to_owned()))),
    }
}

fn key() -> String {
    format!("in/2001/{ID}/a b.log")
}

fn judged(receipt: &Value, found: &Found, bucket: &str) -> Result<Adopted, &'static str> {
    let key = key();
    let place = file_key("in/", &key).unwrap();
    read(receipt.to_string().as_bytes(), &place, bucket, found).map_err(|rejection| {
        assert!(!rejection.is_temporary && rejection.detail.len() > 20, "{rejection:?}");
        rejection.what
    })
}

#[test]
fn receipt_is_believed_when_its_object_confirms_it() {
    for bucket in ["globex", SUPPORT_UPLOADER] {
        let upload = judged(&receipt(), &found(), bucket).unwrap();
        assert_eq!((upload.id.as_str(), upload.object_key, upload.bucket.as_str()), (ID, key(), bucket));
        assert_eq!((upload.ticket.as_str(), upload.name.as_str(), upload.size), ("2001", "a b.log", 4));
        assert_eq!(upload.link_id.as_deref(), Some("01KAP7N3V8Q2ZD4T6W9XYMC5RA"));
        assert_eq!((upload.delivery, upload.destination), (Delivery::Done, Destination::PartnerBucket));
        assert_eq!(Some(upload.received_at), parse_rfc3339("2026-11-22T11:04:06.123Z"));
        assert_eq!((upload.checked, upload.mismatch), (vec!["sha-256".to_owned()], Some("md5 aa bb".into())));
        assert_eq!(upload.content_type, "text/plain");
    }
    // The metadata of a multipart upload has no digest.
    let bare = Found { metadata: HashMap::new(), content_type: None, ..found() };
    let upload = judged(&receipt(), &bare, "globex").unwrap();
    assert_eq!((upload.link_id, upload.content_type.as_str()), (None, "application/octet-stream"));
}

#[test]
fn mismatches_are_refused_with_a_reason() {
    for (field, value, why) in [
        ("id", json!("01KAP7N3V8Q2ZD4T6W9XYMC5RC"), "no-receipt"),
        ("name", json!("other"), "no-receipt"),
        ("ticket", json!("1001"), "no-receipt"),
        ("sha256", json!("ab"), "no-receipt"),
        ("sha256", json!(SHA256.to_uppercase()), "no-receipt"),
        ("sha256", json!(SHA256.replace('9', "8")), "other-object"),
        ("size", json!("4"), "no-receipt"),
        ("size", json!(5), "other-size"),
        ("partner", json!("acme"), "other-partner"),
        ("destination", json!("elsewhere"), "no-receipt"),
        ("delivery", json!("maybe"), "no-receipt"),
        ("received_at", json!("yesterday"), "no-receipt"),
    ] {
        let mut changed = receipt();
        changed[field] = value;
        assert_eq!(judged(&changed, &found(), "globex").unwrap_err(), why, "{changed}");
    }
    let mut other = found();
    other.metadata.insert("upload-id".into(), "another".into());
    assert_eq!(judged(&receipt(), &other, "globex").unwrap_err(), "other-object");
    assert_eq!(judged(&json!([]), &found(), "globex").unwrap_err(), "no-receipt");
}

#[test]
fn invalid_optional_fields_are_dropped() {
    let mut odd = receipt();
    odd["checked"] = json!(["md5,sha1", "", 7, "md5"]);
    odd["mismatch"] = json!("md5 aa\n**Pay** bb");
    let strange = Found { content_type: Some("text".into()), ..found() };
    let upload = judged(&odd, &strange, "globex").unwrap();
    assert_eq!((upload.checked, upload.mismatch), (vec!["md5".to_owned()], None));
    assert_eq!(upload.content_type, "application/octet-stream");
}

#[test]
fn keys_of_uploads() {
    let key = key();
    assert!(
        file_key("in/", &key).is_some() && file_key("", &key).is_none() && file_key("x/", &key).is_none()
    );
    for key in [
        format!("in/2001/{ID}/"),
        format!("in/2001/{ID}/a/b"),
        format!("in/02001/{ID}/a"),
        format!("in/x/{ID}/a"),
        "in/2001/short/a".to_owned(),
        "in/a".to_owned(),
    ] {
        assert_eq!(file_key("in/", &key), None, "{key}");
    }
    let place = file_key("in/", &key).unwrap();
    assert!(is_of(receipt().to_string().as_bytes(), &place) && !is_of(b"{}", &place) && !is_of(b"[", &place));
    assert_eq!(folder_of(&key), format!("in/2001/{ID}"));
}
