//! The digests that a client asks for (`Want-Repr-Digest`, RFC 9530 section 4). Only SHA-256 is always known: nothing is
//! hashed again for an answer. Pure.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{Dictionary, ListEntry, Parser};

use super::list;

/// Whether the client wants SHA-256: `sha-256=1` to `sha-256=10`. 0 means no; an unreadable header is ignored.
pub(crate) fn sha256(headers: &HeaderMap) -> bool {
    let Ok(Some(wanted)) = list(headers, "want-repr-digest") else { return false };
    let wanted = wanted.to_ascii_lowercase();
    let Ok(wanted) = Parser::new(&wanted).parse::<Dictionary>() else { return false };
    let Some(ListEntry::Item(weight)) = wanted.get("sha-256") else { return false };
    weight.bare_item.as_integer().is_some_and(|weight| (1..=10).contains(&i64::from(weight)))
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
