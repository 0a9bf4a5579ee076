//! Parses side files: the digest that the text gives for a file, as Unix and Windows programs write it. Pure.
//! Invariant: a text with a digest that cannot be compared is not mistaken for a text without a digest.

use crate::{Algorithm, Digest};

/// Largest side file: a few lines, each with a digest and a name.
pub(crate) const SIDE_FILE_BYTES_MAX: u64 = 64 * 1024;
/// This many hexadecimal digits in a row are meant as a digest.
const DIGITS_MIN: usize = 16;

/// What a side file says about its file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SideFileText {
    Digest(Digest),
    /// It has digests of other files, or none.
    None,
    /// Its digest is not of this algorithm, or truncated.
    Unreadable,
}

/// The file that a side file of this name is about, and the algorithm: `core.gz.sha256` is about `core.gz`.
pub(crate) fn target_of(name: &str) -> Option<(&str, Algorithm)> {
    let (target, suffix) = name.rsplit_once('.')?;
    let algorithm = match suffix.to_ascii_lowercase().as_str() {
        "sha256" => Algorithm::Sha256,
        "md5" => Algorithm::Md5,
        _ => return None,
    };
    (!target.is_empty()).then_some((target, algorithm))
}

/// The digest of `target`. Of several digests, the one beside its name counts. A single digest counts whatever surrounds it: the
/// file may have been renamed, and programs write headings.
pub(crate) fn parse(bytes: &[u8], target: &str, algorithm: Algorithm) -> SideFileText {
    let (text, digits) = (decoded(bytes), algorithm.bytes() * 2);
    let rows: Vec<_> = text.lines().filter_map(|line| row(line.trim(), digits)).collect();
    let named = rows.iter().find(|row| row.name.rsplit(['/', '\\']).next() == Some(target));
    let found = match rows.as_slice() {
        [only] => Some(only),
        _ => named,
    };
    match found {
        Some(row) => SideFileText::Digest(Digest { algorithm, hex: row.hex.to_ascii_lowercase() }),
        None if rows.is_empty() && hex_runs(&text).any(|run| run.len() >= DIGITS_MIN) => {
            SideFileText::Unreadable
        }
        None => SideFileText::None,
    }
}

/// The text, in UTF-8, or in UTF-16 as PowerShell writes it.
fn decoded(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a byte order mark: one of the two bytes of an ASCII character is zero.
        [_, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, _, ..] => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// A digest and the name beside it, if any.
struct Row<'t> {
    hex: String,
    name: &'t str,
}

fn row(line: &str, digits: usize) -> Option<Row<'_>> {
    let is_digest = |text: &str| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // `SHA256 (NAME) = HEX`, `SHA2-256(NAME)= HEX`
    if let Some((before, hex)) = line.rsplit_once('=')
        && let Some((_, name)) = before.trim().strip_suffix(')').and_then(|rest| rest.split_once('('))
    {
        return is_digest(hex.trim()).then(|| Row { hex: hex.trim().to_owned(), name });
    }
    // certutil of Windows 7 and 8 separates the bytes.
    if line.split(' ').all(|pair| pair.len() == 2) && is_digest(&line.replace(' ', "")) {
        return Some(Row { hex: line.replace(' ', ""), name: "" });
    }
    // `HEX`, `HEX  NAME`, `HEX *NAME`, with a leading backslash if the name is escaped; `SHA256  HEX  PATH`; `Hash : HEX`.
    // The name may contain such digits itself: the first run counts before a name, the last after it.
    let mut found = hex_runs(line).filter(|run| is_digest(run));
    let first = found.next()?;
    let at_start = line.trim_start_matches('\\').starts_with(first);
    let hex = if at_start { first } else { found.last().unwrap_or(first) };
    let at = if at_start { line.find(hex) } else { line.rfind(hex) }?;
    let after = line[at + hex.len()..].trim_start().trim_start_matches('*');
    let name = if after.is_empty() { line[..at].trim_end().trim_end_matches(':') } else { after };
    Some(Row { hex: hex.to_owned(), name })
}

