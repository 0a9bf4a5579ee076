//! Text that people write. Pure.

/// Control characters, and those that reorder text or cannot be seen.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2028}' | '\u{2029}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with nothing but lines, tabs and visible characters.
pub fn visible(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter(|c| matches!(c, '\n' | '\t') || !is_unprintable(*c)).collect()
}
