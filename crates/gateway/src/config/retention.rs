//! `[retention]`, and `[partners.NAME.retention]`: how long files are kept.
//! Invariant: without the section, nothing is ever deleted for its age.

use std::time::Duration;

use tickets::{Retention, RetentionOverride};

use super::reader::{File, Section};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Three years: about as long as desks keep tickets.
const MAXIMUM: Duration = Duration::from_secs(3 * 365 * 24 * 60 * 60);
const CHECK_EVERY: Duration = Duration::from_secs(10 * 60);
const CHECK_EVERY_MIN: Duration = Duration::from_secs(1);

/// The section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionSection {
    /// None: files are kept for ever.
    pub(crate) retention: Option<Retention>,
    pub(crate) warn_before: Duration,
    /// How often the times of files are looked at.
    pub(crate) check_every: Duration,
}

pub(super) fn read(mut section: Section<'_>) -> RetentionSection {
    let is_there = section.is_there();
    let retention = Retention {
        grace: section.duration("grace", "30d", 30 * DAY),
        minimum: section.duration("minimum", "7d", 7 * DAY),
        maximum: section.duration("maximum", "1095d", MAXIMUM),
    };
    let warn_before = section.duration("warn_before", "7d", 7 * DAY);
    let check_every = section.duration("check_every", "10m", CHECK_EVERY);
    if check_every < CHECK_EVERY_MIN {
        section.wrong("check_every", "is less than a second", "write for example `\"10m\"`");
    }
    if !retention.is_possible() {
        section.wrong("maximum", "is less than `minimum` or `grace`", "write for example `\"1095d\"`");
    }
    section.finish();
    RetentionSection {
        retention: is_there.then_some(retention),
        warn_before,
        check_every: check_every.max(CHECK_EVERY_MIN),
    }
}

/// What a partner has of its own.
pub(super) fn own(mut section: Section<'_>) -> RetentionOverride {
    let mut own = |key, example| section.has(key).then(|| section.duration(key, example, DAY));
    let own = RetentionOverride {
        grace: own("grace", "30d"),
        minimum: own("minimum", "7d"),
        maximum: own("maximum", "1095d"),
    };
    section.finish();
    own
}

/// What a partner has of its own must have an effect, and fit to the rest.
pub(super) fn check_partners<'a>(
    partners: impl Iterator<Item = (&'a str, usize, RetentionOverride)>,
    general: Option<Retention>,
    file: &File<'_>,
) {
    for (id, line, own) in partners.filter(|(.., own)| *own != RetentionOverride::default()) {
        let key = format!("partners.{id}.retention");
        match general {
            None => {
                let fix = "add a section `[retention]`: without it, files are kept for ever";
                file.wrong(line, &key, "has no effect", fix);
            }
            Some(general) if !general.with(own).is_possible() => {
                let fix = "raise `maximum`, or lower the others";
                file.wrong(line, &key, "has a maximum below its minimum or grace", fix);
            }
            Some(_) => {}
        }
    }
}
