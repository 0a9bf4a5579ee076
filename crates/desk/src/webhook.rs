//! Zendesk's webhooks: whether Zendesk sent a request, and which ticket it is about.
//!
//! Invariant: a ticket is named by its number alone, in digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::signature::{BadSignature, check, check_time};
use crate::tickets::ticket_number;

/// Zendesk signs every test from its webhook editor with this public secret: never accept it in operation. The key is the
/// text itself, not what it decodes to.
pub const TEST_WEBHOOK_SECRET: &str = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";

/// What [`TEST_WEBHOOK_SECRET`] decodes to.
const TEST_WEBHOOK_SECRET_DECODED: &str = "this_secret_is_for_testing_only";

/// The type of an event on a ticket begins with this.
const TICKET_EVENT: &str = "zen:event-type:ticket.";

/// Something happened to a ticket. It can come twice, late, out of order or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketEvent {
    /// The event's own ID, the same in every delivery. Triggers have none.
    pub id: Option<String>,
    /// The ticket's number.
    pub ticket: String,
    /// `status_changed`, `soft_deleted` and so on; `trigger` if a trigger or an automation sent it.
    pub kind: String,
}

/// Whether this is Zendesk's public test secret, in either form.
pub fn is_test_secret(secret: &str) -> bool {
    [TEST_WEBHOOK_SECRET, TEST_WEBHOOK_SECRET_DECODED].contains(&secret.trim())
}

/// Checks `X-Zendesk-Webhook-Signature` and `X-Zendesk-Webhook-Signature-Timestamp` against the body.
///
/// # Errors
/// Says what is wrong with the signature.
pub fn verify_webhook(
    secret: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now_ms: i64,
) -> Result<(), BadSignature> {
    let signed_at: jiff::Timestamp = timestamp.parse().map_err(|_| BadSignature::Malformed)?;
    let signature = STANDARD.decode(signature).map_err(|_| BadSignature::Malformed)?;
    check_time(signed_at.as_second(), now_ms.div_euclid(1000))?;
    check(secret, &[timestamp.as_bytes(), body], &signature)
}

/// Reads an event on a ticket (`{"type": "zen:event-type:ticket.…", "id": …, "detail": {"id": …}}`), or what our template for
/// triggers sends (`{"ticket_id": …}`). `None` if it is neither.
pub fn parse_webhook(body: &[u8]) -> Option<TicketEvent> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.get("type").and_then(Value::as_str).map(|kind| kind.strip_prefix(TICKET_EVENT)) {
        Some(None) => None,
        Some(Some(kind)) => {
            let detail = body.get("detail").and_then(|detail| text(detail.get("id")?));
            let subject = body.get("subject").and_then(Value::as_str);
            let subject = subject.and_then(|subject| subject.strip_prefix("zen:ticket:")).map(str::to_owned);
            let ticket = number(&detail.or(subject)?)?;
            let id = body.get("id").and_then(text).filter(|id| !id.is_empty());
            Some(TicketEvent { id, ticket, kind: kind.to_owned() })
        }
        None => {
            let ticket = number(&text(body.get("ticket_id")?)?)?;
            Some(TicketEvent { id: None, ticket, kind: "trigger".to_owned() })
        }
    }
}

