//! `cargo bench -p benches --bench own_bucket`: a partner's own bucket with 100,000 objects for tickets. What finding and noting
//! them costs, with a kill in the middle. Figures on standard output, JSON in `target/bench/own_bucket.json`.
//! Ends with an error when an object is not noted exactly once, or anything in the bucket is changed.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use benches::report;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Sandbox, put_by_hand};

const OBJECTS: usize = 100_000;
const QUICK_OBJECTS: usize = 10_000;
const TICKET: &str = "2001";
/// Objects that the embedded store takes at a time.
const AT_A_TIME: usize = 16;
const DEADLINE: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let objects = if options.runs == 1 { QUICK_OBJECTS } else { OBJECTS };
    let sandbox = Sandbox::start_embedded_with_file();
    let bucket = sandbox.bucket(Some("globex")).await;
    let filled = Instant::now();
    stream::iter(0..objects)
        .for_each_concurrent(AT_A_TIME, async |n| {
            put_by_hand(&bucket, &format!("{TICKET}/logs/{n:06}.log"), b"a line\n").await;
        })
        .await;
    writeln!(io::stdout(), "stored {objects} objects in {:.0} s", filled.elapsed().as_secs_f64())?;
    let stored = listing(&bucket).await?;
    ensure!(stored.len() == objects, "{} objects are stored", stored.len());
    let before = calls(&sandbox).await?;

    let mut gateway = sandbox.gateway_with(|config| {
        let limits = config.entry("limits").or_insert_with(|| toml::Table::new().into());
        if let Some(limits) = limits.as_table_mut() {
            limits.insert("watch_buckets_every".into(), "1s".into());
        }
    });
    let began = Instant::now();
    let mut peak = 0;
    let mut killed = false;
    let noted = loop {
        let noted = noted(&sandbox).await?;
        peak = peak.max(gateway.peak_rss_bytes());
        if noted >= objects {
            break noted;
        }
        if noted > 0 && !killed {
            gateway.kill();
            gateway.restart();
            killed = true;
        }
        ensure!(began.elapsed() < DEADLINE, "{noted} of {objects} objects are noted");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let took = began.elapsed();
    let after = calls(&sandbox).await?;
    let more = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
    let lists = more("ListObjectsV2");
    writeln!(
        io::stdout(),
        "noted {noted} objects in {:.0} s with {lists} lists, killed in between: {killed}, peak RSS {} MiB",
        took.as_secs_f64(),
        peak >> 20
    )?;
    // Long enough for a second note about any of them.
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(self::noted(&sandbox).await? == objects, "an object is noted twice");
    ensure!(listing(&bucket).await? == stored, "the bucket was changed");
    report::save(
        "own_bucket",
        &json!({"objects": objects, "lists": lists, "noted_s": took.as_secs_f64(), "peak_rss_bytes": peak}),
    )?;
    Ok(())
}

/// How many objects all notes on the ticket together are about.
async fn noted(sandbox: &Sandbox) -> anyhow::Result<usize> {
    let comments = sandbox.comments(TICKET).await;
    let texts = comments.iter().filter_map(|comment| comment["body"].as_str());
    let counts = texts.filter(|text| text.contains("partner-objects: ")).map(|text| {
        let count = text.strip_prefix("**").and_then(|rest| rest.split(' ').next());
        count.and_then(|count| count.parse::<usize>().ok()).context("a note says how many")
    });
    counts.sum()
}

/// The keys of the ticket's objects, with their ETags and times.
async fn listing(bucket: &bucket::Bucket) -> anyhow::Result<Vec<bucket::Object>> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = bucket.list(&format!("{TICKET}/"), next.as_deref()).await?;
        found.extend(page.objects);
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// The calls of the store so far, by name.
async fn calls(sandbox: &Sandbox) -> anyhow::Result<Value> {
    let url = sandbox.text("/faults");
    let report = tests::curl(&[&url]);
    Ok(serde_json::from_str::<Value>(&report.body)?["calls"]["s3"].clone())
}
