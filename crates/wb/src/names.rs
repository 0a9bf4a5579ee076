//! Makes names from outside safe for a folder and for a terminal.
//! Invariant: a local name is one path component of at most 255 bytes, and never hidden, reserved or an option.

/// The limit of common file systems, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// A longer "extension" counts as part of the stem, so that a name can be cut.
const EXTENSION_BYTES_MAX: usize = 32;

/// The local file name for an upload.
pub(crate) fn local_name(name: &str, id: &str) -> String {
    let plain: String =
        name.chars().filter(|c| !is_deceptive(*c)).map(|c| if is_separator(c) { '_' } else { c }).collect();
    let plain = plain.trim_start_matches(|c: char| c == '.' || c == '-' || c.is_whitespace());
    // Windows drops trailing dots and spaces, so two names would become one.
    let plain = plain.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let plain = match plain {
        "" => format!("upload-{}", plain_id(id)),
        reserved if is_reserved(reserved) => format!("_{reserved}"),
        usable => usable.to_owned(),
    };
    numbered(&plain, 1)
}

/// The local name with a number, such as `name (2).ext`, cut to fit. Number 1 is the name itself.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    let suffix = if number == 1 { String::new() } else { format!(" ({number})") };
    let (stem, extension) = split_extension(name);
    let room = NAME_BYTES_MAX - suffix.len() - extension.len();
    let stem = &stem[..stem.floor_char_boundary(room)];
    format!("{stem}{suffix}{extension}")
}

/// An upload ID as part of a file name. IDs are letters and digits, but the server's answer is not trusted.
pub(crate) fn plain_id(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(64).collect()
}

/// Text for a terminal: escapes control characters, line breaks and direction overrides.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Control characters, and characters that reorder or hide text (UAX #9, UTR #36).
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | '\\') || (cfg!(windows) && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*'))
}

/// Windows device names, with any extension and in any case ("Naming Files, Paths, and Namespaces", Win32 documentation).
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        other => other.strip_prefix("COM").or_else(|| other.strip_prefix("LPT")).is_some_and(|port| {
            matches!(port, "¹" | "²" | "³") || (port.len() == 1 && port.as_bytes()[0].is_ascii_digit())
        }),
    }
}

/// Stem and extension, with its dot. `.tar.gz` is one extension.
fn split_extension(name: &str) -> (&str, &str) {
    let Some(dot) = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= EXTENSION_BYTES_MAX) else {
        return (name, "");
    };
    let dot = match name[..dot].strip_suffix(".tar") {
        Some(stem) if !stem.is_empty() => stem.len(),
        _ => dot,
    };
    name.split_at(dot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names() {
        let table = [
            ("report.log", "report.log"),
            ("Grüße 1.txt", "Grüße 1.txt"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..\\..\\boot.ini", "_.._boot.ini"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            (" .-. x", "x"),
            ("a\u{202e}fdp.exe", "afdp.exe"),
            ("a\n\r\0\u{1b}[31mb", "a[31mb"),
            ("a\u{85}b\u{2028}c", "abc"),
            ("nul", "_nul"),
            ("NUL.tar.gz", "_NUL.tar.gz"),
            ("com1", "_com1"),
            ("COM¹.txt", "_COM¹.txt"),
            ("common.txt", "common.txt"),
            ("lpt10", "lpt10"),
            ("name. . ", "name"),
            ("", "upload-01ID"),
            ("..", "upload-01ID"),
            ("...", "upload-01ID"),
            ("\u{7f}\u{1}", "upload-01ID"),
            ("/", "_"),
        ];
        for (name, expected) in table {
            assert_eq!(local_name(name, "01ID"), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        for name in ["ü".repeat(300) + ".tar.gz", "x".repeat(300), format!("a.{}", "e".repeat(300))] {
            for number in [1, 2, 4_000_000_000] {
                let cut = numbered(&local_name(&name, "1"), number);
                assert!(cut.len() <= NAME_BYTES_MAX && cut.len() > 240, "{} {cut}", cut.len());
            }
        }
        assert!(local_name(&("ü".repeat(300) + ".tar.gz"), "1").ends_with("ü.tar.gz"));
    }

    #[test]
    fn numbers_go_before_the_extension() {
        let table = [
            ("a.log", "a (2).log"),
            ("a.tar.gz", "a (2).tar.gz"),
            ("a", "a (2)"),
            ("a.b.c", "a.b (2).c"),
            (".tar.gz", ".tar (2).gz"),
        ];
        for (name, expected) in table {
            assert_eq!(numbered(name, 2), expected);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}]0;x\u{7}b\nc"), "a\\u{1b}]0;x\\u{7}b\\nc");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(printable("Grüße 日本"), "Grüße 日本");
        assert_eq!(plain_id("../01\u{1b}A_b-c"), "01A_b-c");
    }
}
