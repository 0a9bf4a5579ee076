//! What an examination found, in words for the operator: what is lacking, what follows from it, what to do about it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lifecycle::{PIECES, advised_days, advised_rule, is_too_short};
use super::{Checks, Rules, Seen};
use crate::{Config, Error, Result};

/// What a bucket was found to be able to do.
#[derive(Debug)]
pub struct Report {
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    path_style: bool,
    outcome: Result<()>,
    trouble: Option<String>,
    lacks: BTreeMap<&'static str, String>,
    pub(super) checks: Option<Checks>,
    pub(super) parts: Seen,
    pub(super) whole: Seen,
    pub(super) conditional: Seen,
    pub(super) tagging: Seen,
    pub(super) versioned: Seen,
    pub(super) lifecycle: Rules,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know.
    Note,
    /// It works, with less.
    Warning,
    /// Something will fail.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What, what follows, and what to do.
    pub text: String,
}

/// What each action is needed for.
const NEEDED: [(&str, &str); 5] = [
    ("s3:PutObject", "nothing can be stored"),
    ("s3:GetObject", "files can be neither attached nor downloaded"),
    ("s3:DeleteObject", "what is cancelled or removed stays"),
    ("s3:AbortMultipartUpload", "what is cancelled stays, unseen and paid for"),
    ("s3:ListBucketMultipartUploads", "the sweep finds no unfinished uploads"),
];

impl Report {
    pub(super) fn of(config: &Config, outcome: Result<()>) -> Self {
        let unseen = || Seen::Unknown("it was not looked at".into());
        Self {
            bucket: config.bucket.clone(),
            prefix: config.prefix.clone(),
            endpoint: config.endpoint.clone(),
            path_style: config.path_style,
            outcome,
            trouble: None,
            lacks: BTreeMap::new(),
            checks: None,
            parts: unseen(),
            whole: unseen(),
            conditional: unseen(),
            tagging: unseen(),
            versioned: unseen(),
            lifecycle: Rules::Unreadable("it was not looked at".into()),
        }
    }

