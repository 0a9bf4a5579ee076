//! The JSON of each type, to the letter.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::*;

/// Parses a sample and writes it again. `extra` holds what the type does not know.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + Debug>(sample: &Value, extra: impl Fn(&T) -> &Extra) -> T {
    let parsed: T = serde_json::from_value(sample.clone()).unwrap();
    assert!(extra(&parsed).is_empty(), "{parsed:?}");
    assert_eq!(serde_json::to_value(&parsed).unwrap(), *sample);
    parsed
}

fn complete() -> Value {
    json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "name": "core.gz", "size": 20, "sha256": "ab", "partner": "acme",
        "ticket": "1001", "destination": "ticket-attachment", "delivery": "pending",
        "received_at": "2026-11-22T10:00:00Z", "expires_at": null, "checked": ["sha-256"],
    })
}

fn open(length: Option<u64>) -> Value {
    json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "name": "core.gz", "size": null, "sha256": null, "partner": "acme",
        "ticket": "1001", "destination": null, "delivery": null, "received_at": null, "expires_at": null,
        "checked": [], "state": "open", "offset": 5, "length": length,
    })
}

fn with(mut sample: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        sample[name] = value.clone();
    }
    sample
}

fn receipt_extra(receipt: &Receipt) -> &Extra {
    &receipt.extra
}

#[test]
fn receipts() {
    let receipt = check(&complete(), receipt_extra);
    assert_eq!((receipt.proof(), &receipt.progress), (Some((20, "ab")), &None));
    check(&with(complete(), &[("mismatch", json!("md5 a b"))]), receipt_extra);
    let for_support = [("delivery_detail", json!("closed")), ("object", json!("s3://b/in/1001/x"))];
    check(&with(complete(), &for_support), receipt_extra);
    for length in [None, Some(9)] {
        let receipt = check(&open(length), receipt_extra);
        assert_eq!(receipt.proof(), None);
        assert_eq!(receipt.progress, Some(Progress { state: "open".to_owned(), offset: 5, length }));
    }
    let removed = check(&with(open(Some(5)), &[("state", json!("removed"))]), receipt_extra);
    assert_eq!(removed.progress.unwrap().state, "removed");
}

#[test]
fn unknown_fields_are_kept() {
    let sample = with(complete(), &[("from_the_future", json!({"kept": true}))]);
    let receipt: Receipt = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(receipt.extra["from_the_future"], json!({"kept": true}));
    assert_eq!(serde_json::to_value(&receipt).unwrap(), sample);
}

#[test]
fn a_receipt_needs_only_an_id() {
    let receipt: Receipt = serde_json::from_value(json!({"id": "01A"})).unwrap();
    assert_eq!(receipt, Receipt { id: "01A".to_owned(), ..Receipt::default() });
    assert!(serde_json::from_value::<Receipt>(json!({"type": "/problems/too-large"})).is_err());
}

#[test]
fn pages_and_forms() {
    let page = json!({"uploads": [complete(), open(None)], "next_cursor": "01A"});
    check(&page, |page: &UploadPage| &page.uploads[0].extra);
    check(&json!({"uploads": [complete()], "next_cursor": null}), |page: &UploadPage| &page.uploads[0].extra);
    let refused = with(problem(), &[("name", json!("b.log"))]);
    let answer: FormAnswer = serde_json::from_value(json!({"uploads": [complete(), refused]})).unwrap();
    let [FormFile::Stored(_), FormFile::Refused(problem)] = answer.uploads.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!(problem.extra["name"], "b.log");
    assert_eq!(serde_json::to_value(&answer).unwrap()["uploads"][1], refused);
}

fn problem() -> Value {
    json!({"type": "/problems/too-large", "title": "File too large", "status": 413, "detail": "Send at most 5 bytes."})
}

#[test]
fn problems() {
    let parsed = check(&problem(), |problem: &Problem| &problem.extra);
    assert_eq!(parsed.kind, "/problems/too-large");
    check(&with(problem(), &[("request_id", json!("R1"))]), |problem: &Problem| &problem.extra);
    let parsed: Problem =
        serde_json::from_value(with(problem(), &[("max-size", json!(5)), ("offset", json!(3))])).unwrap();
    assert_eq!((&parsed.extra["max-size"], &parsed.extra["offset"]), (&json!(5), &json!(3)));
}

