//! Tests of lifecycle rules and of the findings in a report.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration, Tag,
};

use super::report::Support;
use super::*;
use crate::{Config, Credentials};

const TWO_DAYS: Duration = Duration::from_secs(48 * 3600);

fn rule(prefix: &str, days: i32) -> LifecycleRule {
    LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build(),
        )
        .build()
        .unwrap()
}

#[test]
fn rules_apply_by_prefix() {
    for (rules, all, first) in [
        (vec![], None, None),
        (vec![rule("", 7)], Some(7), Some(7)),
        (vec![rule("in/", 3), rule("", 7)], Some(3), Some(3)),
        (vec![rule("i", 3)], Some(3), Some(3)),
        (vec![rule("in/1001/", 1), rule("", 7)], Some(7), Some(1)),
        (vec![rule("other/", 1)], None, None),
    ] {
        let shown = format!("{rules:?}");
        let Rules::Read { aborts_all_after, aborts_first_after, any, .. } = Rules::read(&rules, "in/") else {
            panic!("{shown}")
        };
        assert_eq!((aborts_all_after, aborts_first_after), (all, first), "{shown}");
        assert_eq!(any, !rules.is_empty());
    }
    let disabled =
        LifecycleRule::builder().status(ExpirationStatus::Disabled).abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build(),
        );
    let old = LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(3).build());
    let read = Rules::read(&[disabled.build().unwrap(), old.build().unwrap()], "in/");
    assert_eq!(
        read,
        Rules::Read {
            any: true,
            aborts_all_after: None,
            aborts_first_after: None,
            expires_tails_after: None,
            expires_old_versions: true
        }
    );
}

/// A rule that removes objects.
fn expiry(filter: LifecycleRuleFilter, expiration: LifecycleExpiration) -> LifecycleRule {
    LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .filter(filter)
        .expiration(expiration)
        .build()
        .unwrap()
}

#[test]
fn rules_that_remove_tails() {
    let below = |prefix: &str| LifecycleRuleFilter::builder().prefix(prefix).build();
    let days = |days: i32| LifecycleExpiration::builder().days(days).build();
    let tag = || Tag::builder().key("k").value("v").build().unwrap();
    let dated = LifecycleExpiration::builder().date(DateTime::from_secs(1)).build();
    let tagged = LifecycleRuleAndOperator::builder().prefix("in/").tags(tag()).build();
    let sized = LifecycleRuleAndOperator::builder().prefix("in/").object_size_less_than(9).build();
    for (rule, after) in [
        (expiry(below(""), days(30)), Some(30)),
        (expiry(below("in/"), days(1)), Some(1)),
        (expiry(below("in/.weighbridge/"), days(2)), Some(2)),
        (expiry(below("in/.weighbridge/0"), days(3)), Some(3)),
        (expiry(below("in/1001/"), days(1)), None),
        (expiry(below("other/"), days(1)), None),
        (expiry(below("in/"), dated), Some(0)),
        (expiry(LifecycleRuleFilter::builder().tag(tag()).build(), days(1)), None),
        (expiry(LifecycleRuleFilter::builder().and(tagged).build(), days(1)), None),
        (expiry(LifecycleRuleFilter::builder().and(sized).build(), days(1)), Some(1)),
        (rule("in/", 1), None),
    ] {
        let shown = format!("{rule:?}");
        let Rules::Read { expires_tails_after, .. } = Rules::read(&[rule], "in/") else { panic!("{shown}") };
        assert_eq!(expires_tails_after, after, "{shown}");
    }
}

#[test]
fn days_are_compared_with_the_resume_window() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (days, window, short) in [(1, 24, false), (1, 25, true), (7, 48, false), (7, 169, true)] {
        assert_eq!(lifecycle::is_too_short(days, hours(window)), short, "{days} days, {window} h");
    }
    for (window, days) in [(1, 7), (168, 7), (169, 8), (24 * 30, 30)] {
        assert_eq!(lifecycle::advised_days(hours(window)), days, "{window} h");
    }
}

fn report(outcome: Result<()>) -> Report {
    let config = Config {
        bucket: "b".into(),
        prefix: "it's/".into(),
        endpoint: Some("https://s3.example.com".into()),
        public_endpoint: None,
        region: "us-east-1".into(),
        path_style: false,
        credentials: Credentials::Chain,
        expected_owner: None,
        kms_key: None,
    };
    let mut report = Report::new(&config, outcome);
    // Like AWS S3, with a good rule.
    report.checks = Some(Checks::Whole);
    (report.parts, report.whole, report.conditional) = (Support::Yes, Support::Yes, Support::Yes);
    (report.tagging, report.versioned) = (Support::Yes, Support::No);
    report.lifecycle = Rules::read(&[rule("", 7)], "it's/");
    report
}

