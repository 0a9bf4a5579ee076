//! The notes about a partner, in a few lines on standard error, before its files.
//! Invariant: notes never fail or delay a command for long, and programs do not get them.

use std::time::Duration;

use anyhow::anyhow;
use api::PartnerDetails;

use crate::gateway::client::Gateway;
use crate::names::printable;
use crate::output::{self, Output};

/// Longer than the gateway waits for the desk.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Lines of text, without the heading and the line that says where the rest is.
const LINES_MAX: usize = 4;
const LINE_CHARS_MAX: usize = 100;

/// Shows the notes about a partner, if there is one and a person reads along.
pub(super) async fn show(gateway: &Gateway, partner: Option<&str>, output: &Output) {
    let Some(partner) = partner.filter(|_| output.is_for_people()) else { return };
    let asked = tokio::time::timeout(WAIT_MAX, gateway.partner(partner)).await;
    match asked.unwrap_or_else(|_| Err(anyhow!("the gateway takes too long"))) {
        Ok(details) => short(partner, &details).iter().for_each(|line| output.note(line)),
        Err(error) => output.note(&cut(&no_notes(partner, &format!("{error:#}")))),
    }
}

fn no_notes(partner: &str, why: &str) -> String {
    format!("no notes about {partner}: {}", printable(why))
}

fn short(partner: &str, details: &PartnerDetails) -> Vec<String> {
    let texts = [&details.operator_notes, &details.notes, &details.details];
    let texts: Vec<_> =
        texts.into_iter().flatten().map(|text| lines(text)).filter(|text| !text.is_empty()).collect();
    let problem = details.notes_problem.as_deref();
    if texts.is_empty() {
        return problem.map(|why| cut(&no_notes(partner, why))).into_iter().collect();
    }
    let from = details.notes_at.as_deref().map(|time| format!(", from {}", output::date(time)));
    let problem = problem.map(|why| {
        let state = if from.is_some() { "old" } else { "the desk's are missing" };
        format!(" ({state}: {})", printable(why))
    });
    let heading =
        format!("notes about {partner}{}{}:", from.unwrap_or_default(), problem.unwrap_or_default());
    // Each text gets the same share, so that a long one hides no other.
    let share = LINES_MAX / texts.len();
    let mut shown = vec![cut(&heading)];
    shown.extend(texts.iter().flat_map(|text| text.iter().take(share)).map(|line| format!("  {line}")));
    if texts.iter().any(|text| text.len() > share) {
        shown.push(format!("more: wb partner {partner}"));
    }
    shown
}

/// The lines of a text that are not blank, wrapped. Characters that a terminal would obey are escaped first, because that
/// makes a line longer.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut wrapped = String::new();
        for word in line.split_whitespace().map(printable) {
            let chars = wrapped.chars().count() + 1 + word.chars().count();
            if chars > LINE_CHARS_MAX && !wrapped.is_empty() {
                lines.push(std::mem::take(&mut wrapped));
            }
            if !wrapped.is_empty() {
                wrapped.push(' ');
            }
            wrapped.push_str(&cut(&word));
        }
        lines.extend((!wrapped.is_empty()).then_some(wrapped));
    }
    lines
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(notes: &str) -> PartnerDetails {
        PartnerDetails { notes: Some(notes.to_owned()), ..PartnerDetails::default() }
    }

    #[test]
    fn notes_are_short() {
        let long = "word ".repeat(1_000) + &"x".repeat(5_000);
        for notes in [&long, &"line\n\n".repeat(50), &"\u{1b}".repeat(3_000), "a\nb\nc\nd\ne"] {
            let shown = short("acme", &details(notes));
            assert!(shown.len() <= LINES_MAX + 2, "{shown:?}");
            assert!(shown.iter().all(|line| line.chars().count() <= LINE_CHARS_MAX + 4), "{shown:?}");
        }
        let shown = short("acme", &details("a\r\n\n\tb  c"));
        assert_eq!(shown, ["notes about acme:", "  a", "  b c"]);
        assert_eq!(short("acme", &details("a\nb\nc\nd\ne")).last().unwrap(), "more: wb partner acme");
    }

    #[test]
    fn no_text_hides_another() {
        let known = PartnerDetails {
            operator_notes: Some("1\n2\n3\n4\n5".to_owned()),
            notes_at: Some("2026-11-22T10:00:00Z".to_owned()),
            notes_problem: Some("the desk is down".to_owned()),
            ..details("call first")
        };
        let expected = [
            "notes about acme, from 2026-11-22 (old: the desk is down):",
            "  1",
            "  2",
            "  call first",
            "more: wb partner acme",
        ];
        assert_eq!(short("acme", &known), expected);
    }

    #[test]
    fn missing_notes_are_one_line_or_none() {
        assert!(short("acme", &details(" \n")).is_empty());
        let missing = PartnerDetails { notes_problem: Some("the desk\nis down".to_owned()), ..details("") };
        assert_eq!(short("acme", &missing), ["no notes about acme: the desk\\nis down"]);
    }
}