#[test]
fn links() {
    let link = json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "partner": "acme", "ticket": null, "rights": ["upload", "list"],
        "max_bytes": 1000, "max_open": null, "max_unfinished_bytes": null, "max_requests_per_minute": null,
        "created_by": "staff:01A", "created_at": "2026-11-22T10:00:00Z", "expires_at": "2026-11-24T10:00:00Z",
        "revoked_at": null,
    });
    check(&json!({"links": [link]}), |list: &LinkList| &list.links[0].extra);
    let created = with(link, &[("url", json!("https://host/u/TOKEN"))]);
    check(&created, |created: &CreatedLink| &created.link.extra);
    let warned = with(created, &[("warning", json!("Ticket 404 was not checked"))]);
    check(&warned, |created: &CreatedLink| &created.link.extra);
}

#[test]
fn link_requests() {
    let parse = |sample: Value| serde_json::from_value::<LinkRequest>(sample);
    for (ticket, expected) in [
        (json!(null), None),
        (json!("1001"), Some("1001")),
        (json!(1001), Some("1001")),
        (json!([1]), Some("[1]")),
    ] {
        let request = parse(json!({"partner": "acme", "ticket": ticket})).unwrap();
        assert_eq!(request.ticket.as_deref(), expected);
    }
    let request = LinkRequest { partner: "acme".to_owned(), ..LinkRequest::default() };
    assert_eq!(serde_json::to_value(&request).unwrap(), json!({"partner": "acme", "rights": []}));
    assert!(parse(json!({"partner": "acme", "max_byte": 1})).is_err());
    assert!(parse(json!({"partner": "acme", "max_bytes": -1})).is_err());
}

#[test]
fn partners() {
    let partner = json!({
        "id": "acme", "name": "Acme", "organization_id": 7, "bucket": false, "disabled_at": null,
    });
    let without = with(partner.clone(), &[("organization_id", json!(null))]);
    check(&json!({"partners": [partner, without]}), |list: &PartnerList| &list.partners[0].extra);
    let notes =
        [("notes", json!("Call first")), ("details", json!("")), ("fields", json!({"account_type": "gold"}))];
    check(&with(partner.clone(), &notes), |details: &PartnerDetails| &details.partner.extra);
    let missing = [
        ("notes", json!(null)),
        ("details", json!(null)),
        ("notes_problem", json!("the desk is unavailable")),
    ];
    check(&with(partner, &missing), |details: &PartnerDetails| &details.partner.extra);
}

#[test]
fn objects() {
    let page = json!({"objects": [
        {"key": "1001/01A/a.log", "size": 5, "last_modified": "2026-11-22T10:00:00Z", "upload_id": "01A",
            "unverified": false},
        {"key": "own.bin", "size": 6, "last_modified": "2026-11-22T10:00:00Z", "upload_id": null, "unverified": true},
    ], "next_cursor": null});
    check(&page, |page: &ObjectPage| &page.objects[1].extra);
}

#[test]
fn notes_about_a_partner() {
    let notes = json!({
        "id": "acme", "name": "Acme", "organization_id": 7, "bucket": false, "disabled_at": null, "notes": "Call first",
        "details": "", "notes_at": "2026-11-22T10:00:00Z", "notes_problem": "the desk is unavailable",
        "operator_notes": "Ask Ann",
    });
    check(&notes, |details: &PartnerDetails| &details.partner.extra);
}

#[test]
fn escalations() {
    let escalation = json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "reference": "E-7K3M9QXA", "partner": "acme", "ticket": "1001",
        "state": "submitted", "reason": "It is down", "actions": "Call us", "urgency": "2h", "emergency": true,
        "hints": ["It is late."], "joined_requests": 1, "actor": "link:01A", "created_at": "2026-11-22T10:00:00Z",
        "updated_at": "2026-11-22T10:00:00Z",
    });
    check(&json!({"escalations": [escalation]}), |list: &EscalationList| &list.escalations[0].extra);
    let files =
        json!({"asked_for": true, "missing": ["logs"], "arrived": [complete()], "unfinished": [open(None)]});
    let single = with(escalation, &[("state_reason", json!("a duplicate")), ("files", files)]);
    check(&single, |escalation: &Escalation| &escalation.extra);
    let status = json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "reference": "E-7K3M9QXA", "ticket": "1001", "state": "declined",
        "reason": "a duplicate", "joined": false, "hints": [],
    });
    check(&status, |status: &EscalationStatus| &status.extra);
}

#[test]
fn contacts() {
    let contact = json!({
        "id": "01KAP7N3V8Q2ZD4T6W9XYMC5RB", "partner": "acme", "name": "Ann", "email": "ann@acme.example",
        "slack_user_id": null, "created_at": "2026-11-22T10:00:00Z", "disabled_at": null,
    });
    check(&json!({"contacts": [contact]}), |list: &ContactList| &list.contacts[0].extra);
}
