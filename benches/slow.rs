//! `cargo bench -p benches --bench slow`: a thousand slow senders, and a fast one beside them. Figures on standard output, JSON in
//! `target/bench/slow.json`. Senders, gateway and sink share the processors, so the fast one is measured twice beside the slow
//! ones: while they send straight to the sink, and while they send to the gateway. The ratio is what the gateway costs it.
//! Ends with an error if a file is incomplete, if the ratio on a line of 1 Gbit/s is under 0.8, or if the memory passes twice the
//! budget. A sender without a limit competes with all others for the processors: its ratio is only reported.

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
/// Of its speed beside slow senders that do not use the gateway, what a fast one on the line keeps beside those that do.
const KEPT_MIN: f64 = 0.8;

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
    let to_sink = |sender| format!("{sink_url}/{}/slow-{sender}.bin", sink::BUCKET);
    let (control, _) = beside(&to_sink, || fast("control"))?;
    let cpu_before = running.process.cpu_seconds()?;
    let to_gateway = |sender| gateway.upload_url(&format!("slow-{sender}.bin"));
    let (beside, complete) = beside(&to_gateway, || fast("beside"))?;
    let peak = running.process.peak_rss_bytes()?;
    let cpu = running.process.cpu_seconds()? - cpu_before;
    let kept = [0, 1].map(|n| beside[n] / control[n]);
    writeln!(
        io::stdout(),
        "{complete} of {SENDERS} slow senders complete, peak RSS {} MiB with a budget of {} MiB, {cpu:.1} CPU s in all",
        peak >> 20,
        MEMORY_BYTES >> 20
    )?;
    for (n, line) in ["as fast as it can", "on a line of 1 Gbit/s"].iter().enumerate() {
        writeln!(
            io::stdout(),
            "a fast sender {line}: {:.0} MB/s alone, {:.0} while the slow ones send to the sink, {:.0} while they send to the \
             gateway ({:.2})",
            alone[n],
            control[n],
            beside[n],
            kept[n]
        )?;
    }
    report::save(
        "slow",
        &json!({
            "senders": SENDERS, "complete": complete, "sender_bytes": SENDER_BYTES, "peak_rss_bytes": peak,
            "budget_bytes": MEMORY_BYTES, "cpu_s": cpu, "fast_mb_per_s": { "alone": alone[0], "control": control[0], "beside": beside[0] },
            "line_mb_per_s": { "alone": alone[1], "control": control[1], "beside": beside[1] },
        }),
    )?;
    ensure!(complete == SENDERS, "{} slow senders were refused", SENDERS - complete);
    ensure!(peak <= 2 * MEMORY_BYTES, "the peak was {} MiB", peak >> 20);
    ensure!(kept[1] >= KEPT_MIN, "a fast sender kept {:.2} of its speed", kept[1]);
    Ok(())
}

/// Measures while the slow senders send to their URLs. Returns also how many of them completed.
fn beside(
    url: &(dyn Fn(usize) -> String + Sync),
    measure: impl FnOnce() -> anyhow::Result<[f64; 2]>,
) -> anyhow::Result<([f64; 2], usize)> {
    let complete = AtomicUsize::new(0);
    let measured = std::thread::scope(|scope| -> anyhow::Result<[f64; 2]> {
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (url, complete) = (url(sender), &complete);
                // A thread costs little more than a page or two of its stack.
                std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || {
                    slow(&url, sender).map(|()| complete.fetch_add(1, Ordering::Relaxed))
                })
            })
            .collect::<Result<_, _>>()?;
        std::thread::sleep(FAST_AFTER);
        let measured = measure()?;
        for thread in threads {
            thread.join().ok().context("join a slow sender")??;
        }
        Ok(measured)
    })?;
    Ok((measured, complete.into_inner()))
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
    ensure!(head.starts_with("HTTP/1.1 20"), "a slow sender was answered {head}");
    Ok(())
}
