//! What support should know about a partner, as lines of an internal note. Pure.

use tickets::Notes;

use crate::marker::quoted;

/// Longest text of each kind, characters.
const CHARS_MAX: usize = 2_000;

/// No lines if there is nothing to know. For private notes only.
pub(crate) fn lines(notes: &Notes) -> Vec<String> {
    let mut lines = Vec::new();
    if notes.is_empty() {
        return lines;
    }
    lines.push(String::new());
    if let Some(organization) = &notes.organization {
        lines.push(format!("Organisation notes, read at {}:", ledger::rfc3339(organization.fetched_at)));
        for text in [&organization.notes, &organization.details] {
            lines.extend(quoted(text, CHARS_MAX));
        }
    }
    if let Some(text) = &notes.operator {
        lines.push("Operator's notes:".to_owned());
        lines.extend(quoted(text, CHARS_MAX));
    }
    lines
}
