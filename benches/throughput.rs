//! `cargo bench -p benches`: one and eight senders, known and unknown length, through the gateway and straight to the
//! sink, in the same run. A table on standard output, JSON in `target/bench/throughput.json`.

use std::{
    io::{self, Write},
    path::Path,
    thread::available_parallelism,
};

use benches::{
    gateway::{self, Gateway},
    options::Options,
    report::{self, Row, Run},
    senders::{self, Length},
    sink,
};

const SENDERS: [usize; 2] = [1, 8];
const LENGTHS: [Length; 2] = [Length::Known, Length::Unknown];

fn main() -> anyhow::Result<()> {
    let Some(options) = benches::asked()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("content.bin");
    report::write_content(&file, options.bytes)?;
    let (_sink, sink_url) = sink::start()?;
    let gateway = gateway::prepare_gateway(folder.path(), gateway::binary()?, &sink_url)?;
    let rows = measure(&options, &gateway, &sink_url, &file)?;
    let cores = available_parallelism().map_or(1, usize::from);
    let mib = options.bytes >> 20;
    writeln!(
        io::stdout(),
        "{mib} MiB a sender, {} runs, {cores} cores shared by senders, gateway and sink\n",
        options.runs
    )?;
    writeln!(io::stdout(), "{}", report::table(&rows))?;
    report::save("throughput", &report::json(&rows, options.bytes, cores))
}

/// Runs of the two targets alternate, so that what disturbs the machine disturbs both.
fn measure(options: &Options, gateway: &Gateway, sink_url: &str, file: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for senders in SENDERS {
        for length in LENGTHS {
            let row = |target| Row { senders, length: length.name(), target, runs: Vec::new() };
            let (mut through, mut straight) = (row("gateway"), row("sink"));
            for run in 0..options.runs {
                let name = |sender| format!("{senders}-{}-{run}-{sender}.bin", length.name());
                let to_gateway: Vec<_> =
                    (0..senders).map(|sender| gateway.upload_url(&name(sender))).collect();
                let to_sink: Vec<_> = (0..senders)
                    .map(|sender| format!("{sink_url}/{}/straight/{}", sink::BUCKET, name(sender)))
                    .collect();
                let bytes = options.bytes as f64 * senders as f64;
                let running = gateway.start()?;
                let before = running.process.cpu_seconds()?;
                let elapsed = senders::send_all(file, length, &to_gateway)?;
                through.runs.push(Run {
                    mb_per_s: bytes / 1e6 / elapsed.as_secs_f64(),
                    cpu_s_per_gb: Some((running.process.cpu_seconds()? - before) / (bytes / 1e9)),
                    peak_rss_bytes: Some(running.process.peak_rss_bytes()?),
                });
                drop(running);
                let elapsed = senders::send_all(file, length, &to_sink)?;
                let mb_per_s = bytes / 1e6 / elapsed.as_secs_f64();
                straight.runs.push(Run { mb_per_s, cpu_s_per_gb: None, peak_rss_bytes: None });
            }
            rows.extend([through, straight]);
        }
    }
    Ok(rows)
}
