//! The findings of a probe for the operator: what is missing, what that means, and how to fix it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lifecycle::{Rules, advised_days, advised_rule, is_too_short};
use crate::checks::Checks;
use crate::{Config, Error, Result, layout};

/// Whether the store supports something, or why we do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Support {
    Yes,
    No,
    Unknown(String),
}

/// What a bucket supports.
#[derive(Debug)]
pub struct Report {
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    path_style: bool,
    outcome: Result<()>,
    /// The first error that cut the examination short.
    incomplete: Option<String>,
    /// Actions that are not allowed, with the store's reason.
    denied: BTreeMap<&'static str, String>,
    pub(super) checks: Option<Checks>,
    pub(super) parts: Support,
    pub(super) whole: Support,
    pub(super) conditional: Support,
    pub(super) tagging: Support,
    pub(super) versioned: Support,
    pub(super) lifecycle: Rules,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing to do.
    Note,
    /// It works, with restrictions.
    Warning,
    /// Something will fail.
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    /// What it is, what it means, and how to fix it.
    pub text: String,
}

/// What happens without each action.
const NEEDED: [(&str, &str); 5] = [
    ("s3:PutObject", "no file can be stored"),
    ("s3:GetObject", "files can be neither attached nor downloaded"),
    ("s3:DeleteObject", "cancelled and removed files stay"),
    ("s3:AbortMultipartUpload", "cancelled uploads stay, invisible but billed"),
    ("s3:ListBucketMultipartUploads", "the sweep cannot find incomplete uploads"),
];

impl Report {
    pub(super) fn new(config: &Config, outcome: Result<()>) -> Self {
        let unknown = || Support::Unknown("it was not examined".into());
        Self {
            bucket: config.bucket.clone(),
            prefix: config.prefix.clone(),
            endpoint: config.endpoint.clone(),
            path_style: config.path_style,
            outcome,
            incomplete: None,
            denied: BTreeMap::new(),
            checks: None,
            parts: unknown(),
            whole: unknown(),
            conditional: unknown(),
            tagging: unknown(),
            versioned: unknown(),
            lifecycle: Rules::Unreadable("it was not examined".into()),
        }
    }

