//! A bucket's lifecycle rules, as far as they touch what we keep there. Pure: reading them is the caller's.

use std::time::Duration;

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

/// What the rules do below our prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rules {
    /// They were read.
    Read {
        /// Whether there are any, ours or not: a new configuration would replace them.
        any: bool,
        /// Days after which every unfinished multipart upload of ours is dropped.
        aborts_all_after: Option<i32>,
        /// Days after which the first of ours may be dropped.
        aborts_first_after: Option<i32>,
        /// Days after which pieces of unfinished uploads may be removed; 0 where that is a date.
        expires_pieces_after: Option<i32>,
        /// Old versions of our objects are dropped in the end.
        old_versions_end: bool,
    },
    /// The store has no such thing.
    NotServed(String),
    /// They may be there, but we cannot see them.
    Unreadable(String),
}

/// Below the bucket's prefix: where pieces of unfinished uploads lie.
pub(super) const PIECES: &str = ".weighbridge/";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What is advised, at least: longer than most uploads take.
const ADVISED_DAYS: u64 = 7;

impl Rules {
    /// What these rules do to keys that begin with `prefix`.
    pub(crate) fn read(rules: &[LifecycleRule], prefix: &str) -> Self {
        let enabled = || rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled);
        let days = |rule: &LifecycleRule| {
            rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation())
        };
        let covers = |rule: &&LifecycleRule| prefix.starts_with(scope(rule));
        let touches = |rule: &&LifecycleRule| covers(rule) || scope(rule).starts_with(prefix);
        let pieces = format!("{prefix}{PIECES}");
        let touches_pieces = |rule: &&LifecycleRule| {
            !wants_tags(rule) && (pieces.starts_with(scope(rule)) || scope(rule).starts_with(&pieces))
        };
        Self::Read {
            any: !rules.is_empty(),
            aborts_all_after: enabled().filter(covers).filter_map(days).min(),
            aborts_first_after: enabled().filter(touches).filter_map(days).min(),
            expires_pieces_after: enabled().filter(touches_pieces).filter_map(expires_after).min(),
            old_versions_end: enabled().filter(covers).any(|rule| {
                rule.noncurrent_version_expiration().is_some_and(|e| e.noncurrent_days().is_some())
            }),
        }
    }
}

/// The keys that a rule is about. An incomplete upload has no tags and no size: filters by them do not spare it.
fn scope(rule: &LifecycleRule) -> &str {
    #[expect(deprecated, reason = "older configurations name the prefix there")]
    let outside = rule.prefix();
    let inside = rule.filter().and_then(|filter| filter.prefix().or_else(|| filter.and()?.prefix()));
    inside.or(outside).unwrap_or_default()
}

/// Pieces have no tags: a rule for tagged objects spares them. One by size may meet them.
fn wants_tags(rule: &LifecycleRule) -> bool {
    rule.filter().is_some_and(|filter| {
        filter.tag().is_some() || filter.and().is_some_and(|and| !and.tags().is_empty())
    })
}

/// Days after which objects are removed; 0 where it is a date, which asks for no age.
fn expires_after(rule: &LifecycleRule) -> Option<i32> {
    let expiration = rule.expiration()?;
    expiration.days().or_else(|| expiration.date().map(|_| 0))
}

/// Days after which a rule may drop unfinished uploads without harm to one that may be resumed for `resume_window`.
pub(crate) fn advised_days(resume_window: Duration) -> u64 {
    resume_window.as_secs().div_ceil(DAY.as_secs()).max(ADVISED_DAYS)
}

/// Whether a rule of so many days drops what could still be resumed.
pub(crate) fn is_too_short(days: i32, resume_window: Duration) -> bool {
    DAY * u32::try_from(days).unwrap_or_default() < resume_window
}

/// The rule to add, as the AWS tools read it.
pub(crate) fn advised_rule(prefix: &str, days: u64) -> String {
    let prefix: String =
        prefix.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!(
        r#"{{"ID":"weighbridge-abort","Status":"Enabled","Filter":{{"Prefix":"{prefix}"}},"AbortIncompleteMultipartUpload":{{"DaysAfterInitiation":{days}}}}}"#
    )
}
