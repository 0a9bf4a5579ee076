//! Digests that a sender announces, and the side files that name one. Pure.
//! Invariant: what is compared was computed over every byte of the file; what cannot be computed is not said to be compared.

/// A hash that a file can be compared by. Names as in the registry of RFC 9530, but for SHA-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Of every file.
    Sha256,
    /// Where announced before the body.
    Sha512,
    /// Where announced before the body.
    Sha1,
    /// Where announced before the body.
    Md5,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha512, Self::Sha1, Self::Md5];

    /// The name in receipts and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
            Self::Sha1 => "sha-1",
            Self::Md5 => "md5",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Bytes of a digest.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
            Self::Md5 => 16,
        }
    }
}

/// A digest as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// By which hash.
    pub algorithm: Algorithm,
    /// Lower-case hex.
    pub hex: String,
}

/// Digests as the ledger keeps them: `md5 HEX,sha-256 HEX`.
pub(crate) fn to_text(digests: &[Digest]) -> String {
    let each = digests.iter().map(|digest| format!("{} {}", digest.algorithm.name(), digest.hex));
    each.collect::<Vec<_>>().join(",")
}

/// What [`to_text`] wrote.
pub(crate) fn from_text(text: &str) -> Vec<Digest> {
    let read = |item: &str| {
        let (algorithm, hex) = item.split_once(' ')?;
        Some(Digest { algorithm: Algorithm::parse(algorithm)?, hex: hex.to_owned() })
    };
    text.split(',').filter_map(read).collect()
}

/// Longest side file: a line has a digest and a name, and there may be a few lines.
pub(crate) const SIDE_BYTES_MAX: u64 = 64 * 1024;

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

/// The digest that a side file's text gives `target`: alone, or as `sha256sum`, `md5sum`, BSD and OpenSSL write it. Lines
/// for other files are passed over; none when nothing fits.
pub(crate) fn in_side(text: &[u8], target: &str, algorithm: Algorithm) -> Option<Digest> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> =
        text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let read = |line: &str| -> Option<(String, String)> {
        // `SHA256 (NAME) = HEX`, `SHA2-256(NAME)= HEX`
        if let Some((before, hex)) = line.rsplit_once('=')
            && let Some((_, name)) = before.trim().strip_suffix(')').and_then(|rest| rest.split_once('('))
        {
            return Some((hex.trim().to_owned(), name.to_owned()));
        }
        // `HEX`, `HEX  NAME`, `HEX *NAME`, and with a backslash in front where the name is escaped
        let line = line.strip_prefix('\\').unwrap_or(line);
        let (hex, name) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        Some((hex.to_owned(), name.trim_start().trim_start_matches('*').to_owned()))
    };
    let found = lines.iter().filter_map(|line| read(line)).find(|(hex, name)| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let named = last == target || (lines.len() == 1 && hex.len() == algorithm.bytes() * 2);
        named && hex.len() == algorithm.bytes() * 2 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    found.map(|(hex, _)| Digest { algorithm, hex: hex.to_ascii_lowercase() })
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

    #[test]
    fn what_a_side_file_says() {
        let (a, b) = ("a".repeat(32), "B".repeat(32));
        for (text, expected) in [
            (a.clone(), Some(&a)),
            (format!("{a}\n"), Some(&a)),
            (format!("\u{feff}{a}\r\n"), Some(&a)),
            (format!("{a}  core.gz\n"), Some(&a)),
            (format!("{a} *core.gz\n"), Some(&a)),
            (format!("{a}  /var/log/core.gz\n"), Some(&a)),
            (format!("{a}  renamed-since.gz\n"), Some(&a)),
            (format!("{b}  other\n{a}  core.gz\n"), Some(&a)),
            (format!("{b}  other\n{b}  another\n"), None),
            (format!("MD5 (core.gz) = {a}\n"), Some(&a)),
            (format!("MD5(core.gz)= {a}\n"), Some(&a)),
            (format!("\\{a}  core.gz\n"), Some(&a)),
            (b.clone(), Some(&b)),
            (format!("{a}0"), None),
            ("no digest here".to_owned(), None),
            (String::new(), None),
        ] {
            let found = in_side(text.as_bytes(), "core.gz", Algorithm::Md5);
            assert_eq!(
                found.map(|digest| digest.hex),
                expected.map(|hex| hex.to_ascii_lowercase()),
                "{text:?}"
            );
        }
    }
}
