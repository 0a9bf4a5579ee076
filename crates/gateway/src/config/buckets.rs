//! A bucket's section: its place, credentials and options. Missing keys follow the AWS conventions.
//! Invariant: no section has two meanings; credentials given twice are a mistake.

use bucket::{Config, Credentials};

use super::reader::{File, Section, url};

/// AWS account numbers.
const ACCOUNT_DIGITS: usize = 12;

/// Reads a bucket's section. `name` is the bucket's in logs, metrics and role sessions.
pub(super) fn bucket_config(name: &str, mut section: Section<'_>) -> Config {
    let bucket = if section.is_there() { section.required("bucket", "\"NAME\"") } else { String::new() };
    let prefix = section.string("prefix").unwrap_or_default();
    check_prefix(&prefix, &section);
    let credentials = credentials(name, &mut section);
    let config = Config {
        bucket,
        prefix,
        endpoint: url(&mut section, "endpoint"),
        public_endpoint: url(&mut section, "public_endpoint"),
        region: section.string("region").unwrap_or_default(),
        path_style: section.boolean("path_style").unwrap_or(false),
        credentials,
        expected_owner: section.string("expected_owner"),
        kms_key: section.string("kms_key"),
    };
    if section.has("bucket")
        && let Some(what) = unusable_name(&config.bucket, config.endpoint.is_none())
    {
        section.wrong("bucket", &format!("`{}` {what}", config.bucket), "write the bucket's name as it is");
    }
    // Other stores name their owners as they like.
    let is_account =
        |owner: &String| owner.len() == ACCOUNT_DIGITS && owner.bytes().all(|byte| byte.is_ascii_digit());
    if config.endpoint.is_none() && config.expected_owner.as_ref().is_some_and(|owner| !is_account(owner)) {
        let fix = "write the 12 digits of the account that owns the bucket";
        section.wrong("expected_owner", "is not an AWS account number", fix);
    }
    section.finish();
    config
}

fn check_prefix(prefix: &str, section: &Section<'_>) {
    let fix = format!("write `\"{}/\"`", prefix.trim_matches('/'));
    if prefix.trim_matches('/').is_empty() && !prefix.is_empty() {
        section.wrong("prefix", "names no folder", "remove it, or write for example `\"uploads/\"`");
    } else if prefix.starts_with('/') {
        section.wrong("prefix", "begins with a slash", &fix);
    } else if !prefix.is_empty() && !prefix.ends_with('/') {
        section.wrong("prefix", "does not end with a slash", &fix);
    } else if prefix.chars().any(char::is_control) {
        section.wrong("prefix", "has a control character", "remove it");
    }
}

/// Why no bucket can have this name. AWS is strict; other stores decide for themselves.
fn unusable_name(name: &str, on_aws: bool) -> Option<&'static str> {
    if name.trim().is_empty() {
        return Some("is empty");
    }
    if name.starts_with("arn:") {
        return None;
    }
    if name.contains(['/', '\\', '?', '#', '%']) || name.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Some("is not the name of a bucket alone");
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_plain = name.bytes().next().is_some_and(is_plain) && name.bytes().last().is_some_and(is_plain);
    let is_strict = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| is_plain(byte) || matches!(byte, b'.' | b'-'))
        && ends_plain
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err();
    (on_aws && !is_strict)
        .then_some("cannot be: names on AWS have 3 to 63 lower-case letters, digits, `-` and `.`")
}

/// A bucket in the file: line and path of its section, and its content.
pub(super) type Placed<'a> = (usize, String, &'a Config);

/// Finds two sections with the same place: each would list, sweep and adopt the other's files.
pub(super) fn check_apart(buckets: &[Placed<'_>], file: &File<'_>) {
    for (index, (line, path, config)) in buckets.iter().enumerate() {
        let meets = |other: &Config| {
            other.bucket == config.bucket
                && other.endpoint == config.endpoint
                && (other.prefix.starts_with(&config.prefix) || config.prefix.starts_with(&other.prefix))
        };
        let earlier = buckets[..index].iter().find(|(_, _, other)| !config.bucket.is_empty() && meets(other));
        if let Some((_, other_path, other)) = earlier {
            let what = format!(
                "bucket `{}` with prefix `{}` overlaps with prefix `{}` of `{other_path}`",
                config.bucket, config.prefix, other.prefix
            );
            let fix = "give each a prefix that the other's does not begin with, or a bucket of its own";
            file.wrong(*line, &format!("{path}.prefix"), &what, fix);
        }
    }
}

fn credentials(name: &str, section: &mut Section<'_>) -> Credentials {
    // What is given counts: a secret that cannot be read is a mistake of its own.
    let given = ["access_key_id", "secret_access_key", "profile"].map(|key| section.has(key));
    let access_key_id = section.secret("access_key_id").unwrap_or_default();
    let secret_access_key = section.secret("secret_access_key").unwrap_or_default();
    let profile = section.string("profile").unwrap_or_default();
    if section.has("profile") && profile.trim().is_empty() {
        section.wrong("profile", "is empty", "name a profile of the AWS configuration files, or remove it");
    }
    let base = match given {
        [true, true, false] => Credentials::Static { access_key_id, secret_access_key },
        [false, false, true] => Credentials::Profile(profile),
        [false, false, false] => Credentials::Chain,
        _ => {
            let fix = "give access_key_id and secret_access_key, or profile alone, or none of them";
            section.wrong("access_key_id", "the credentials are not complete, or given twice", fix);
            Credentials::Chain
        }
    };
    let (role_arn, external_id) = (section.string("role_arn"), section.secret("external_id"));
    let Some(role_arn) = role_arn else {
        if section.has("external_id") {
            let fix = "add `role_arn`, or remove it";
            section.wrong("external_id", "requires role_arn", fix);
        }
        return base;
    };
    let is_role = role_arn.starts_with("arn:") && role_arn.contains(":iam::") && role_arn.contains(":role/");
    if !is_role {
        let fix = "write for example `\"arn:aws:iam::123456789012:role/NAME\"`";
        section.wrong("role_arn", &format!("`{role_arn}` is not the ARN of a role"), fix);
    }
    let session_name = format!("weighbridge-{name}");
    Credentials::Role { base: Box::new(base), role_arn, external_id, session_name }
}
