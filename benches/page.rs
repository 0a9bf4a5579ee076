//! `cargo bench -p benches --bench page`: one file sent with the upload page in a real browser, beside `curl`. Figures on standard
//! output, JSON in `target/bench/page.json`. Needs Node, a browser, and `npm ci` in `.ci/page`.
//! `BROWSER` is `chromium` or `firefox`. Browser, gateway and sink share the processors.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use benches::{
    gateway, report,
    senders::{Length, send_all},
    sink,
};
use serde_json::{Value, json};

/// Without `--bytes`, what is sent.
const BYTES: u64 = 2 << 30;
const RUNS: usize = 3;

fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let bytes = if env::args().any(|argument| argument == "--bytes") { options.bytes } else { BYTES };
    let folder = tempfile::tempdir()?;
    let (_sink, sink_url) = sink::start()?;
    let gateway = gateway::prepare_gateway(folder.path(), gateway::binary()?, &sink_url)?;
    let _running = gateway.start()?;
    let (mut curl, mut bare, mut arrived, mut compared) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        // The same contents again would be taken for a retry.
        let file = folder.path().join(format!("content-{run}.bin"));
        report::write_content(&file, bytes - run as u64)?;
        let url = gateway.upload_url(&format!("curl-{run}.bin"));
        curl.push(send_all(&file, Length::Known, &[url])?.as_secs_f64());
        report::write_content(&file, bytes - (RUNS + run) as u64)?;
        let sent = in_browser(&gateway.upload_url(""), &file, &["--bare"])?;
        bare.push(sent["bare_s"].as_f64().context("read how long the browser took")?);
        report::write_content(&file, bytes - (2 * RUNS + run) as u64)?;
        let sent = in_browser(&gateway.upload_url(""), &file, &[])?;
        ensure!(sent["state"] == "done", "the file ended as {}", sent["state"]);
        arrived.push(sent["arrived_s"].as_f64().context("read when the file arrived")?);
        compared.push(sent["compared_s"].as_f64().context("read when the digest was compared")?);
        std::fs::remove_file(&file)?;
    }
    let [curl_s, bare_s, arrived_s, compared_s] =
        [&curl, &bare, &arrived, &compared].map(|runs| median(runs));
    writeln!(
        io::stdout(),
        "{} MiB, medians of {RUNS}: curl {curl_s:.1} s; a plain PUT of the browser {bare_s:.1} s ({:.2} of curl's throughput); the page \
         {arrived_s:.1} s until the receipt ({:.2}), {compared_s:.1} s until its digest is compared",
        bytes >> 20,
        curl_s / bare_s,
        curl_s / arrived_s,
    )?;
    report::save(
        "page",
        &json!({"bytes": bytes, "curl_s": curl, "bare_s": bare, "arrived_s": arrived, "compared_s": compared, "ratio": curl_s / arrived_s}),
    )
}

/// Sends a file in the browser: with the page, or bare.
fn in_browser(link: &str, file: &Path, more: &[&str]) -> anyhow::Result<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/page");
    let output = Command::new("node")
        .args(["throughput.mjs", link])
        .arg(file)
        .args(more)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("run node")?;
    ensure!(output.status.success(), "the browser failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
