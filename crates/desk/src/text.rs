//! Text between people and the desk: strangers' words made harmless, ticket numbers read as people write them. Pure.

/// A 64-bit id has no more digits.
const MAX_ID_DIGITS: usize = 20;

/// Makes text from outside safe inside a Markdown comment: a code span on one line, which shows it as it is. Inside, no
/// markup, HTML or reference has a meaning; backticks, addresses and Zendesk's `{{placeholders}}` are taken apart, since a
/// code span does not protect from them; what cannot be seen is left out. Ordinary file names stay as they are.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            // The end of the span.
            '`' => shown.push('\''),
            c if c.is_whitespace() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') => shown.push(' '),
            c if c.is_control() || is_unseen(c) => {}
            c => shown.push(c),
        }
    }
    let words: Vec<&str> = shown.split(' ').filter(|word| !word.is_empty()).collect();
    let mut shown = words.join(" ");
    for (live, dead) in [("//", "/ /"), ("{{", "{ {"), ("{%", "{ %")] {
        // Again, for `///` and `{{{`.
        while shown.contains(live) {
            shown = shown.replace(live, dead);
        }
    }
    // An empty span would be two backticks that open a longer one.
    if shown.is_empty() { "`-`".to_owned() } else { format!("`{}`", unlink(&shown)) }
}

/// Takes `www.` and `mailto:` apart at the beginning of a word: the two links that need no slashes.
fn unlink(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for (at, c) in text.char_indices() {
        out.push(c);
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        for start in ["www.", "mailto:", "tel:"] {
            let begin = rest.get(..start.len()).unwrap_or_default();
            if begins && begin.eq_ignore_ascii_case(start.as_bytes()) {
                // The first letter stands apart from the rest.
                out.push(' ');
            }
        }
        begins = !c.is_alphanumeric();
    }
    out
}

/// Characters that show nothing or change the order of what is shown: bidirectional controls, joiners, tags, fillers.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A ticket's number as people write it: spaces around, `#` in front. `None` if it is none.
pub fn ticket_number(input: &str) -> Option<String> {
    let digits = input.trim();
    let digits = digits.strip_prefix('#').unwrap_or(digits).trim_start();
    if digits.is_empty() || digits.len() > MAX_ID_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let number = digits.trim_start_matches('0');
    (!number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_words_are_harmless() {
        for (text, shown) in [
            ("core.tar.gz", "`core.tar.gz`"),
            ("my_file-2 (1).log", "`my_file-2 (1).log`"),
            ("**bold** _x_ # [a](b) <b> &amp;", "`**bold** _x_ # [a](b) <b> &amp;`"),
            ("a`b``c", "`a'b''c`"),
            ("a\r\n# b\tc\u{2028}d", "`a # b c d`"),
            ("  a   b ", "`a b`"),
            ("a\u{202e}gpj.exe", "`agpj.exe`"),
            ("a\u{0}\u{1b}[31mb\u{200b}c\u{feff}\u{e0041}", "`a[31mbc`"),
            ("http://evil.example/x", "`http:/ /evil.example/x`"),
            ("///", "`/ / /`"),
            ("www.evil.example", "`w ww.evil.example`"),
            ("see WWW.evil.example", "`see W WW.evil.example`"),
            ("awww.txt", "`awww.txt`"),
            ("mailto:a@b.example", "`m ailto:a@b.example`"),
            ("{{ticket.requester.email}}", "`{ {ticket.requester.email}}`"),
            ("{{{% x", "`{ { { % x`"),
            ("", "`-`"),
            ("\u{200b} \n", "`-`"),
            ("Größe 日本.txt", "`Größe 日本.txt`"),
        ] {
            assert_eq!(escape(text), shown, "{text:?}");
        }
    }

    #[test]
    fn ticket_numbers_as_people_write_them() {
        for (input, number) in [
            ("1001", Some("1001")),
            (" #1001 ", Some("1001")),
            ("# 1001", Some("1001")),
            ("0042", Some("42")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("", None),
            ("#", None),
            ("0", None),
            ("##1", None),
            ("10 01", None),
            ("1001a", None),
            ("T123456789", None),
            ("123456789012345678901", None),
            ("١٢", None),
        ] {
            assert_eq!(ticket_number(input).as_deref(), number, "{input:?}");
        }
    }
}
