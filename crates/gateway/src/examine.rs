//! What each bucket can do, found out at the start and by `config check`, told in words and as metrics.
//! Invariant: no bucket, however broken, stops the start or holds it up for longer than one examination takes.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bucket::{Bucket, Buckets, Report, Weight};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::{MISCONFIGURED, say, serve};

/// A bucket that could not be examined is looked at again after this.
const AGAIN_EVERY: Duration = Duration::from_secs(60);

/// Examines every bucket, all at once, and tells what was found.
pub(crate) async fn all(buckets: &Buckets, resume_window: Duration) -> Vec<(String, Bucket)> {
    let wanted = buckets.all().map(|(name, bucket)| (name.to_owned(), bucket.clone())).collect();
    some(wanted, resume_window).await
}

/// Examines these; answers those that it has to be tried with again.
async fn some(buckets: Vec<(String, Bucket)>, resume_window: Duration) -> Vec<(String, Bucket)> {
    let reports = join_all(buckets.iter().map(|(_, bucket)| Box::pin(bucket.examine()))).await;
    let mut left = Vec::new();
    for ((name, bucket), report) in buckets.into_iter().zip(reports) {
        tell(&name, &bucket, &report, resume_window);
        if !report.is_complete() {
            left.push((name, bucket));
        }
    }
    left
}

fn tell(name: &str, bucket: &Bucket, report: &Report, resume_window: Duration) {
    tracing::info!(bucket = name, s3_bucket = bucket.name(), "bucket {}", report.summary());
    for finding in report.findings(resume_window) {
        match finding.weight {
            Weight::Note => tracing::info!(bucket = name, "{}", finding.text),
            Weight::Warning | Weight::Error => tracing::warn!(bucket = name, "{}", finding.text),
        }
    }
    for (capability, has) in report.capabilities() {
        metrics::gauge!(
            "weighbridge_bucket_capability", "bucket" => name.to_owned(), "capability" => capability
        )
        .set(u8::from(has));
    }
}

/// Looks again at the buckets that could not be examined, until each of them was.
pub(crate) async fn again(mut left: Vec<(String, Bucket)>, resume_window: Duration, stop: CancellationToken) {
    while !left.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN_EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            still = some(left, resume_window) => left = still,
        }
    }
}

/// How long a plain `config check` waits for the buckets, all of them at once.
const RULES_WAIT: Duration = Duration::from_secs(3);

/// `config check`: a lifecycle rule that removes what may be resumed is a mistake of the configuration. A bucket that cannot
/// be asked is none: the file may be checked where it is not run.
pub(crate) async fn check_rules(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let buckets = serve::open_buckets(config).await;
    let wanted: Vec<_> = buckets.all().collect();
    let reports = join_all(wanted.iter().map(|(_, bucket)| Box::pin(bucket.examine_rules(RULES_WAIT)))).await;
    warn(config)?;
    let (mut good, mut asked) = (true, true);
    for ((name, _), report) in wanted.iter().zip(reports) {
        asked &= report.is_complete();
        let key = if *name == bucket::SUPPORT_UPLOADER {
            "support_uploader".to_owned()
        } else {
            format!("partners.{name}.bucket")
        };
        let place = format!("{}: line {}: {key}", path.display(), config::bucket_line(path, name));
        for finding in report.findings(config.limits.resume_window) {
            let is_mistake = finding.weight == Weight::Error && report.is_complete();
            good &= !is_mistake;
            let weight = if is_mistake { "" } else { "warning: " };
            if finding.weight > Weight::Note {
                writeln!(std::io::stderr(), "{place}: {weight}{}", finding.text)?;
            }
        }
    }
    conclude(good, asked)
}

/// What a check ends with. `asked`: whether every bucket could be.
fn conclude(good: bool, asked: bool) -> anyhow::Result<ExitCode> {
    if !good {
        return Ok(ExitCode::from(MISCONFIGURED));
    }
    say(if asked {
        "The configuration is good."
    } else {
        "The configuration has no mistakes, but not every bucket could be asked from here."
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Tells of what works, but is not safe.
fn warn(config: &Config) -> anyhow::Result<()> {
    for warning in &config.warnings {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    Ok(())
}

/// `config check --online`: says what every bucket can do; what will fail is a mistake of the configuration.
pub(crate) async fn check(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let buckets = serve::open_buckets(config).await;
    let wanted: Vec<_> = buckets.all().collect();
    let reports = join_all(wanted.iter().map(|(_, bucket)| Box::pin(bucket.examine()))).await;
    warn(config)?;
    let mut good = true;
    for ((name, _), report) in wanted.iter().zip(reports) {
        let line = config::bucket_line(path, name);
        say(&format!("{}: line {line}: bucket `{name}` {}", path.display(), report.summary()))?;
        for finding in report.findings(config.limits.resume_window) {
            let weight = match finding.weight {
                Weight::Note => "note",
                Weight::Warning => "warning",
                Weight::Error => "error",
            };
            good &= finding.weight != Weight::Error;
            say(&format!("{}: line {line}: bucket `{name}`: {weight}: {}", path.display(), finding.text))?;
        }
    }
    conclude(good, true)
}
