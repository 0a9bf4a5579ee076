//! What a bucket's lifecycle rules do to our objects. Pure: the caller reads the rules.

use std::time::Duration;

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

use crate::layout;

/// What the rules do under our prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rules {
    Read {
        /// Whether there are any rules at all: a new configuration would replace them.
        any: bool,
        /// Days after which all of our incomplete multipart uploads are aborted.
        aborts_all_after: Option<i32>,
        /// Days after which the first of them may be aborted.
        aborts_first_after: Option<i32>,
        /// Days after which tails of incomplete uploads may be removed; 0 for a fixed date.
        expires_tails_after: Option<i32>,
        /// Whether old versions of our objects are removed eventually.
        expires_old_versions: bool,
    },
    /// The store has no lifecycle rules.
    Unsupported,
    /// There may be rules, but we cannot read them.
    Unreadable(String),
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest advice: longer than most uploads take.
const ADVISED_DAYS_MIN: u64 = 7;

impl Rules {
    /// What these rules do to keys under `prefix`.
    pub(crate) fn read(rules: &[LifecycleRule], prefix: &str) -> Self {
        let enabled = || rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled);
        let days = |rule: &LifecycleRule| {
            rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation())
        };
        let covers = |rule: &&LifecycleRule| prefix.starts_with(scope(rule));
        let touches = |rule: &&LifecycleRule| covers(rule) || scope(rule).starts_with(prefix);
        let tails = layout::hidden_prefix(prefix);
        let touches_tails = |rule: &&LifecycleRule| {
            !requires_tags(rule) && (tails.starts_with(scope(rule)) || scope(rule).starts_with(&tails))
        };
        Self::Read {
            any: !rules.is_empty(),
            aborts_all_after: enabled().filter(covers).filter_map(days).min(),
            aborts_first_after: enabled().filter(touches).filter_map(days).min(),
            expires_tails_after: enabled().filter(touches_tails).filter_map(expires_after).min(),
            expires_old_versions: enabled().filter(covers).any(|rule| {
                rule.noncurrent_version_expiration().is_some_and(|e| e.noncurrent_days().is_some())
            }),
        }
    }
}

/// The prefix that a rule applies to. Filters by tag or size do not exclude an incomplete upload, which has neither.
fn scope(rule: &LifecycleRule) -> &str {
    #[expect(deprecated, reason = "older configurations have the prefix here")]
    let outside = rule.prefix();
    let inside = rule.filter().and_then(|filter| filter.prefix().or_else(|| filter.and()?.prefix()));
    inside.or(outside).unwrap_or_default()
}

/// Tails have no tags, so a rule for tagged objects leaves them alone. A rule by size may apply to them.
fn requires_tags(rule: &LifecycleRule) -> bool {
    rule.filter().is_some_and(|filter| {
        filter.tag().is_some() || filter.and().is_some_and(|and| !and.tags().is_empty())
    })
}

/// Days after which objects are removed; 0 for a fixed date.
fn expires_after(rule: &LifecycleRule) -> Option<i32> {
    let expiration = rule.expiration()?;
    expiration.days().or_else(|| expiration.date().map(|_| 0))
}

/// Days after which a rule may abort incomplete uploads that can be resumed for `resume_window`.
pub(crate) fn advised_days(resume_window: Duration) -> u64 {
    resume_window.as_secs().div_ceil(DAY.as_secs()).max(ADVISED_DAYS_MIN)
}

/// Whether a rule with so many days aborts uploads that could still be resumed.
pub(crate) fn is_too_short(days: i32, resume_window: Duration) -> bool {
    DAY * u32::try_from(days).unwrap_or_default() < resume_window
}

/// The rule to add, in the form of the AWS tools.
pub(crate) fn advised_rule(prefix: &str, days: u64) -> String {
    let prefix: String =
        prefix.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!(
        r#"{{"ID":"weighbridge-abort","Status":"Enabled","Filter":{{"Prefix":"{prefix}"}},"AbortIncompleteMultipartUpload":{{"DaysAfterInitiation":{days}}}}}"#
    )
}
