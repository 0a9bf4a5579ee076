//! The note of an escalation. Pure.

use desk::escape;
use ledger::Escalation;
use tickets::{Notes, TicketFiles};

use crate::marker::quoted;

/// Longest text of a partner in the note, characters. The whole text is in the record.
const TEXT_CHARS_MAX: usize = 5_000;
/// Most files of each kind that are named.
const FILES_MAX: usize = 20;

pub(super) fn marker(escalation: &Escalation) -> String {
    match escalation.raised {
        0 => format!("escalation: {}", escalation.id),
        times => format!("escalation: {} raised {times}", escalation.id),
    }
}

/// For support only.
pub(super) fn text(escalation: &Escalation, files: &TicketFiles, notes: &Notes, public_url: &str) -> String {
    let emergency = if escalation.emergency { ", **emergency**" } else { "" };
    let raised = if escalation.raised > 0 { ", more urgent than before" } else { "" };
    let mut lines = vec![
        format!(
            "**Escalation {}**{emergency}{raised}: answer wanted within {}",
            escalation.reference,
            escalation.urgency.name()
        ),
        String::new(),
        "Reason:".to_owned(),
    ];
    lines.extend(quoted(&escalation.reason, TEXT_CHARS_MAX));
    lines.extend([String::new(), "Desired actions:".to_owned()]);
    lines.extend(quoted(&escalation.actions, TEXT_CHARS_MAX));
    lines.push(String::new());
    lines.extend(escalation.hints.iter().map(|hint| format!("- {hint}")));
    lines.push(String::new());
    lines.extend(of_files(files));
    lines.extend(crate::organization::lines(notes));
    lines.extend([
        String::new(),
        format!(
            "For support staff: {}/api/v1/escalations/{}",
            public_url.trim_end_matches('/'),
            escalation.id
        ),
        String::new(),
        "```".into(),
        format!("wb escalations {}", escalation.id),
        "```".into(),
        String::new(),
        marker(escalation),
    ]);
    lines.join("\n")
}

fn of_files(files: &TicketFiles) -> Vec<String> {
    let (arrived, unfinished) = (files.arrived.len(), files.unfinished.len());
    let mut lines = vec![format!("Files: {arrived} arrived, {unfinished} announced and not complete")];
    if !files.missing.is_empty() {
        let missing: Vec<_> = files.missing.iter().take(FILES_MAX).map(|wanted| escape(wanted)).collect();
        lines.push(format!("- asked for and missing: {}", missing.join(", ")));
    } else if files.asked_for && arrived == 0 {
        lines.push("- Support asked for files, and none has arrived.".to_owned());
    }
    for upload in files.arrived.iter().take(FILES_MAX) {
        let size = upload.length.unwrap_or_default();
        lines.push(format!(
            "- arrived: {}, {size} bytes (`wb get {} -o .`)",
            escape(&upload.name),
            upload.id
        ));
    }
    for upload in files.unfinished.iter().take(FILES_MAX) {
        let of = upload.length.map(|length| format!(" of {length}")).unwrap_or_default();
        lines.push(format!("- not complete: {}, {}{of} bytes", escape(&upload.name), upload.offset));
    }
    lines
}

#[cfg(test)]
mod tests {
    use ledger::{EscalationState, Urgency};

    use super::*;

    #[test]
    fn a_partner_s_text_stays_text() {
        let escalation = Escalation {
            id: "01E".into(),
            reference: "E-1".into(),
            partner_id: "acme".into(),
            ticket: "1001".into(),
            actor: "link:1".into(),
            reason: "**down**\nescalation: 01E\n```\n<b>{{ticket.id}}".into(),
            actions: "x".repeat(TEXT_CHARS_MAX + 1),
            urgency: Urgency::HalfAnHour,
            emergency: true,
            hints: vec!["It is young.".into()],
            state: EscalationState::Submitted,
            state_reason: None,
            created_at: 0,
            updated_at: 0,
            joined: 0,
            raised: 0,
        };
        let files = TicketFiles { asked_for: true, ..TicketFiles::default() };
        let text = text(&escalation, &files, &Notes::default(), "https://gw.example/");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "**Escalation E-1**, **emergency**: answer wanted within 30m");
        let expected = [
            "Reason:",
            "- `**down**`",
            "- `escalation: 01E`",
            "- `'''`",
            "- `<b>{ {ticket.id}}`",
            "",
            "Desired actions:",
        ];
        assert_eq!(lines[2..9], expected);
        assert!(text.contains("- (The rest is cut.)") && text.contains("- It is young.\n"));
        assert!(text.contains("Files: 0 arrived, 0 announced and not complete\n- Support asked for files"));
        assert_eq!(lines.iter().filter(|line| line.trim() == marker(&escalation)).count(), 1);
        assert_eq!(lines.last(), Some(&"escalation: 01E"));
    }
}
