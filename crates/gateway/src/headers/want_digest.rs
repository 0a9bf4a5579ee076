//! The digests that a client asks for (`Want-Repr-Digest`, RFC 9530 section 4). Only SHA-256 is always known: nothing is
//! hashed again for an answer. Pure.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether the client wants SHA-256: `sha-256=1` to `sha-256=10`. 0 means no; unreadable values are ignored.
pub(crate) fn sha256(headers: &HeaderMap) -> bool {
    let values = headers.get_all("want-repr-digest").iter().filter_map(|value| value.to_str().ok());
    // The last of equal keys counts (RFC 9651 section 4.2.2).
    let mut weights = values.flat_map(|value| value.split(',')).filter_map(|member| {
        let (key, weight) = member.trim().split_once('=')?;
        key.trim_end()
            .eq_ignore_ascii_case("sha-256")
            .then(|| weight.split(';').next().unwrap_or_default().trim())
    });
    let weight = weights.next_back().and_then(|weight| weight.parse::<u8>().ok());
    weight.is_some_and(|weight| (1..=10).contains(&weight))
}

/// `sha-256=:BASE64:` of a digest in hex.
pub(crate) fn digest(sha256: &str) -> Option<String> {
    let bytes: [u8; 32] = hex::decode(sha256).ok()?.try_into().ok()?;
    Some(format!("sha-256=:{}:", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        for (values, expected) in [
            (&["sha-256=10"][..], true),
            (&["sha-512=10, sha-256=1"], true),
            (&["sha-512=10", "sha-256=3;a"], true),
            (&["sha-512=10"], false),
            (&["sha-256=0"], false),
            (&["sha-256=11"], false),
            (&["sha-256=1, sha-256=0"], false),
            (&["sha-256"], false),
            (&["sha-256=-1"], false),
            (&["sha-256=1.5"], false),
            (&["SHA-256=1"], true),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("want-repr-digest", value.parse().unwrap());
            }
            assert_eq!(sha256(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn digests() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let expected = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!(digest(empty).as_deref(), Some(expected));
        for wrong in ["", "e3", &"g".repeat(64), &"\u{e9}".repeat(32)] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