/// Words of hexadecimal digits.
fn hex_runs(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_file_names() {
        for (name, expected) in [
            ("core.gz.sha256", Some(("core.gz", Algorithm::Sha256))),
            ("core.gz.MD5", Some(("core.gz", Algorithm::Md5))),
            (".sha256", None),
            ("sha256", None),
            ("core.sha1", None),
        ] {
            assert_eq!(target_of(name), expected, "{name}");
        }
    }

    fn digest_in(bytes: &[u8]) -> Result<Option<String>, ()> {
        match parse(bytes, "core.gz", Algorithm::Md5) {
            SideFileText::Digest(digest) => Ok(Some(digest.hex)),
            SideFileText::None => Ok(None),
            SideFileText::Unreadable => Err(()),
        }
    }

    #[test]
    fn side_file_texts() {
        let (a, b) = ("a".repeat(32), "B".repeat(32));
        let spaced = vec!["aa"; 16].join(" ");
        for (text, expected) in [
            (a.clone(), Ok(Some(&a))),
            (format!("{a}\n"), Ok(Some(&a))),
            (format!("\u{feff}{a}\r\n"), Ok(Some(&a))),
            (format!("{a}  core.gz\n"), Ok(Some(&a))),
            (format!("{a} *core.gz\n"), Ok(Some(&a))),
            (format!("{a}  /var/log/core.gz\n"), Ok(Some(&a))),
            (format!("{a}  renamed-since.gz\n"), Ok(Some(&a))),
            (format!("{a}  core-{b}.gz\n"), Ok(Some(&a))),
            (format!("core-{b}.gz: {a}\n"), Ok(Some(&a))),
            (format!("{b}  other\n{a}  core.gz\n"), Ok(Some(&a))),
            (format!("other: {b}\ncore.gz: {a}\n"), Ok(Some(&a))),
            (format!("{b}  other\n{b}  another\n"), Ok(None)),
            (format!("MD5 (core.gz) = {a}\n"), Ok(Some(&a))),
            (format!("MD5(core.gz)= {a}\n"), Ok(Some(&a))),
            (format!("MD5 (other.gz) = {b}\nMD5 (core.gz) = {a}\n"), Ok(Some(&a))),
            (format!("\\{a}  core.gz\n"), Ok(Some(&a))),
            (format!("md5:{a}"), Ok(Some(&a))),
            (b.clone(), Ok(Some(&b))),
            // Windows: certutil, of 10 and of 7; Get-FileHash as a table, as a list, as CSV.
            (
                format!(
                    "MD5 hash of core.gz:\r\n{a}\r\nCertUtil: -hashfile command completed successfully.\r\n"
                ),
                Ok(Some(&a)),
            ),
            (format!("MD5 hash of file core.gz:\r\n{spaced}\r\nCertUtil: -hashfile …\r\n"), Ok(Some(&a))),
            (
                format!(
                    "\r\nAlgorithm Hash Path\r\n--------- ---- ----\r\nMD5       {b}   C:\\d\\core.gz\r\n\r\n"
                ),
                Ok(Some(&b)),
            ),
            (
                format!("\r\nAlgorithm : MD5\r\nHash      : {b}\r\nPath      : C:\\d\\core.gz\r\n"),
                Ok(Some(&b)),
            ),
            (
                format!("\"Algorithm\",\"Hash\",\"Path\"\r\n\"MD5\",\"{b}\",\"C:\\d\\core.gz\"\r\n"),
                Ok(Some(&b)),
            ),
            ("no digest here".to_owned(), Ok(None)),
            ("0123  core.gz\n".to_owned(), Ok(None)),
            (String::new(), Ok(None)),
            // A digest of another algorithm, or truncated by a narrow window.
            (format!("{a}0"), Err(())),
            ("c".repeat(64), Err(())),
            (format!("MD5       {}...\r\n", &a[..20]), Err(())),
        ] {
            let expected = expected.map(|hex| hex.map(|hex| hex.to_ascii_lowercase()));
            assert_eq!(digest_in(text.as_bytes()), expected, "{text:?}");
            let units: Vec<_> = text.trim_start_matches('\u{feff}').encode_utf16().collect();
            let le = |mark: &[u8]| {
                [mark, &units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>()].concat()
            };
            let be: Vec<_> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            for bytes in [le(&[0xff, 0xfe]), [&[0xfe, 0xff], &be[..]].concat(), le(&[]), be] {
                assert_eq!(digest_in(&bytes), expected, "UTF-16: {text:?}");
            }
        }
    }
}
