//! `[support]`, and what `[partners.NAME]` says about people: whom to ask, channels, case numbers, software that is not for
//! resale.

use std::path::{Path, PathBuf};

use tickets::{CasePattern, Hours, PartnerPolicy, Support};

use super::reader::{File, Section, url};
use super::{retention, secret};

/// Largest file with an operator's notes.
const NOTES_BYTES_MAX: u64 = 64 << 10;

pub(super) fn support(mut section: Section<'_>, ticket_form_id: Option<u64>) -> Support {
    let hours = section.string("hours").and_then(|text| match Hours::parse(&text) {
        Ok(hours) => Some(hours),
        Err(what) => {
            section.wrong("hours", &what, "write for example `\"Mon-Fri 08:00-18:00 Europe/Berlin\"`");
            None
        }
    });
    let support = Support {
        ask: words(&mut section, "ask"),
        nfr_page: url(&mut section, "nfr_page"),
        form_page: url(&mut section, "form_page"),
        leaders_channel: channel(&mut section, "leaders_channel"),
        hours,
        ..Support::default()
    };
    section.finish();
    Support { ticket_form_id: ticket_form_id.unwrap_or(support.ticket_form_id), ..support }
}

/// The keys of a partner's section. Also returns the secret of its workflow.
pub(super) fn partner(section: &mut Section<'_>) -> (PartnerPolicy, Option<String>) {
    let case_number = section.string("case_number_pattern").map(|text| CasePattern::new(&text));
    let case_number = match case_number.transpose() {
        Ok(pattern) => pattern.unwrap_or_default(),
        Err(what) => {
            let fix = "write a regular expression for the whole number, for example `\"T[0-9]{9}\"`";
            section.wrong("case_number_pattern", &what, fix);
            CasePattern::default()
        }
    };
    // Slack's ID of the workspace, for people: the channel alone decides.
    section.string("slack_team");
    let policy = PartnerPolicy {
        ask: words(section, "ask"),
        notes_file: notes_file(section),
        slack_channel: channel(section, "slack_channel"),
        case_number,
        nfr_only: words(section, "nfr_only"),
        retention: retention::own(section.section("retention")),
    };
    (policy, section.secret("workflow_secret"))
}

/// A channel belongs to one partner, and the leaders' to none: what is told there is not for others.
pub(super) fn check_channels<'a>(
    partners: impl Iterator<Item = (&'a str, usize, &'a PartnerPolicy)>,
    support: &Support,
    file: &File<'_>,
) {
    let mut taken: Vec<(&str, String)> = Vec::new();
    if let Some(channel) = &support.leaders_channel {
        taken.push((channel, "`support.leaders_channel`".to_owned()));
    }
    for (id, line, policy) in partners {
        let Some(channel) = &policy.slack_channel else { continue };
        if let Some((_, whose)) = taken.iter().find(|(known, _)| known == channel) {
            let what = format!("`{channel}` is the channel of {whose}, too");
            file.wrong(line, &format!("partners.{id}.slack_channel"), &what, "give each its own channel");
        }
        taken.push((channel, format!("`partners.{id}`")));
    }
}

fn words(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let text = section.string(key)?;
    if text.trim().is_empty() {
        section.wrong(key, "is empty", "write it, or remove the key");
    }
    Some(text.trim().to_owned())
}

fn channel(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let text = section.string(key)?;
    let is_id = text.len() > 1
        && text.starts_with(['C', 'G', 'D'])
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_id {
        let fix = "write the channel's ID, such as `\"C0123456789\"`: names differ on both sides of a shared channel";
        section.wrong(key, &format!("`{text}` is not the ID of a Slack channel"), fix);
    }
    Some(text)
}

fn notes_file(section: &mut Section<'_>) -> Option<PathBuf> {
    let path = section.string("notes_file")?;
    if let Some(wrong) = secret::unusable(Path::new(&path), NOTES_BYTES_MAX) {
        let fix = "name a small regular file, readable for this process";
        section.wrong("notes_file", &format!("`{path}` {wrong}"), fix);
    }
    Some(path.into())
}
