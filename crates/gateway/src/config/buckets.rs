//! A bucket's section: where it is, as whom to speak to it, and how. What is left out is as the AWS conventions say.
//! Invariant: no section can be read in two ways; credentials given twice are a mistake.

use bucket::{Config, Credentials};

use super::reader::{Mistake, Section};
use super::url;

/// AWS account numbers.
const ACCOUNT_DIGITS: usize = 12;

/// Reads a bucket's section. `name` is the bucket's in logs, metrics and role sessions.
pub(super) fn bucket_config(name: &str, mut section: Section<'_>, found: &mut Vec<Mistake>) -> Config {
    let bucket =
        if section.is_there() { section.required("bucket", "\"NAME\"", found) } else { String::new() };
    let mut prefix = section.string("prefix", found).unwrap_or_default();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    let credentials = credentials(name, &mut section, found);
    let config = Config {
        bucket,
        prefix,
        endpoint: url(&mut section, "endpoint", found),
        public_endpoint: url(&mut section, "public_endpoint", found),
        region: section.string("region", found).unwrap_or_default(),
        path_style: section.boolean("path_style", found).unwrap_or(false),
        credentials,
        expected_owner: section.string("expected_owner", found),
        kms_key: section.string("kms_key", found),
    };
    // Other stores name their owners as they like.
    let is_account =
        |owner: &String| owner.len() == ACCOUNT_DIGITS && owner.bytes().all(|byte| byte.is_ascii_digit());
    if config.endpoint.is_none() && config.expected_owner.as_ref().is_some_and(|owner| !is_account(owner)) {
        let mend = "write the 12 digits of the account that owns the bucket";
        section.wrong("expected_owner", "is not an AWS account number", mend, found);
    }
    section.finish(found);
    config
}

fn credentials(name: &str, section: &mut Section<'_>, found: &mut Vec<Mistake>) -> Credentials {
    // What is given counts: a secret that cannot be read is a mistake of its own.
    let given = ["access_key_id", "secret_access_key", "profile"].map(|key| section.has(key));
    let access_key_id = section.secret("access_key_id", found).unwrap_or_default();
    let secret_access_key = section.secret("secret_access_key", found).unwrap_or_default();
    let profile = section.string("profile", found).unwrap_or_default();
    let base = match given {
        [true, true, false] => Credentials::Static { access_key_id, secret_access_key },
        [false, false, true] => Credentials::Profile(profile),
        [false, false, false] => Credentials::Chain,
        _ => {
            let mend = "give access_key_id and secret_access_key, or profile alone, or none of them";
            section.wrong("access_key_id", "the credentials are not complete, or given twice", mend, found);
            Credentials::Chain
        }
    };
    let (role_arn, external_id) = (section.string("role_arn", found), section.secret("external_id", found));
    let Some(role_arn) = role_arn else {
        if section.has("external_id") {
            let mend = "add `role_arn`, the role that asks for it, or remove it";
            section.wrong("external_id", "is nothing without a role", mend, found);
        }
        return base;
    };
    let is_role = role_arn.starts_with("arn:") && role_arn.contains(":iam::") && role_arn.contains(":role/");
    if !is_role {
        let mend = "write for example `\"arn:aws:iam::123456789012:role/NAME\"`";
        section.wrong("role_arn", &format!("`{role_arn}` is not the ARN of a role"), mend, found);
    }
    let session_name = format!("weighbridge-{name}");
    Credentials::Role { base: Box::new(base), role_arn, external_id, session_name }
}
