//! Escapes text from strangers for a comment. Pure.

/// Makes text safe to put in a Markdown comment, as a code span on one line. Markup, HTML and references have no meaning
/// inside a code span. Backticks, links and Zendesk's `{{placeholders}}` do, so they are broken up; invisible characters
/// are dropped. Ordinary file names stay as they are.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            // Would end the span.
            '`' => shown.push('\''),
            c if c.is_whitespace() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') => shown.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => shown.push(c),
        }
    }
    let words: Vec<&str> = shown.split(' ').filter(|word| !word.is_empty()).collect();
    let shown = dead(words.join(" "));
    // An empty span would be two backticks that open a longer one.
    if shown.is_empty() { "`-`".to_owned() } else { format!("`{}`", unlink(&shown)) }
}

/// The same for a text of several lines, as a code block. Blanks stay as they are.
pub fn escape_block(text: &str) -> String {
    let mut block = String::from("```\n");
    for line in text.trim().replace("\r\n", "\n").lines() {
        let shown: String = line
            .chars()
            .filter(|c| *c == '\t' || !(c.is_control() || is_invisible(*c)))
            .map(|c| match c {
                '`' => '\'',
                '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
                c => c,
            })
            .collect();
        block.push_str(&unlink(&dead(shown)));
        block.push('\n');
    }
    block.push_str("```");
    block
}

/// Breaks up links and placeholders.
fn dead(mut shown: String) -> String {
    for (live, dead) in [("//", "/ /"), ("{{", "{ {"), ("{%", "{ %")] {
        // Repeated for `///` and `{{{`.
        while shown.contains(live) {
            shown = shown.replace(live, dead);
        }
    }
    shown
}

/// Breaks up `www.`, `mailto:` and `tel:` at the start of a word: these are links without slashes.
fn unlink(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for (at, c) in text.char_indices() {
        out.push(c);
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        for start in ["www.", "mailto:", "tel:"] {
            let begin = rest.get(..start.len()).unwrap_or_default();
            if begins && begin.eq_ignore_ascii_case(start.as_bytes()) {
                // A space after the first letter breaks the link.
                out.push(' ');
            }
        }
        begins = !c.is_alphanumeric();
    }
    out
}

/// Characters that are invisible or reorder the text: bidirectional controls, joiners, tags, fillers.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_lines_and_nothing_else() {
        for (text, shown) in [
            ("a  b\r\n\tc", "```\na  b\n\tc\n```"),
            ("```\n# x\n~~~", "```\n'''\n# x\n~~~\n```"),
            ("see http://x www.y {{z}}", "```\nsee http:/ /x w ww.y { {z}}\n```"),
            ("a\u{1b}[1m\u{202e}b\u{2028}c", "```\na[1mb c\n```"),
            ("", "```\n```"),
        ] {
            assert_eq!(escape_block(text), shown, "{text:?}");
        }
    }

    #[test]
    fn text_from_strangers_is_harmless() {
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
}
