//! File names: accepted unchanged, or refused with a reason. Never "cleaned": a receipt names the file that its sender
//! knows.

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

use crate::problem::{self, Problem};

/// Longest name, bytes of UTF-8 after normalisation: what every file system accepts.
const NAME_BYTES_MAX: usize = 255;

/// The name in a path segment, percent-decoded.
pub(crate) fn from_segment(segment: &str) -> Result<String, Problem> {
    check(&decode(segment)?)
}

pub(crate) fn decode(segment: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map(Into::into).map_err(|_| problem::bad_name("is not UTF-8 after percent-decoding"))
}

/// The name, normalised to NFC, if it can be used.
pub(crate) fn check(name: &str) -> Result<String, Problem> {
    let name: String = name.nfc().collect();
    let why = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is the name of a directory"
    } else if name.contains(['/', '\\']) {
        "contains a slash or a backslash"
    } else if name.chars().any(char::is_control) {
        "contains a control character"
    } else if name.chars().any(is_bidi_override) {
        "contains a character that reverses the writing direction"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 255 bytes"
    } else {
        return Ok(name);
    };
    Err(problem::bad_name(why))
}

/// Characters that make a name read as another one (Unicode TR 9: embeddings, overrides, isolates, marks).
fn is_bidi_override(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
}

/// A name for a file without one: the time, and a suffix by media type.
pub(crate) fn generate(content_type: Option<&str>, now_ms: i64) -> String {
    let time: String =
        ledger::rfc3339(now_ms / 1000 * 1000).chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    // The first entry for a type is seldom the usual one. These are common in support.
    let suffix = match essence {
        "text/plain" => "txt",
        "application/json" => "json",
        "application/gzip" | "application/x-gzip" => "gz",
        "application/zip" => "zip",
        "application/x-tar" => "tar",
        "application/xml" | "text/xml" => "xml",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "application/pdf" => "pdf",
        other => {
            mime_guess::get_mime_extensions_str(other).and_then(|all| all.first()).copied().unwrap_or("bin")
        }
    };
    format!("upload-{time}.{suffix}")
}

/// The media type: the sender's if it is useful, otherwise by the name's suffix.
pub(crate) fn content_type(declared: Option<&str>, name: &str) -> String {
    let useful = declared.map(str::trim).filter(|text| {
        text.len() <= 255
            && text.contains('/')
            && text.bytes().all(|b| (0x20..0x7f).contains(&b))
            && !matches!(*text, "application/octet-stream" | "application/x-www-form-urlencoded")
    });
    match useful {
        Some(text) => text.to_owned(),
        None => mime_guess::from_path(name).first_or_octet_stream().essence_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_path() {
        for (segment, expected) in [
            ("a.log", Ok("a.log")),
            ("a%20b%22c%27.log", Ok("a b\"c'.log")),
            ("%E2%82%AC.txt", Ok("€.txt")),
            ("e%CC%81", Ok("é")),
            ("100%25", Ok("100%")),
            ("...", Ok("...")),
            (".hidden", Ok(".hidden")),
            ("a%2Fb", Err("slash")),
            ("a%5Cb", Err("slash")),
            ("%2E%2E", Err("directory")),
            (".", Err("directory")),
            ("", Err("empty")),
            ("a%00b", Err("control")),
            ("a%0Ab", Err("control")),
            ("a%C2%85b", Err("control")),
            ("%E2%80%AEgpj.exe", Err("direction")),
            ("a%FFb", Err("UTF-8")),
            ("a%EF%BF%BDb", Ok("a\u{fffd}b")),
        ] {
            match (from_segment(segment), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name, expected),
                (Err(problem), Err(part)) => {
                    let detail = problem.detail();
                    assert!(detail.contains(part), "{segment}: {detail}");
                }
                (other, _) => panic!("{segment}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_longest_name_has_255_bytes() {
        assert!(check(&"x".repeat(255)).is_ok());
        assert!(check(&"x".repeat(256)).is_err());
        assert!(check(&"é".repeat(127)).is_ok());
        assert!(check(&"é".repeat(128)).is_err());
    }

    #[test]
    fn generated_names_have_a_suffix_by_type() {
        for (content_type, suffix) in
            [(Some("application/gzip"), ".gz"), (Some("text/plain; charset=utf-8"), ".txt"), (None, ".bin")]
        {
            let name = generate(content_type, 1_700_000_000_123);
            assert_eq!(name, format!("upload-20231114T221320Z{suffix}"));
        }
    }
}
