//! `weighbridge sweep`: clears what is ours, names what is not, and with `--adopt` rebuilds the ledger from receipts first.
//! Invariant: a JSON object a line for each thing found, and one for the sum of all at the end.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use desk::Desk;
use ledger::Ledger;
use rebuild::{Finding, Rebuild, TicketOwners};
use serde_json::{Value, json};
use upload::{Leak, LeakKind};

use super::print;
use crate::config::Config;
use crate::serve;

/// Carries it out. What cannot be looked at or cleared is a failure.
pub(super) async fn run(
    dry_run: bool,
    adopt: bool,
    ledger: &Ledger,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    let buckets = serve::open_buckets(config).await;
    let mut sum = json!({ "dry_run": dry_run });
    let mut failed = 0;
    if adopt {
        let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
        // Whoever reads along may go away: the work goes on.
        let mut printed = Ok(());
        let mut rebuild = Rebuild {
            ledger,
            buckets: &buckets,
            owners: TicketOwners::new(&desk),
            is_name: |name| crate::name::check(name).is_ok_and(|checked| checked == name),
            dry_run,
            report: &mut |finding| {
                if printed.is_ok() {
                    printed = print(&adoption(&finding));
                }
            },
        };
        let found = rebuild.run().await.context("adopt")?;
        printed?;
        sum["adopted"] = found.adopted.into();
        sum["known"] = found.known.into();
        sum["refused"] = found.refused.into();
        sum["unverified"] = found.unverified.into();
        failed += found.failed;
    }
    let uploads = serve::engine(config, ledger, &buckets, Arc::default());
    let swept = uploads.sweep(dry_run).await.context("sweep")?;
    // What it began to clear beside the sweep itself.
    uploads.drain().await;
    for leak in &swept.leaks.named {
        print(&leaked(leak))?;
    }
    let totals = LeakKind::ALL.map(|kind| swept.leaks.total(kind));
    failed += swept.failed;
    for (field, value) in [
        ("cleared", swept.cleared),
        ("waiting", swept.waiting),
        ("failed", failed),
        ("stray", swept.stray),
        ("expired", swept.expired),
        ("leaked", totals.iter().map(|total| total.count).sum()),
    ] {
        sum[field] = value.into();
    }
    sum["leaked_bytes"] = totals.iter().map(|total| total.bytes).sum::<i64>().into();
    print(&sum)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn adoption(finding: &Finding) -> Value {
    json!({ "found": finding.what, "bucket": finding.bucket, "key": finding.key, "detail": finding.detail })
}

fn leaked(leak: &Leak) -> Value {
    json!({
        "found": "leaked", "bucket": leak.bucket, "kind": leak.kind.name(), "key": leak.key,
        "multipart_id": leak.multipart_id, "bytes": leak.bytes, "since": ledger::rfc3339(leak.since),
        "age_seconds": (ledger::now_ms() - leak.since) / 1000,
    })
}