    /// Records the result of an action.
    pub(super) fn record(&mut self, action: &'static str, outcome: Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(Error::Forbidden(reason)) => {
                self.denied.insert(action, reason);
            }
            Err(error) => {
                self.incomplete.get_or_insert_with(|| format!("{action}: {error}"));
            }
        }
    }

    /// Whether the bucket answered and was examined completely.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_ok() && self.incomplete.is_none()
    }

    /// Each capability and whether the bucket has it, without those that are unknown.
    pub fn capabilities(&self) -> Vec<(&'static str, bool)> {
        let mut all = vec![("reached", self.outcome.is_ok())];
        if self.outcome.is_err() {
            return all;
        }
        all.push(("permissions", self.denied.is_empty()));
        for (name, support) in [
            ("part_checksum", &self.parts),
            ("object_checksum", &self.whole),
            ("conditional_write", &self.conditional),
            ("tagging", &self.tagging),
            ("versioning", &self.versioned),
        ] {
            match support {
                Support::Yes => all.push((name, true)),
                Support::No => all.push((name, false)),
                Support::Unknown(_) => {}
            }
        }
        match &self.lifecycle {
            Rules::Read { aborts_all_after, .. } => all.push(("abort_rule", aborts_all_after.is_some())),
            Rules::Unsupported => all.push(("abort_rule", false)),
            Rules::Unreadable(_) => {}
        }
        all
    }

    /// The capabilities on one line.
    pub fn summary(&self) -> String {
        let of = |wanted: bool| {
            let names =
                self.capabilities().into_iter().filter(|(_, has)| *has == wanted).map(|(name, _)| name);
            names.collect::<Vec<_>>().join(", ")
        };
        match (of(true), of(false)) {
            (has, lacks) if lacks.is_empty() => format!("has {has}"),
            (has, lacks) if has.is_empty() => format!("lacks {lacks}"),
            (has, lacks) => format!("has {has}; lacks {lacks}"),
        }
    }

    /// All findings, errors first. `resume_window` is how long an interrupted upload can be resumed.
    pub fn findings(&self, resume_window: Duration) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Err(error) = &self.outcome {
            push(&mut found, Weight::Error, self.unreachable(error));
            return found;
        }
        for (action, otherwise) in NEEDED {
            if let Some(reason) = self.denied.get(action) {
                let prefix = &self.prefix;
                let text = format!("{otherwise}: allow {action} under `{prefix}` ({reason})");
                push(&mut found, Weight::Error, text);
            }
        }
        if let Some(reason) = &self.incomplete {
            let text = format!(
                "the bucket could not be examined completely: {reason}; it is assumed to be like AWS S3"
            );
            push(&mut found, Weight::Warning, text);
        }
        self.check_checksums(&mut found);
        self.check_lifecycle(resume_window, &mut found);
        if self.conditional == Support::No {
            let text = "this store ignores conditional writes (If-None-Match) and overwrites existing objects. Weighbridge \
                        does not rely on them, because every key contains its upload's ID";
            push(&mut found, Weight::Note, text.into());
        }
        if self.tagging == Support::No {
            push(
                &mut found,
                Weight::Note,
                "this store has no object tags, but Weighbridge does not use them".into(),
            );
        }
        found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        found
    }

    fn unreachable(&self, error: &Error) -> String {
        let Self { bucket, .. } = self;
        match error {
            Error::NoSuchBucket(_) | Error::NotFound(_) => {
                format!("bucket `{bucket}` does not exist: create it, or correct `bucket`")
            }
            Error::Forbidden(reason) => format!(
                "access denied: check the credentials, that they allow s3:ListBucket, and that `expected_owner` is the account \
                 that owns the bucket ({reason})"
            ),
            // Every source was tried, so the reason would add nothing.
            Error::NoCredentials(reason)
                if reason.contains("no providers in chain") || reason.contains("IMDS") =>
            {
                "no AWS credentials found in the environment, the AWS configuration files, a web identity, a container or \
                 the cloud's metadata address. Set `access_key_id` and `secret_access_key`, or `profile`, or run where a \
                 role is available"
                    .into()
            }
            Error::NoCredentials(reason) => format!(
                "the AWS credentials cannot be loaded: fix their source, or set `access_key_id` and `secret_access_key`, or \
                 `profile` ({reason})"
            ),
            Error::Unavailable(reason) if reason.contains("dns error") && !self.path_style => format!(
                "no answer: check `endpoint`, and set `path_style = true` if the store has no host name for each bucket \
                 ({reason})"
            ),
            Error::Unavailable(reason) if reason.contains("certificate") => format!(
                "the TLS certificate is not trusted: set the environment variable AWS_CA_BUNDLE to a file with the \
                 certificate of its authority ({reason})"
            ),
            Error::Unavailable(reason) => {
                format!("no answer: check `endpoint`, DNS and the network ({reason})")
            }
            other => other.to_string(),
        }
    }

    /// How damage on the way to the store is detected.
    fn check_checksums(&self, found: &mut Vec<Finding>) {
        let text = match (self.checks, &self.parts) {
            (Some(Checks::Whole), Support::No) => {
                "this store verifies only whole files: damage on the way is detected at the end, and the whole file is \
                 sent again"
            }
            (_, Support::No) => {
                "this store accepts bytes with a wrong checksum, so damage on the way is not detected. Use an https \
                 endpoint, or another store"
            }
            (Some(Checks::Parts), _) => {
                "this store does not verify the checksum of a whole multipart object. Weighbridge relies on the \
                 checksum of each part, which it verifies, and on the size of the object"
            }
            (Some(Checks::Md5), _) => {
                "this store does not support CRC-64/NVME. Weighbridge sends Content-MD5 with every part, at 1.6 CPU \
                 seconds per GB, and compares the size of the object"
            }
            (Some(Checks::Whole) | None, _) => return,
        };
        push(found, Weight::Warning, text.into());
    }

    /// What the bucket removes or keeps by itself.
    fn check_lifecycle(&self, resume_window: Duration, found: &mut Vec<Finding>) {
        let days = advised_days(resume_window);
        if let Rules::Read { expires_tails_after: Some(after), .. } = self.lifecycle
            && is_too_short(after, resume_window)
        {
            let text = format!(
                "a lifecycle rule removes objects under `{}` after {}, but their uploads can be resumed for {} h \
                 (limits.resume_window): exclude that prefix from the rule, raise it to {days} days, or shorten \
                 limits.resume_window",
                layout::hidden_prefix(&self.prefix),
                days_of(after),
                resume_window.as_secs() / 3600
            );
            push(found, Weight::Error, text);
        }
        match &self.lifecycle {
            Rules::Read { aborts_first_after: Some(first), .. } if is_too_short(*first, resume_window) => {
                let text = format!(
                    "a lifecycle rule aborts incomplete multipart uploads after {}, but they can be resumed for \
                     {} h (limits.resume_window): raise it to {days} days, or shorten limits.resume_window",
                    days_of(*first),
                    resume_window.as_secs() / 3600
                );
                push(found, Weight::Error, text);
            }
            Rules::Read { aborts_all_after: None, any, .. } => {
                push(found, Weight::Warning, self.without_rule(*any, days));
            }
            Rules::Read { .. } => {}
            Rules::Unsupported => {
                let text =
                    "this store has no lifecycle rules: only the gateway's sweep removes incomplete uploads";
                push(found, Weight::Note, text.into());
            }
            Rules::Unreadable(reason) => {
                let text = format!(
                    "the lifecycle rules cannot be read: allow s3:GetLifecycleConfiguration, or make sure that no rule \
                     aborts incomplete multipart uploads before {days} days ({reason})"
                );
                push(found, Weight::Warning, text);
            }
        }
        let expires = matches!(self.lifecycle, Rules::Read { expires_old_versions: true, .. });
        if self.versioned == Support::Yes && !expires {
            let text = "the bucket keeps versions, so removed files stay as old versions forever. Add a lifecycle rule with \
                        NoncurrentVersionExpiration, or suspend versioning";
            push(found, Weight::Warning, text.into());
        }
    }

    fn without_rule(&self, any: bool, days: u64) -> String {
        let rule = advised_rule(&self.prefix, days);
        let why = "no lifecycle rule aborts incomplete multipart uploads: if the gateway is gone for good, their parts stay, \
                   invisible but billed";
        if any {
            return format!("{why}. Add this to the existing rules: {rule}");
        }
        let endpoint =
            self.endpoint.as_ref().map_or_else(String::new, |url| format!(" --endpoint-url {}", quoted(url)));
        format!(
            "{why}. Add one: aws s3api put-bucket-lifecycle-configuration{endpoint} --bucket {} \
             --lifecycle-configuration {}",
            quoted(&self.bucket),
            quoted(&format!(r#"{{"Rules":[{rule}]}}"#))
        )
    }
}

fn days_of(count: i32) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

fn push(found: &mut Vec<Finding>, weight: Weight, text: String) {
    found.push(Finding { weight, text });
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