/// An ID, which Zendesk writes as text here and as a number there.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Without a `#`, which [`ticket_number`] takes from people.
fn number(id: &str) -> Option<String> {
    ticket_number(id).filter(|_| id.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn signatures_of_zendesk() {
        const BODY: &str = r#"{"ticket_id":"1001"}"#;
        const TIME: &str = "2026-01-02T03:04:05Z";
        const RIGHT: &str = "iti0QgNii4INNokvKdRataPRRlaecXpEu3z32yN9vqo=";
        const EMPTY: &str = "1xsiPKGHFyXedEmvxNaOg4VQ2U4XjHcPMETpJymjCkg=";
        let signed_ms = TIME.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        for (secret, time, signature, body, after_s, result) in [
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, BODY, 0, Ok(())),
            (TEST_WEBHOOK_SECRET, TIME, EMPTY, "", 0, Ok(())),
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, BODY, 300, Ok(())),
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, BODY, -300, Ok(())),
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, BODY, 301, Err(BadSignature::TooOld)),
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, BODY, -301, Err(BadSignature::InFuture)),
            (TEST_WEBHOOK_SECRET, TIME, RIGHT, "{}", 0, Err(BadSignature::Mismatch)),
            (TEST_WEBHOOK_SECRET, TIME, EMPTY, BODY, 0, Err(BadSignature::Mismatch)),
            (TEST_WEBHOOK_SECRET, TIME, "aXRp", BODY, 0, Err(BadSignature::Mismatch)),
            (TEST_WEBHOOK_SECRET, TIME, "", BODY, 0, Err(BadSignature::Mismatch)),
            (TEST_WEBHOOK_SECRET, TIME, "not base64", BODY, 0, Err(BadSignature::Malformed)),
            (TEST_WEBHOOK_SECRET, "1767323045", RIGHT, BODY, 0, Err(BadSignature::Malformed)),
            (TEST_WEBHOOK_SECRET, "", RIGHT, BODY, 0, Err(BadSignature::Malformed)),
            ("another", TIME, RIGHT, BODY, 0, Err(BadSignature::Mismatch)),
            // The time is signed as it is written.
            (TEST_WEBHOOK_SECRET, "2026-01-02T03:04:05+00:00", RIGHT, BODY, 0, Err(BadSignature::Mismatch)),
        ] {
            let now_ms = signed_ms + after_s * 1000;
            let checked = verify_webhook(secret, time, signature, body.as_bytes(), now_ms);
            assert_eq!(checked, result, "{secret} {time} {signature} {body} {after_s}");
        }
    }

    #[test]
    fn the_test_secret_is_known_in_both_forms() {
        assert_eq!(STANDARD.encode(TEST_WEBHOOK_SECRET_DECODED), TEST_WEBHOOK_SECRET);
        assert!(is_test_secret(TEST_WEBHOOK_SECRET) && is_test_secret(" this_secret_is_for_testing_only\n"));
        assert!(!is_test_secret("dGhpc19zZWNyZXQ="));
    }

    #[test]
    fn events_and_triggers_name_a_ticket() {
        let event = |kind: &str| {
            json!({"type": kind, "account_id": 1, "id": "2b24ef10", "time": "2026-01-01T00:00:00Z",
                "zendesk_event_version": "2022-06-20", "subject": "zen:ticket:35436",
                "detail": {"id": "35436", "status": "CLOSED"}, "event": {"current": "CLOSED"}})
        };
        let with = |field: &str, value: Value| {
            let mut event = event("zen:event-type:ticket.status_changed");
            event[field] = value;
            event
        };
        let status = |id: Option<&str>, ticket: &str| {
            let (id, ticket) = (id.map(str::to_owned), ticket.to_owned());
            Some(TicketEvent { id, ticket, kind: "status_changed".to_owned() })
        };
        let trigger = |ticket: &str| {
            Some(TicketEvent { id: None, ticket: ticket.to_owned(), kind: "trigger".to_owned() })
        };
        for (body, found) in [
            (event("zen:event-type:ticket.status_changed"), status(Some("2b24ef10"), "35436")),
            (with("id", json!(7)), status(Some("7"), "35436")),
            (with("id", Value::Null), status(None, "35436")),
            (with("detail", json!({"id": 35437})), status(Some("2b24ef10"), "35437")),
            (with("detail", json!({})), status(Some("2b24ef10"), "35436")),
            (with("detail", json!({"id": "../1"})), None),
            (with("subject", json!("zen:user:1")), status(Some("2b24ef10"), "35436")),
            (event("zen:event-type:user.created"), None),
            (event("zen:event-type:ticketing.other"), None),
            (json!({"ticket_id": "1001", "status": "closed"}), trigger("1001")),
            (json!({"ticket_id": 1001}), trigger("1001")),
            (json!({"ticket_id": "#1001"}), None),
            (json!({"ticket_id": "{{ticket.id}}"}), None),
            (json!({"ticket_id": ""}), None),
            (json!({"ticket_id": -1}), None),
            (json!({"ticket_id": 1.5}), None),
            (json!({}), None),
            (json!("1001"), None),
        ] {
            assert_eq!(parse_webhook(body.to_string().as_bytes()), found, "{body}");
        }
        assert_eq!(parse_webhook(b"ticket_id=1001"), None);
    }
}
