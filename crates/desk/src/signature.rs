//! What the signatures of Zendesk's and Slack's requests share: HMAC-SHA256 over a time and the body.
//!
//! Invariant: signatures are compared in constant time, and only a request of the last five minutes counts.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A longer difference between the clocks, in either direction, makes a request unacceptable.
const SECONDS_APART_MAX: u64 = 300;

/// Why a request does not count as sent by the one who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("the signature or its timestamp is malformed")]
    Malformed,
    #[error("the signature is more than five minutes old")]
    TooOld,
    #[error("the signature is more than five minutes in the future: compare the clocks")]
    InFuture,
    #[error("the signature does not match the request: compare the signing secrets")]
    Mismatch,
}

/// Checks a decoded signature over these pieces, which are signed one after the other. Nothing matches an empty secret.
pub(crate) fn check(secret: &str, pieces: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
    if secret.is_empty() {
        return Err(BadSignature::Mismatch);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| BadSignature::Mismatch)?;
    for piece in pieces {
        mac.update(piece);
    }
    mac.verify_slice(signature).map_err(|_| BadSignature::Mismatch)
}

/// Checks when a request was signed, in seconds since the epoch.
pub(crate) fn check_time(signed_at: i64, now: i64) -> Result<(), BadSignature> {
    if signed_at.abs_diff(now) <= SECONDS_APART_MAX {
        Ok(())
    } else if signed_at < now {
        Err(BadSignature::TooOld)
    } else {
        Err(BadSignature::InFuture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_apart_are_accepted() {
        for (signed_at, result) in [
            (1000, Ok(())),
            (700, Ok(())),
            (699, Err(BadSignature::TooOld)),
            (1300, Ok(())),
            (1301, Err(BadSignature::InFuture)),
            (i64::MIN, Err(BadSignature::TooOld)),
            (i64::MAX, Err(BadSignature::InFuture)),
        ] {
            assert_eq!(check_time(signed_at, 1000), result, "{signed_at}");
        }
    }
}
