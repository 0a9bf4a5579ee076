//! `weighbridge config check`: mistakes that only the buckets can show.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bucket::Weight;
use futures_util::future::join_all;

use crate::config::{self, Config};
use crate::output::{MISCONFIGURED, say};
use crate::startup::open_buckets;

/// How long a plain `config check` waits for all buckets.
const RULES_WAIT: Duration = Duration::from_secs(3);

/// `config check`: a lifecycle rule that removes resumable uploads is a mistake. A bucket that cannot be reached is not: the
/// file may be checked on another machine.
pub(crate) async fn check_rules(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let buckets = open_buckets(config).await;
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

/// Prints the result. `asked`: every bucket could be reached.
fn conclude(good: bool, asked: bool) -> anyhow::Result<ExitCode> {
    if !good {
        return Ok(ExitCode::from(MISCONFIGURED));
    }
    say(if asked {
        "The configuration is valid."
    } else {
        "The configuration has no mistakes, but not every bucket could be reached from here."
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints warnings: what works, but is not safe.
fn warn(config: &Config) -> anyhow::Result<()> {
    for warning in &config.warnings {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    Ok(())
}

/// `config check --online`: prints what every bucket can do. Whatever will fail is a mistake of the configuration.
pub(crate) async fn check(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let buckets = open_buckets(config).await;
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
