//! `cargo bench -p benches --bench slow`: a thousand slow senders at a time, and a fast one beside them. Figures on standard
//! output, JSON in `target/bench/slow.json`. Ends with an error when a file is not complete or the gateway's memory passes twice
//! its budget. How much of its speed the fast sender keeps is to be read: the processors are shared.

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
    senders::{self, Length},
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
const FAST_FILES: usize = 5;

fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (_sink, sink_url) = sink::start()?;
    let gateway = gateway::prepare_gateway(folder.path(), gateway::binary()?, &sink_url)?;
    let file = folder.path().join("content.bin");
    report::write_content(&file, options.bytes)?;
    let running = gateway.start()?;
    let alone = fast(&gateway, &file, "alone", options.bytes)?;
    let cpu_before = running.process.cpu_seconds()?;
    let complete = AtomicUsize::new(0);
    let beside = std::thread::scope(|scope| -> anyhow::Result<f64> {
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
        let beside = fast(&gateway, &file, "beside", options.bytes)?;
        for thread in threads {
            thread.join().ok().context("join a slow sender")??;
        }
        Ok(beside)
    })?;
    let (peak, complete) = (running.process.peak_rss_bytes()?, complete.into_inner());
    let cpu = running.process.cpu_seconds()? - cpu_before;
    let kept = beside / alone;
    writeln!(
        io::stdout(),
        "{complete} of {SENDERS} slow senders complete, peak RSS {} MiB with a budget of {} MiB; the fast one: {alone:.0} MB/s \
         alone, {beside:.0} MB/s beside them ({kept:.2}); {cpu:.1} CPU s in all",
        peak >> 20,
        MEMORY_BYTES >> 20
    )?;
    report::save(
        "slow",
        &json!({
            "senders": SENDERS, "complete": complete, "sender_bytes": SENDER_BYTES, "peak_rss_bytes": peak,
            "budget_bytes": MEMORY_BYTES, "fast_alone_mb_per_s": alone, "fast_beside_mb_per_s": beside, "cpu_s": cpu,
        }),
    )?;
    ensure!(complete == SENDERS, "{} slow senders were refused", SENDERS - complete);
    ensure!(peak <= 2 * MEMORY_BYTES, "the peak was {} MiB", peak >> 20);
    Ok(())
}

/// MB/s of one fast sender: the median of several files.
fn fast(gateway: &Gateway, file: &Path, name: &str, bytes: u64) -> anyhow::Result<f64> {
    let mut speeds = Vec::new();
    for n in 0..FAST_FILES {
        let url = gateway.upload_url(&format!("{name}-{n}.bin"));
        let took = senders::send_all(file, Length::Known, &[url])?;
        #[expect(clippy::cast_precision_loss, reason = "a speed is read to three digits")]
        speeds.push(bytes as f64 / 1e6 / took.as_secs_f64());
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
    let mut step = vec![byte; STEP_BYTES];
    step[..8].copy_from_slice(&(seed as u64).to_le_bytes());
    let begun = Instant::now();
    for (n, _) in (1..).zip(0..SENDER_BYTES / STEP_BYTES) {
        write!(stream, "{STEP_BYTES:x}\r\n")?;
        stream.write_all(&step)?;
        stream.write_all(b"\r\n")?;
        std::thread::sleep((STEP * n).saturating_sub(begun.elapsed()));
    }
    stream.write_all(b"0\r\n\r\n")?;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer)?;
    let head = String::from_utf8_lossy(&answer[..read]);
    ensure!(head.starts_with("HTTP/1.1 201 "), "a slow sender was answered {head}");
    Ok(())
}