/// Checks the findings after a change to a good report.
fn check(change: impl FnOnce(&mut Report), weight: Weight, parts: &[&str]) {
    let mut report = report(Ok(()));
    change(&mut report);
    let found = report.findings(TWO_DAYS);
    let [finding] = found.as_slice() else { panic!("{parts:?}: {found:?}") };
    assert_eq!(finding.weight, weight, "{finding:?}");
    for part in parts {
        assert!(finding.text.contains(part), "{part} in {}", finding.text);
    }
}

#[test]
fn a_store_that_supports_everything_has_no_findings() {
    let report = report(Ok(()));
    assert_eq!(report.findings(TWO_DAYS), []);
    assert_eq!(
        report.summary(),
        "has reached, permissions, part_checksum, object_checksum, conditional_write, tagging, abort_rule; lacks \
         versioning"
    );
}

#[test]
fn each_finding_has_a_consequence_and_a_fix() {
    use Weight::{Error as Bad, Note, Warning};
    check(|r| r.conditional = Support::No, Note, &["If-None-Match", "does not rely"]);
    check(|r| r.tagging = Support::No, Note, &["tags"]);
    check(|r| r.versioned = Support::Yes, Warning, &["NoncurrentVersionExpiration"]);
    check(|r| r.checks = Some(Checks::Parts), Warning, &["each part", "size"]);
    check(|r| r.checks = Some(Checks::Md5), Warning, &["Content-MD5"]);
    check(|r| r.parts = Support::No, Warning, &["only whole files"]);
    check(|r| (r.checks, r.parts) = (Some(Checks::Parts), Support::No), Warning, &["not detected", "https"]);
    check(|r| r.lifecycle = Rules::Unsupported, Note, &["sweep"]);
    let unreadable = |r: &mut Report| r.lifecycle = Rules::Unreadable("denied".into());
    check(unreadable, Warning, &["s3:GetLifecycleConfiguration", "denied"]);
    let short = |r: &mut Report| r.lifecycle = Rules::read(&[rule("", 1)], "it's/");
    check(short, Bad, &["after 1 day, but", "48 h (limits.resume_window)", "raise it to 7 days"]);
    let removes = |r: &mut Report| {
        let all = LifecycleRuleFilter::builder().prefix("").build();
        let removal = expiry(all, LifecycleExpiration::builder().days(1).build());
        r.lifecycle = Rules::read(&[rule("", 7), removal], "it's/");
    };
    check(
        removes,
        Bad,
        &["`it's/.weighbridge/` after 1 day,", "48 h (limits.resume_window)", "exclude that prefix"],
    );
    check(
        |r| r.lifecycle = Rules::read(&[], "it's/"),
        Warning,
        &[
            "aws s3api put-bucket-lifecycle-configuration --endpoint-url 'https://s3.example.com' --bucket 'b'",
            r#"'{"Rules":[{"ID":"weighbridge-abort","Status":"Enabled","Filter":{"Prefix":"it'\''s/"},"#,
            r#""AbortIncompleteMultipartUpload":{"DaysAfterInitiation":7}}]}'"#,
        ],
    );
    check(
        |r| r.lifecycle = Rules::read(&[rule("x", 1)], "it's/"),
        Warning,
        &["Add this to the existing rules: {"],
    );
    for (action, _) in [("s3:PutObject", ()), ("s3:GetObject", ()), ("s3:DeleteObject", ())] {
        check(|r| r.record(action, Err(Error::Forbidden("denied".into()))), Bad, &[action, "denied"]);
    }
    check(
        |r| r.record("s3:PutObject", Err(Error::Unavailable("reset".into()))),
        Warning,
        &["completely", "reset"],
    );
}

#[test]
fn an_unreachable_bucket_is_reported_with_the_reason() {
    for (error, part) in [
        (Error::NoSuchBucket(String::new()), "correct `bucket`"),
        (Error::Forbidden("denied".into()), "s3:ListBucket"),
        (Error::NoCredentials("none".into()), "access_key_id"),
        (Error::Unavailable("client error: dns error: no such host".into()), "path_style = true"),
        (Error::Unavailable("invalid peer certificate: UnknownIssuer".into()), "AWS_CA_BUNDLE"),
        (Error::Unavailable("connection refused".into()), "check `endpoint`"),
        (Error::Refused("the bucket is in region eu-west-1".into()), "eu-west-1"),
    ] {
        let report = report(Err(error));
        let [finding] = report.findings(TWO_DAYS).try_into().unwrap();
        assert!(finding.weight == Weight::Error && finding.text.contains(part), "{finding:?}");
        assert_eq!((report.capabilities(), report.is_complete()), (vec![("reached", false)], false));
    }
}
