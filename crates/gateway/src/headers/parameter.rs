//! Parameters of a header (`; name=value`), and the file name that they give. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::problem::{self, Problem};

/// The value of a parameter, by its name in any case.
pub(crate) fn parameter(header: &str, wanted: &str) -> Option<String> {
    parameters(header).into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// The file name of a `Content-Disposition` (RFC 6266; RFC 7578 for forms). `filename*` wins over `filename`, and so does a name
/// in pieces (`filename*0`, RFC 2231 section 3). Accepts what browsers and curl write: raw UTF-8 in quotes, a quote as `\"`
/// or `%22`. Invalid UTF-8 is refused, not replaced.
pub(crate) fn disposition_filename(value: &[u8]) -> Result<Option<String>, NotUtf8> {
    let text = String::from_utf8_lossy(value);
    let (mut plain, mut extended, mut pieces) = (None, None, BTreeMap::new());
    for (name, value) in parameters(&text) {
        let Some((_, section)) =
            name.split_at_checked("filename".len()).filter(|(name, _)| name.eq_ignore_ascii_case("filename"))
        else {
            continue;
        };
        match section.strip_prefix('*') {
            None if section.is_empty() => plain = Some(value.replace("%22", "\"")),
            None => {}
            Some("") => extended = Some(value),
            Some(section) => {
                let number = section.strip_suffix('*').unwrap_or(section).parse::<u32>();
                // A section without a number leaves a piece of the name missing.
                pieces.insert(number.unwrap_or(u32::MAX), (section.ends_with('*'), value));
            }
        }
    }
    let given = extended.is_some() || !pieces.is_empty();
    let decoded = match extended {
        Some(value) => decode(&[(true, value)])?,
        None if given => joined(pieces)?,
        None => None,
    };
    match decoded.or(plain) {
        Some(name) if name.contains(char::REPLACEMENT_CHARACTER) && matches!(text, Cow::Owned(_)) => {
            Err(NotUtf8(name))
        }
        None if given => Err(NotUtf8(text.into_owned())),
        name => Ok(name),
    }
}

/// Joins a name in pieces; none if a piece is missing.
fn joined(pieces: BTreeMap<u32, (bool, String)>) -> Result<Option<String>, NotUtf8> {
    if !pieces.keys().copied().eq((0..).take(pieces.len())) {
        return Ok(None);
    }
    decode(&pieces.into_values().collect::<Vec<_>>())
}

/// Decodes `charset'language'text` (RFC 8187 section 3.2), percent-encoded in the pieces marked so; none if the charset is
/// unknown.
fn decode(pieces: &[(bool, String)]) -> Result<Option<String>, NotUtf8> {
    let (mut charset, mut bytes) = ("", Vec::new());
    for (at, (encoded, value)) in pieces.iter().enumerate() {
        let mut text = value.as_str();
        if at == 0
            && *encoded
            && let Some((named, rest)) = text.split_once('\'')
            && let Some((_, rest)) = rest.split_once('\'')
        {
            (charset, text) = (named, rest);
        }
        if *encoded {
            bytes.extend(percent_decode_str(text));
        } else {
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    match charset.to_ascii_lowercase().as_str() {
        "" | "utf-8" | "utf8" | "us-ascii" => String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| NotUtf8(String::from_utf8_lossy(error.as_bytes()).into_owned())),
        "iso-8859-1" => Ok(Some(bytes.into_iter().map(char::from).collect())),
        _ => Ok(None),
    }
}

/// A name that is not UTF-8, with replacement characters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8(pub(crate) String);

impl From<NotUtf8> for Problem {
    fn from(_: NotUtf8) -> Self {
        problem::bad_name("is not UTF-8")
    }
}

/// `; name=value` and `; name="quoted \" value"` pairs after the first word.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.split_once(';').map_or("", |(_, rest)| rest);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let Some(end) = rest.find(['=', ';']) else { return found };
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        if rest[end..].starts_with(';') {
            // A word without a value.
            rest = after;
            continue;
        }
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_value(quoted),
            None => {
                let (value, next) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), next)
            }
        };
        found.push((name.trim().to_owned(), value));
        rest = next;
    }
}

/// The text up to the closing quote, and what follows it. Only `\"` and `\\` are escapes: browsers escape nothing else.
fn quoted_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' if matches!(chars.peek(), Some((_, '"' | '\\'))) => {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    (value, "")
}
