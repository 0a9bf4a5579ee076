//! What a side file says: the digest that its text gives a file, as programs of Unix and of Windows write it. Pure.
//! Invariant: a text that names a digest, but none that can be compared, is not taken for one that names none.

use crate::{Algorithm, Digest};

/// Longest side file: a line has a digest and a name, and there may be a few lines.
pub(crate) const SIDE_BYTES_MAX: u64 = 64 * 1024;
/// So many hexadecimal digits in a row are meant for a digest.
const DIGITS_MIN: usize = 16;

/// What a side file says of its file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Its digest.
    Digest(Digest),
    /// Nothing: it names digests of other files, or none.
    Nothing,
    /// A digest that is none of this hash: cut off, say, or of another hash.
    Unreadable,
}

/// The file that a side file of this name is about, and by which hash: `core.gz.sha256` is about `core.gz`.
pub(crate) fn side_of(name: &str) -> Option<(&str, Algorithm)> {
    let (target, suffix) = name.rsplit_once('.')?;
    let algorithm = match suffix.to_ascii_lowercase().as_str() {
        "sha256" => Algorithm::Sha256,
        "md5" => Algorithm::Md5,
        _ => return None,
    };
    (!target.is_empty()).then_some((target, algorithm))
}

/// What a side file says of `target`. Of several digests the one beside its name counts; one alone counts whatever stands
/// around it: a file may have been renamed, and programs write headings.
pub(crate) fn in_side(bytes: &[u8], target: &str, algorithm: Algorithm) -> Said {
    let (text, digits) = (decoded(bytes), algorithm.bytes() * 2);
    let rows: Vec<_> = text.lines().filter_map(|line| row(line.trim(), digits)).collect();
    let named = rows.iter().find(|row| row.name.rsplit(['/', '\\']).next() == Some(target));
    let found = match rows.as_slice() {
        [only] => Some(only),
        _ => named,
    };
    match found {
        Some(row) => Said::Digest(Digest { algorithm, hex: row.hex.to_ascii_lowercase() }),
        None if rows.is_empty() && runs(&text).any(|run| run.len() >= DIGITS_MIN) => Said::Unreadable,
        None => Said::Nothing,
    }
}

/// The text, in UTF-8 or, as PowerShell writes it, in UTF-16.
fn decoded(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a byte order mark: of a character of ASCII one of its two bytes is zero.
        [_, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, _, ..] => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// A digest and the name beside it, which may be empty.
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
    // certutil of Windows 7 and 8 writes each byte by itself.
    if line.split(' ').all(|pair| pair.len() == 2) && is_digest(&line.replace(' ', "")) {
        return Some(Row { hex: line.replace(' ', ""), name: "" });
    }
    // `HEX`, `HEX  NAME`, `HEX *NAME`, with a backslash in front where the name is escaped; `SHA256  HEX  PATH`; `Hash : HEX`.
    // A name may hold such a run of digits itself: before it, the first one counts, behind it, the last.
    let mut found = runs(line).filter(|run| is_digest(run));
    let first = found.next()?;
    let at_start = line.trim_start_matches('\\').starts_with(first);
    let hex = if at_start { first } else { found.last().unwrap_or(first) };
    let at = if at_start { line.find(hex) } else { line.rfind(hex) }?;
    let after = line[at + hex.len()..].trim_start().trim_start_matches('*');
    let name = if after.is_empty() { line[..at].trim_end().trim_end_matches(':') } else { after };
    Some(Row { hex: hex.to_owned(), name })
}

/// Words that may be digests.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_files() {
        for (name, expected) in [
            ("core.gz.sha256", Some(("core.gz", Algorithm::Sha256))),
            ("core.gz.MD5", Some(("core.gz", Algorithm::Md5))),
            (".sha256", None),
            ("sha256", None),
            ("core.sha1", None),
        ] {
            assert_eq!(side_of(name), expected, "{name}");
        }
    }

    fn says(bytes: &[u8]) -> Result<Option<String>, ()> {
        match in_side(bytes, "core.gz", Algorithm::Md5) {
            Said::Digest(digest) => Ok(Some(digest.hex)),
            Said::Nothing => Ok(None),
            Said::Unreadable => Err(()),
        }
    }

    #[test]
    fn what_a_side_file_says() {
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
            // A digest of another hash, or what a narrow window has cut off.
            (format!("{a}0"), Err(())),
            ("c".repeat(64), Err(())),
            (format!("MD5       {}...\r\n", &a[..20]), Err(())),
        ] {
            let expected = expected.map(|hex| hex.map(|hex| hex.to_ascii_lowercase()));
            assert_eq!(says(text.as_bytes()), expected, "{text:?}");
            let units: Vec<_> = text.trim_start_matches('\u{feff}').encode_utf16().collect();
            let le = |mark: &[u8]| {
                [mark, &units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>()].concat()
            };
            let be: Vec<_> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            for bytes in [le(&[0xff, 0xfe]), [&[0xfe, 0xff], &be[..]].concat(), le(&[]), be] {
                assert_eq!(says(&bytes), expected, "UTF-16: {text:?}");
            }
        }
    }
}
