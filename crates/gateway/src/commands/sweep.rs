//! `weighbridge sweep`: clears ended uploads, lists what is not ours, and with `--adopt` restores the ledger from receipts first.
//! Invariant: it prints one JSON object per line for each finding, and one with the totals at the end.

use std::process::ExitCode;
use std::sync::Arc;

use access::TicketOwners;
use anyhow::Context as _;
use desk::Desk;
use ledger::Ledger;
use rebuild::{Discovery, Rebuild};
use serde_json::{Value, json};
use upload::{Leak, LeakKind};

use crate::config::Config;
use crate::output::print;
use crate::{file_name, startup};

/// Fails if anything cannot be read or cleared.
pub(super) async fn run(
    dry_run: bool,
    adopt: bool,
    ledger: &Ledger,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    let buckets = startup::open_buckets(config).await;
    let mut sum = json!({ "dry_run": dry_run });
    let mut failed = 0;
    if adopt {
        let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
        // The reader of the output may go away: the work continues.
        let mut printed = Ok(());
        let mut rebuild = Rebuild {
            ledger,
            buckets: &buckets,
            owners: TicketOwners::new(&desk),
            is_name: |name| file_name::check(name).is_ok_and(|checked| checked == name),
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
    let uploads = startup::engine(config, ledger, &buckets, Arc::default());
    let swept = uploads.sweep(dry_run).await.context("sweep")?;
    // Wait for what the sweep clears in the background.
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

fn adoption(finding: &Discovery) -> Value {
    json!({ "found": finding.what, "bucket": finding.bucket, "key": finding.key, "detail": finding.detail })
}

fn leaked(leak: &Leak) -> Value {
    json!({
        "found": "leaked", "bucket": leak.bucket, "kind": leak.kind.name(), "key": leak.key,
        "multipart_id": leak.multipart_id, "bytes": leak.bytes, "since": ledger::rfc3339(leak.since),
        "age_seconds": (ledger::now_ms() - leak.since) / 1000,
    })
}
