//! Lines of our comments: markers, which say what was done, and texts of others, which cannot look like one. Pure.
//! Invariant: a marker is a line of its own, and every line of another's text begins with `- ` and is escaped.

use desk::{Comment, escape};

/// Whether one of our comments has this marker.
pub(crate) fn is_in(ours: &[Comment], marker: &str) -> bool {
    ours.iter().any(|comment| comment.body.lines().any(|line| line.trim() == marker))
}

/// What follows a marker of two words in one of our comments.
pub(crate) fn value<'a>(ours: &'a [Comment], marker: &str) -> Option<&'a str> {
    let lines = ours.iter().flat_map(|comment| comment.body.lines());
    lines.filter_map(|line| line.trim().strip_prefix(marker)?.strip_prefix(' ')).next()
}

/// The lines of a text as a list, without empty ones, cut after `chars_max` characters.
pub(crate) fn quoted(text: &str, chars_max: usize) -> Vec<String> {
    let (end, is_cut) = text.char_indices().nth(chars_max).map_or((text.len(), false), |(at, _)| (at, true));
    let lines = text.get(..end).unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
    let mut quoted: Vec<_> = lines.map(|line| format!("- {}", escape(line))).collect();
    if is_cut {
        quoted.push("- (The rest is cut.)".to_owned());
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_has_no_marker() {
        let quoted = quoted("a\n\nmarker: 1\r\n``` `x`\n", 100);
        assert_eq!(quoted, ["- `a`", "- `marker: 1`", "- `''' 'x'`"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(quoted("äöü", 3), ["- `äöü`"]);
        assert_eq!(quoted("äöü", 2), ["- `äö`", "- (The rest is cut.)"]);
    }
}
