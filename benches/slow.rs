//! `cargo bench -p benches --bench slow`: a thousand slow senders at a time, and a fast one beside them. Figures on standard
//! output, JSON in `target/bench/slow.json`. Ends with an error when a file is not complete or the gateway's memory passes twice
//! its budget. How much of its speed the fast sender keeps is to be read: senders, gateway and sink share the processors, so one
//! that sends as fast as it can shows who gets them, and one on a line of 1 Gbit/s shows what the gateway lets it have.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use benches::{
    gateway::{self, Gateway, MEMORY_BYTES},
    report,
    senders::Cut,
    sink,
};
use serde_json::json;

const SENDERS: usize = 1_000;
/// Each sends 20 kB/s for 80 s.
const SENDER_BYTES: usize = 1_600_000;
const STEP_BYTES: usize = 4_000;
const STEP: Duration = Duration::from_millis(200);
/// So long after the first byte the fast one begins: the slow ones have filled what they may hold.
const FAST_AFTER: Duration = Duration::from_secs(20);
/// Fast files, one after the other, with and without the others; the median counts.
const FAST_FILES: usize = 3;
/// Bytes per second of the line of 1 Gbit/s.
const LINE_RATE: &str = "125000000";

fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (_sink, sink_url) = sink::start()?;
    let gateway = gateway::prepare_gateway(folder.path(), gateway::binary()?, &sink_url)?;
    let file = folder.path().join("content.bin");
    report::write_content(&file, options.bytes)?;
    let running = gateway.start()?;
    let fast = |name: &str| -> anyhow::Result<[f64; 2]> {
        let speed = |rate| speed(&gateway, &file, name, options.bytes, rate);
        Ok([speed(None)?, speed(Some(LINE_RATE))?])
    };
    let alone = fast("alone")?;
    let cpu_before = running.process.cpu_seconds()?;
    let complete = AtomicUsize::new(0);
    let beside = std::thread::scope(|scope| -> anyhow::Result<[f64; 2]> {
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (url, complete) = (gateway.upload_url(&format!("slow-{sender}.bin")), &complete);
                // A thread costs little more than a page or two of its stack.
                std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || {
                    slow(&url, sender).map(|()| complete.fetch_add(1, Ordering::Relaxed))
                })
            })
            .collect::<Result<_, _>>()?;
        std::thread::sleep(FAST_AFTER);
        let beside = fast("beside")?;
        for thread in threads {
            thread.join().ok().context("join a slow sender")??;
        }
        Ok(beside)
    })?;
    let (peak, complete) = (running.process.peak_rss_bytes()?, complete.into_inner());
    let cpu = running.process.cpu_seconds()? - cpu_before;
    let kept = [0, 1].map(|n| beside[n] / alone[n]);
    writeln!(
        io::stdout(),
        "{complete} of {SENDERS} slow senders complete, peak RSS {} MiB with a budget of {} MiB, {cpu:.1} CPU s in all; a fast \
         one beside them: {:.0} of {:.0} MB/s ({:.2}), on a line of 1 Gbit/s {:.0} of {:.0} MB/s ({:.2})",
        peak >> 20,
        MEMORY_BYTES >> 20,
        beside[0],
        alone[0],
        kept[0],
        beside[1],
        alone[1],
        kept[1]
    )?;
    report::save(
        "slow",
        &json!({
            "senders": SENDERS, "complete": complete, "sender_bytes": SENDER_BYTES, "peak_rss_bytes": peak,
            "budget_bytes": MEMORY_BYTES, "fast_alone_mb_per_s": alone[0], "fast_beside_mb_per_s": beside[0],
            "line_alone_mb_per_s": alone[1], "line_beside_mb_per_s": beside[1], "cpu_s": cpu,
        }),
    )?;
    ensure!(complete == SENDERS, "{} slow senders were refused", SENDERS - complete);
    ensure!(peak <= 2 * MEMORY_BYTES, "the peak was {} MiB", peak >> 20);
    Ok(())
}

/// MB/s of one fast sender: the median of several files.
fn speed(gateway: &Gateway, file: &Path, name: &str, bytes: u64, rate: Option<&str>) -> anyhow::Result<f64> {
    let mut speeds = Vec::new();
    for n in 0..FAST_FILES {
        let url = gateway.upload_url(&format!("{name}-{}-{n}.bin", rate.unwrap_or("free")));
        let begun = Instant::now();
        let sent = Cut::start(file, &url, 0, rate)?.sent()?;
        ensure!(sent == bytes, "a fast sender was cut at {sent} of {bytes} bytes");
        #[expect(clippy::cast_precision_loss, reason = "a speed is read to three digits")]
        speeds.push(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64());
    }
    speeds.sort_by(f64::total_cmp);
    Ok(speeds[FAST_FILES / 2])
}

/// A file of unknown length, a few kilobytes at a time; no two are equal.
fn slow(url: &str, seed: usize) -> anyhow::Result<()> {
    let (address, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .context("divide the address of an upload")?;
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "PUT /{path} HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let byte = u8::try_from(seed % 251)?;
    // A chunk in one write, as curl sends it.
    let mut step = format!("{STEP_BYTES:x}\r\n").into_bytes();
    step.extend((seed as u64).to_le_bytes());
    step.resize(step.len() - 8 + STEP_BYTES, byte);
    step.extend(b"\r\n");
    let begun = Instant::now();
    for (n, _) in (1..).zip(0..SENDER_BYTES / STEP_BYTES) {
        stream.write_all(&step)?;
        std::thread::sleep((STEP * n).saturating_sub(begun.elapsed()));
    }
    stream.write_all(b"0\r\n\r\n")?;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer)?;
    let head = String::from_utf8_lossy(&answer[..read]);
    ensure!(head.starts_with("HTTP/1.1 201 "), "a slow sender was answered {head}");
    Ok(())
}
