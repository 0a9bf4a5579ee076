//! `cargo bench -p benches --bench resume`: the cost of resuming. A gateway killed in the middle of a large upload, and many
//! concurrent resumable uploads, each cut once. Figures on standard output, JSON in `target/bench/resume.json`.
//! Ends with an error when a file is wrong, more is sent again than was in flight, or memory is above its bound.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use benches::{
    gateway::{self, Gateway, MEMORY_BYTES},
    report,
    senders::{self, Cut},
    sink,
};
use serde_json::{Value, json};

/// A part, as long as the plan does not need larger ones (`upload/src/memory/part_plan.rs`).
const PART_BYTES: u64 = 8 << 20;
/// Four parts on their way and one being gathered.
const IN_FLIGHT_BYTES: u64 = 5 * PART_BYTES;
/// The most that the socket buffers of sender and gateway hold: the kernel's default limits.
const SOCKETS_BYTES: u64 = 10 << 20;
/// Beside the byte budget.
const ALLOWANCE_BYTES: u64 = 100 << 20;
const SENDERS: usize = 256;
/// So much of a file each of them sends, in a line that is slow enough for all to send at a time.
const SENDER_BYTES: u64 = 16 << 20;
const SENDER_RATE: &str = "512k";
/// After this long the lines break, about half way.
const CUT_AFTER: Duration = Duration::from_secs(16);

fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (_sink, sink_url) = sink::start()?;
    let gateway = gateway::prepare_gateway(folder.path(), gateway::binary()?, &sink_url)?;
    let file = folder.path().join("content.bin");
    // Twice as much as in the other benchmark: 2 GiB.
    report::write_content(&file, 2 * options.bytes)?;
    let mut kills = Vec::new();
    for run in 0..options.runs {
        kills.push(kill(&gateway, &sink_url, &file, 2 * options.bytes, run)?);
    }
    report::write_content(&file, SENDER_BYTES)?;
    // One for each run: the peak varies by about 5 %, and the median counts.
    let crowds =
        (0..options.runs).map(|run| crowd(&gateway, &file, run)).collect::<anyhow::Result<Vec<_>>>()?;
    report::save("resume", &json!({"killed": kills, "crowds": crowds}))?;
    let mut peaks: Vec<_> = crowds.iter().filter_map(|crowd| crowd["peak_rss_bytes"].as_u64()).collect();
    peaks.sort_unstable();
    let median = peaks[peaks.len() / 2];
    ensure!(median <= MEMORY_BYTES + ALLOWANCE_BYTES, "the median of the peaks was {} MiB", median >> 20);
    Ok(())
}

/// One sender at full speed. The gateway is killed when half of the file is durable, and the sender resumes at the next one.
fn kill(gateway: &Gateway, sink: &str, file: &Path, bytes: u64, run: usize) -> anyhow::Result<Value> {
    let url = gateway.upload_url(&format!("killed-{run}.bin"));
    let running = gateway.start()?;
    let sender = Cut::start(file, &url, 0, None)?;
    let acknowledged = loop {
        let offset = senders::offset(&url)?;
        if offset >= bytes / 2 {
            break offset;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // SIGKILL.
    drop(running);
    let sent = sender.sent()?;
    let read_before = sink::read_bytes(sink)?;
    let died = Instant::now();
    let _running = gateway.start()?;
    let offset = senders::offset(&url)?;
    let again = sent.saturating_sub(offset);
    Cut::start(file, &url, offset, None)?.finish(file)?;
    let took = died.elapsed();
    let read_back = sink::read_bytes(sink)? - read_before;
    writeln!(
        io::stdout(),
        "killed at {} MiB: {:.1} MiB sent again, {read_back} bytes read back, the rest took {:.1} s",
        offset >> 20,
        again as f64 / f64::from(1 << 20),
        took.as_secs_f64()
    )?;
    ensure!(offset >= acknowledged, "the offset went back from {acknowledged} to {offset}");
    ensure!(again <= IN_FLIGHT_BYTES + SOCKETS_BYTES, "{again} bytes had to be sent again");
    // A tail is less than the smallest part; after a kill there is none.
    ensure!(read_back < 5 << 20, "{read_back} bytes were read back");
    Ok(json!({
        "file_bytes": bytes, "offset_bytes": offset, "sent_again_bytes": again, "read_back_bytes": read_back,
        "rest_s": took.as_secs_f64(),
    }))
}

/// Many senders at a time on slow connections that all break; then all resume at once.
fn crowd(gateway: &Gateway, file: &Path, run: usize) -> anyhow::Result<Value> {
    let urls: Vec<_> =
        (0..SENDERS).map(|sender| gateway.upload_url(&format!("crowd-{run}-{sender}.bin"))).collect();
    let running = gateway.start()?;
    let begun = Instant::now();
    let slow: Vec<_> =
        urls.iter().map(|url| Cut::start(file, url, 0, Some(SENDER_RATE))).collect::<anyhow::Result<_>>()?;
    std::thread::sleep(CUT_AFTER.saturating_sub(begun.elapsed()));
    let open = slow.len();
    drop(slow);
    let offsets = senders::settled_offsets(&urls)?;
    let kept: u64 = offsets.iter().sum();
    let fast = Instant::now();
    let senders: Vec<_> = urls
        .iter()
        .zip(offsets)
        .map(|(url, offset)| Cut::start(file, url, offset, None))
        .collect::<anyhow::Result<_>>()?;
    for sender in senders {
        sender.finish(file)?;
    }
    let took = fast.elapsed();
    let peak = running.process.peak_rss_bytes()?;
    let left = SENDER_BYTES * SENDERS as u64 - kept;
    writeln!(
        io::stdout(),
        "{open} senders, cut with {} MiB durable: all complete, the other {} MiB in {:.1} s, peak RSS {} MiB with a budget of {} MiB",
        kept >> 20,
        left >> 20,
        took.as_secs_f64(),
        peak >> 20,
        MEMORY_BYTES >> 20
    )?;
    Ok(json!({
        "senders": open, "kept_bytes": kept, "rest_bytes": left, "rest_s": took.as_secs_f64(), "peak_rss_bytes": peak,
        "budget_bytes": MEMORY_BYTES,
    }))
}
