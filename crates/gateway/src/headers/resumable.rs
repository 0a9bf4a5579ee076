//! Headers of resumable uploads: the IETF draft's and ours (structured fields), and tus 1.0. Pure.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Item, Parser};
use upload::{Algorithm, Digest};

use super::{list, text};
use crate::problem::{self, Problem};

/// A structured item (RFC 9651) without its parameters; `Some(None)` if it cannot be read. One that appears twice is refused.
fn item(headers: &HeaderMap, name: &'static str) -> Result<Option<Option<BareItem>>, Problem> {
    if headers.get_all(name).iter().count() > 1 {
        return Err(problem::bad_request(&format!("The header {name} appears twice. Send it once.")));
    }
    let read = |text| Parser::new(text).parse::<Item>().ok().map(|item| item.bare_item);
    Ok(text(headers, name)?.map(read))
}

/// A whole number of bytes, of at most 15 digits (RFC 9651 section 3.3.1).
fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, Problem> {
    let Some(value) = item(headers, name)? else { return Ok(None) };
    let number = value.and_then(|item| item.as_integer()).and_then(|number| u64::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        problem::bad_request(&format!("The header {name} is not a number of bytes. Write `{name}: 1048576`."))
    })
}

pub(crate) fn offset(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    number(headers, "Upload-Offset")
}

pub(crate) fn length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    number(headers, "Upload-Length")
}

/// `Upload-Complete: ?1`: whether the body ends the file. A request with it speaks the IETF draft. The draft ignores
/// unreadable values; here they are refused, or half a file could be taken for a whole one.
pub(crate) fn complete(headers: &HeaderMap) -> Result<Option<bool>, Problem> {
    let Some(value) = item(headers, "Upload-Complete")? else { return Ok(None) };
    let complete = value.and_then(|item| item.as_boolean());
    let refused = || problem::bad_request("The header Upload-Complete must be `?1` or `?0`.");
    complete.map(Some).ok_or_else(refused)
}

/// `Upload-Metadata` of tus: the decoded value of the first wanted key. A key alone has an empty value.
pub(crate) fn metadata(headers: &HeaderMap, wanted: &[&str]) -> Result<Option<String>, Problem> {
    let malformed = || {
        problem::bad_request(
            "The header Upload-Metadata cannot be read. Write `filename BASE64,filetype BASE64`, each key once.",
        )
    };
    let Some(all) = list(headers, "Upload-Metadata")? else { return Ok(None) };
    let mut found: Option<(usize, String)> = None;
    let mut keys = Vec::new();
    for pair in all.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        let bytes = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
        if keys.contains(&key) {
            return Err(malformed());
        }
        keys.push(key);
        if let Some(rank) = wanted.iter().position(|name| *name == key)
            && found.as_ref().is_none_or(|(best, _)| rank < *best)
        {
            found = Some((rank, String::from_utf8(bytes).map_err(|_| malformed())?));
        }
    }
    Ok(found.map(|(_, value)| value))
}

/// `Upload-Checksum` of tus: a digest of the body.
pub(crate) fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = text(headers, "Upload-Checksum")? else { return Ok(None) };
    let refused = || {
        problem::bad_request(
            "The header Upload-Checksum cannot be used. Write `sha256 BASE64`, `sha1 BASE64` or `md5 BASE64`.",
        )
    };
    let (name, encoded) = value.split_once(' ').ok_or_else(refused)?;
    let algorithm = match name {
        "sha256" => Algorithm::Sha256,
        "sha1" => Algorithm::Sha1,
        "md5" => Algorithm::Md5,
        _ => return Err(refused()),
    };
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| refused())?;
    if bytes.len() != algorithm.bytes() {
        return Err(refused());
    }
    Ok(Some(Digest { algorithm, hex: hex::encode(bytes) }))
}

/// `Content-Digest` and `Content-MD5`: digests of the body alone.
pub(crate) fn content_digests(headers: &HeaderMap) -> Result<Vec<Digest>, Problem> {
    let mut all = super::digests_of(headers, "Content-Digest")?;
    all.extend(super::digests_of(headers, "Content-MD5")?);
    Ok(all)
}

/// `Repr-Digest`: digests of the whole file.
pub(crate) fn file_digests(headers: &HeaderMap) -> Result<Vec<Digest>, Problem> {
    super::digests_of(headers, "Repr-Digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn numbers() {
        for (value, expected) in [
            ("0", Ok(Some(0))),
            ("52776558133248", Ok(Some(52_776_558_133_248))),
            ("999999999999999", Ok(Some(999_999_999_999_999))),
            ("7;a=b", Ok(Some(7))),
            ("1000000000000000", Err(())),
            ("-1", Err(())),
            ("+1", Err(())),
            ("1.0", Err(())),
            ("", Err(())),
            ("x", Err(())),
        ] {
            assert_eq!(offset(&with("upload-offset", value)).map_err(drop), expected, "{value}");
        }
        assert_eq!(length(&HeaderMap::new()).map_err(drop), Ok(None));
    }

    #[test]
    fn booleans() {
        for (value, expected) in
            [("?1", Ok(Some(true))), ("?0;a", Ok(Some(false))), ("1", Err(())), ("true", Err(()))]
        {
            assert_eq!(complete(&with("upload-complete", value)).map_err(drop), expected, "{value}");
        }
    }

    #[test]
    fn what_tus_says_of_a_file() {
        for (value, expected) in [
            ("filename YS5sb2c=", Ok(Some("a.log"))),
            ("name Yi5sb2c=,filename YS5sb2c=", Ok(Some("a.log"))),
            ("name Yi5sb2c=", Ok(Some("b.log"))),
            ("is_confidential,filename YS5sb2c=", Ok(Some("a.log"))),
            ("other YS5sb2c=", Ok(None)),
            ("", Ok(None)),
            ("filename !!", Err(())),
            ("filename YQ==,filename Yg==", Err(())),
            ("filename /w==", Err(())),
        ] {
            let found = metadata(&with("upload-metadata", value), &["filename", "name"]).map_err(drop);
            assert_eq!(found, expected.map(|name| name.map(str::to_owned)), "{value}");
        }
    }

    #[test]
    fn checksums() {
        for (value, good) in [
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", true),
            ("md5 XrY7u+Ae7tCTyyK7j1rNww==", true),
            ("sha1 XrY7u+Ae7tCTyyK7j1rNww==", false),
            ("crc32 AAAA", false),
            ("sha1", false),
            ("sha1 *", false),
        ] {
            assert_eq!(checksum(&with("upload-checksum", value)).is_ok(), good, "{value}");
        }
    }
}
