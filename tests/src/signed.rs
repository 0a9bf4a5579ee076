//! Requests as Zendesk and Slack sign them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Sandbox;

fn mac(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

impl Sandbox {
    /// The headers that Zendesk sends with this body, signed now.
    pub fn zendesk_headers(&self, body: &str) -> [String; 2] {
        let timestamp = ledger::rfc3339(ledger::now_ms());
        let signature =
            BASE64_STANDARD.encode(mac(&self.text("/hooks/zendesk_secret"), &format!("{timestamp}{body}")));
        [
            format!("X-Zendesk-Webhook-Signature: {signature}"),
            format!("X-Zendesk-Webhook-Signature-Timestamp: {timestamp}"),
        ]
    }

    /// The headers that Slack sends with this body, signed now.
    pub fn slack_headers(&self, body: &str) -> [String; 2] {
        let timestamp = ledger::now_ms() / 1000;
        let signed = mac(&self.text("/hooks/slack_signing_secret"), &format!("v0:{timestamp}:{body}"));
        let digits: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
        [format!("X-Slack-Signature: v0={digits}"), format!("X-Slack-Request-Timestamp: {timestamp}")]
    }
}
