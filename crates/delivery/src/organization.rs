//! What support should know about a partner, as lines of an internal note. Pure.

use tickets::Notes;

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
            lines.extend(quoted(text));
        }
    }
    if let Some(text) = &notes.operator {
        lines.push("Operator's notes:".to_owned());
        lines.extend(quoted(text));
    }
    lines
}

/// Each line escaped: whoever edits these notes must not be able to forge one of our markers by accident.
fn quoted(text: &str) -> Vec<String> {
    let cut: String = text.chars().take(CHARS_MAX).collect();
    cut.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("- {}", desk::escape(line)))
        .collect()
}
