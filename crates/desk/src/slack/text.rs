//! Slack's text: how ours is escaped, and what theirs says in plain words. Pure.

use crate::escape::is_invisible;

/// Makes text from strangers harmless in a message: no mention, no link with a false name, all on one line. Characters that
/// are invisible or reorder the text are dropped.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            c if c.is_whitespace() => shown.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => shown.push(c),
        }
    }
    shown
}

/// What a message says: links as their words and address, `&amp;`, `&lt;` and `&gt;` as characters.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        shown.push_str(before);
        if let Some((inside, after)) = after.split_once('>') {
            shown.push_str(&reference(inside));
            rest = after;
        } else {
            shown.push('<');
            rest = after;
        }
    }
    shown.push_str(rest);
    shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What stands between `<` and `>`: an address or a mention, with words for it after a `|`.
fn reference(inside: &str) -> String {
    let (target, words) = inside.split_once('|').unwrap_or((inside, ""));
    let bare = ["tel:", "mailto:"].iter().find_map(|scheme| target.strip_prefix(scheme));
    match (bare, words) {
        (bare, "") => bare.unwrap_or(target).to_owned(),
        // Slack turns numbers and addresses into such links by itself.
        (Some(_), words) => words.to_owned(),
        (None, words) if target.starts_with(['@', '#', '!']) => words.to_owned(),
        (None, words) if target.ends_with(words) => target.to_owned(),
        (None, words) => format!("{words} ({target})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_strangers_is_harmless() {
        for (text, shown) in [
            ("core.tar.gz", "core.tar.gz"),
            ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@U1&gt;"),
            ("<https://evil.example|our page>", "&lt;https://evil.example|our page&gt;"),
            ("a & b &amp; c", "a &amp; b &amp;amp; c"),
            ("a\u{202e}gpj.exe\u{2066}", "agpj.exe"),
            ("a\u{0}\u{1b}[31mb\u{200b}c", "a[31mbc"),
            ("a\r\nb\tc\u{2028}d", "a  b c d"),
            ("Größe 日本.txt", "Größe 日本.txt"),
            ("", ""),
        ] {
            assert_eq!(escape(text), shown, "{text:?}");
        }
    }

    #[test]
    fn messages_are_read_as_people_see_them() {
        for (text, shown) in [
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("&amp;lt;", "&lt;"),
            ("<https://x.example/1>", "https://x.example/1"),
            ("<https://x.example/1|x.example/1>", "https://x.example/1"),
            ("see <https://x.example|the log>.", "see the log (https://x.example)."),
            ("<tel:123456789|123456789>", "123456789"),
            ("<mailto:a@x.example>", "a@x.example"),
            ("<@U1|ann> <#C1|help> <!here> <@U2>", "ann help !here @U2"),
            ("a < b", "a < b"),
        ] {
            assert_eq!(plain(text), shown, "{text:?}");
        }
    }
}