    /// Takes down how an action went.
    pub(super) fn allow(&mut self, action: &'static str, outcome: Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(Error::Forbidden(said)) => {
                self.lacks.insert(action, said);
            }
            Err(error) => self.trouble = self.trouble.take().or_else(|| Some(format!("{action}: {error}"))),
        }
    }

    /// Whether the bucket answered and was examined to the end.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_ok() && self.trouble.is_none()
    }

    /// Each capability by name, and whether the bucket has it; without those that could not be found out.
    pub fn capabilities(&self) -> Vec<(&'static str, bool)> {
        let mut all = vec![("reached", self.outcome.is_ok())];
        if self.outcome.is_err() {
            return all;
        }
        all.push(("permissions", self.lacks.is_empty()));
        for (name, seen) in [
            ("part_checksum", &self.parts),
            ("object_checksum", &self.whole),
            ("conditional_write", &self.conditional),
            ("tagging", &self.tagging),
            ("versioning", &self.versioned),
        ] {
            match seen {
                Seen::Yes => all.push((name, true)),
                Seen::No => all.push((name, false)),
                Seen::Unknown(_) => {}
            }
        }
        match &self.lifecycle {
            Rules::Read { aborts_all_after, .. } => all.push(("abort_rule", aborts_all_after.is_some())),
            Rules::NotServed(_) => all.push(("abort_rule", false)),
            Rules::Unreadable(_) => {}
        }
        all
    }

    /// The capabilities in one line.
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

    /// Everything worth telling, the heaviest first. `resume_window`: how long an interrupted upload may be resumed.
    pub fn findings(&self, resume_window: Duration) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Err(error) = &self.outcome {
            tell(&mut found, Weight::Error, self.unreached(error));
            return found;
        }
        for (action, otherwise) in NEEDED {
            if let Some(said) = self.lacks.get(action) {
                let prefix = &self.prefix;
                let text = format!("{otherwise}: allow {action} below `{prefix}` ({said})");
                tell(&mut found, Weight::Error, text);
            }
        }
        if let Some(trouble) = &self.trouble {
            let text =
                format!("it could not be examined to the end: {trouble}; it is taken for one like AWS S3");
            tell(&mut found, Weight::Warning, text);
        }
        self.checked(&mut found);
        self.ruled(resume_window, &mut found);
        if self.conditional == Seen::No {
            let text = "this store does not obey conditional writes (If-None-Match): an object of the same key is \
                        overwritten. Nothing here relies on them, every key holds its upload's id";
            tell(&mut found, Weight::Note, text.into());
        }
        if self.tagging == Seen::No {
            tell(&mut found, Weight::Note, "this store has no object tags: nothing here uses them".into());
        }
        found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        found
    }

    fn unreached(&self, error: &Error) -> String {
        let Self { bucket, .. } = self;
        match error {
            Error::NoSuchBucket(_) | Error::NotFound(_) => {
                format!("there is no bucket `{bucket}`: create it, or mend `bucket`")
            }
            Error::Forbidden(said) => format!(
                "it lets us not in: check the credentials, that they may s3:ListBucket, and that `expected_owner` is \
                 the account it belongs to ({said})"
            ),
            // Each place was looked at and has none, the metadata address last: there is nothing more to say.
            Error::NoCredentials(said) if said.contains("no providers in chain") || said.contains("IMDS") => "there are no AWS credentials here: \
                 not in the environment, the AWS configuration files, a web identity or a container, and the cloud's \
                 metadata address gives none. Give `access_key_id` and `secret_access_key`, or a `profile`, or run it \
                 where a role is at hand"
                .into(),
            Error::NoCredentials(said) => format!(
                "there are no credentials: put right what they come from, or give `access_key_id` and \
                 `secret_access_key`, or a `profile` ({said})"
            ),
            Error::Unavailable(said) if said.contains("dns error") && !self.path_style => format!(
                "it does not answer: check `endpoint`, and write `path_style = true` if the store has no host name for \
                 each bucket ({said})"
            ),
            Error::Unavailable(said) if said.contains("certificate") => format!(
                "its TLS certificate is not trusted: name the file of its authority in the environment variable \
                 AWS_CA_BUNDLE ({said})"
            ),
            Error::Unavailable(said) => {
                format!("it does not answer: check `endpoint`, DNS and the network ({said})")
            }
            other => other.to_string(),
        }
    }

    /// How damaged bytes are noticed.
    fn checked(&self, found: &mut Vec<Finding>) {
        let text = match (self.checks, &self.parts) {
            (Some(Checks::Whole), Seen::No) => {
                "this store checks a file only as a whole: damage on the way is noticed when the file ends, and the \
                 file is sent again"
            }
            (_, Seen::No) => {
                "this store takes bytes whose checksum is wrong: damage on the way to it is not noticed. Use an https \
                 endpoint, or another store"
            }
            (Some(Checks::Parts), _) => {
                "this store does not check the checksum of a whole multipart object: the checksum of each part, which \
                 it checks, and the size of the whole are the proof instead"
            }
            (Some(Checks::Md5), _) => {
                "this store knows no CRC-64/NVME: Content-MD5 goes with every part instead, at 1.6 s of CPU a GB, and \
                 the size of the whole is the proof"
            }
            (Some(Checks::Whole) | None, _) => return,
        };
        tell(found, Weight::Warning, text.into());
    }

    /// What the bucket does by itself.
    fn ruled(&self, resume_window: Duration, found: &mut Vec<Finding>) {
        let days = advised_days(resume_window);
        if let Rules::Read { expires_pieces_after: Some(after), .. } = self.lifecycle
            && is_too_short(after, resume_window)
        {
            let text = format!(
                "a lifecycle rule removes objects below `{}{PIECES}` after {after} days, while the uploads they are \
                 pieces of may be resumed for {} h (limits.resume_window): leave that prefix out of the rule, raise it to \
                 {days} days, or shorten limits.resume_window",
                self.prefix,
                resume_window.as_secs() / 3600
            );
            tell(found, Weight::Error, text);
        }
        match &self.lifecycle {
            Rules::Read { aborts_first_after: Some(first), .. } if is_too_short(*first, resume_window) => {
                let text = format!(
                    "a lifecycle rule drops incomplete multipart uploads after {first} days, while they may be resumed \
                     for {} h (limits.resume_window): raise it to {days} days, or shorten limits.resume_window",
                    resume_window.as_secs() / 3600
                );
                tell(found, Weight::Error, text);
            }
            Rules::Read { aborts_all_after: None, any, .. } => {
                tell(found, Weight::Warning, self.without_rule(*any, days));
            }
            Rules::Read { .. } => {}
            Rules::NotServed(_) => {
                let text = "this store has no lifecycle rules: only the gateway's sweep drops what unfinished uploads \
                            leave";
                tell(found, Weight::Note, text.into());
            }
            Rules::Unreadable(said) => {
                let text = format!(
                    "its lifecycle rules cannot be read: allow s3:GetLifecycleConfiguration, or make sure that none \
                     drops incomplete multipart uploads before {days} days ({said})"
                );
                tell(found, Weight::Warning, text);
            }
        }
        let ends = matches!(self.lifecycle, Rules::Read { old_versions_end: true, .. });
        if self.versioned == Seen::Yes && !ends {
            let text = "it keeps versions: what is removed stays as an old version, without end. Add a lifecycle rule \
                        with NoncurrentVersionExpiration, or suspend versioning";
            tell(found, Weight::Warning, text.into());
        }
    }

    fn without_rule(&self, any: bool, days: u64) -> String {
        let rule = advised_rule(&self.prefix, days);
        let why = "no lifecycle rule drops incomplete multipart uploads: should the gateway be gone for good, their \
                   parts stay, unseen and paid for";
        if any {
            return format!("{why}. Add to the rules there are: {rule}");
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

fn tell(found: &mut Vec<Finding>, weight: Weight, text: String) {
    found.push(Finding { weight, text });
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
