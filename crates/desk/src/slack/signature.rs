//! Whether Slack sent a request: `v0=` and the HMAC of `v0:{time}:{body}` in hex.
//!
//! Invariant: an unknown version of the signature is refused, never skipped.

use crate::signature::{BadSignature, check, check_time};

/// Checks `X-Slack-Request-Timestamp` and `X-Slack-Signature` against the body. `now_s` is in seconds since the epoch.
///
/// # Errors
/// Says what is wrong with the signature.
pub(super) fn verify(
    signing_secret: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now_s: i64,
) -> Result<(), BadSignature> {
    let signed_at = Some(timestamp).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let signed_at: i64 = signed_at.and_then(|text| text.parse().ok()).ok_or(BadSignature::Malformed)?;
    let signature = signature.strip_prefix("v0=").and_then(|hex| hex::decode(hex).ok());
    let signature = signature.ok_or(BadSignature::Malformed)?;
    check_time(signed_at, now_s)?;
    check(signing_secret, &[b"v0:", timestamp.as_bytes(), b":", body], &signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const SIGNED: i64 = 1_531_420_618;
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F\
        397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const DIGEST: &str = "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    #[test]
    fn signatures_of_slack() {
        let v0 = format!("v0={DIGEST}");
        let (other, short) = (format!("v1={DIGEST}"), "v0=a2114d");
        for (secret, time, signature, body, now, result) in [
            (SECRET, TIME, v0.as_str(), BODY, SIGNED, Ok(())),
            (SECRET, TIME, &v0, BODY, SIGNED + 300, Ok(())),
            (SECRET, TIME, &v0, BODY, SIGNED - 300, Ok(())),
            (SECRET, TIME, &v0, BODY, SIGNED + 301, Err(BadSignature::TooOld)),
            (SECRET, TIME, &v0, BODY, SIGNED - 301, Err(BadSignature::InFuture)),
            (SECRET, TIME, &v0, "token=x", SIGNED, Err(BadSignature::Mismatch)),
            (SECRET, "1531420619", &v0, BODY, SIGNED, Err(BadSignature::Mismatch)),
            (SECRET, TIME, short, BODY, SIGNED, Err(BadSignature::Mismatch)),
            (SECRET, TIME, "v0=", BODY, SIGNED, Err(BadSignature::Mismatch)),
            ("another", TIME, &v0, BODY, SIGNED, Err(BadSignature::Mismatch)),
            ("", TIME, &v0, BODY, SIGNED, Err(BadSignature::Mismatch)),
            (SECRET, TIME, &other, BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, TIME, DIGEST, BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, TIME, "v0=not hex", BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, TIME, "", BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, "", &v0, BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, "+1531420618", &v0, BODY, SIGNED, Err(BadSignature::Malformed)),
            (SECRET, "soon", &v0, BODY, SIGNED, Err(BadSignature::Malformed)),
        ] {
            let checked = verify(secret, time, signature, body.as_bytes(), now);
            assert_eq!(checked, result, "{secret} {time} {signature} {now}");
        }
    }
}
