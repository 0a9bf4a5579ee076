//! The figures of all runs, as a table for people and as JSON for comparisons; also writes the content to send.

use std::{
    env,
    fmt::Write,
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context;
use serde_json::{Value, json};

/// One run of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// 10^6 bytes a second, all senders together.
    pub mb_per_s: f64,
    /// User and system seconds of the gateway for each 10^9 bytes; none without a gateway.
    pub cpu_s_per_gb: Option<f64>,
    /// Peak resident memory of the gateway in bytes; none without a gateway.
    pub peak_rss_bytes: Option<u64>,
}

/// All runs of a scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// Senders at the same time.
    pub senders: usize,
    /// `known` or `unknown`.
    pub length: &'static str,
    /// `gateway`, or `sink` for the same senders without one.
    pub target: &'static str,
    pub runs: Vec<Run>,
}

impl Row {
    fn mb_per_s(&self) -> f64 {
        median(self.runs.iter().map(|run| run.mb_per_s)).unwrap_or_default()
    }

    fn cpu_s_per_gb(&self) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.cpu_s_per_gb))
    }

    /// The highest of all runs: a bound is not a median.
    fn peak_rss_bytes(&self) -> Option<u64> {
        self.runs.iter().filter_map(|run| run.peak_rss_bytes).max()
    }
}

/// The table: medians, and the highest peak.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>7}  {:<8}{:<9}{:>8}{:>12}{:>13}\n",
        "senders", "length", "target", "MB/s", "CPU s/GB", "peak RSS MiB"
    );
    for row in rows {
        let cpu = row.cpu_s_per_gb().map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}"));
        let rss = row.peak_rss_bytes().map_or_else(|| "-".to_owned(), |rss| (rss >> 20).to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>7}  {:<8}{:<9}{:>8.0}{cpu:>12}{rss:>13}",
            row.senders,
            row.length,
            row.target,
            row.mb_per_s()
        );
    }
    text
}

/// Medians and every run. `bytes` is what each sender sent.
pub fn json(rows: &[Row], bytes: u64, cores: usize) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let runs: Vec<_> = row
                .runs
                .iter()
                .map(|run| {
                    json!({"mb_per_s": run.mb_per_s, "cpu_s_per_gb": run.cpu_s_per_gb, "peak_rss_bytes": run.peak_rss_bytes})
                })
                .collect();
            json!({
                "senders": row.senders, "length": row.length, "target": row.target,
                "mb_per_s": row.mb_per_s(), "cpu_s_per_gb": row.cpu_s_per_gb(), "peak_rss_bytes": row.peak_rss_bytes(),
                "runs": runs,
            })
        })
        .collect();
    json!({"bytes_per_sender": bytes, "cores": cores, "memory_budget_bytes": crate::gateway::MEMORY_BYTES, "results": rows})
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[values.len() / 2 - 1] + upper) / 2.0 })
}

/// Writes bytes that no layer could compress or deduplicate away. Afterwards they come from memory.
pub fn write_content(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut random = io::Read::take(fs::File::open("/dev/urandom").context("open /dev/urandom")?, bytes);
    io::copy(&mut random, &mut fs::File::create(path)?).context("write the content")?;
    Ok(())
}

/// Keeps the figures of a benchmark in `target/bench`.
pub fn save(name: &str, value: &Value) -> anyhow::Result<()> {
    let program = env::current_exe()?;
    // `target/release/deps/NAME-HASH` is this program.
    let target = program.ancestors().nth(3).context("find the target folder")?;
    fs::create_dir_all(target.join("bench"))?;
    let path = target.join("bench").join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(value)? + "\n")?;
    writeln!(io::stdout(), "written to {}", path.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_peaks() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        let run = |mb_per_s, rss| Run { mb_per_s, cpu_s_per_gb: Some(1.25), peak_rss_bytes: Some(rss) };
        let gateway = Row {
            senders: 8,
            length: "known",
            target: "gateway",
            runs: vec![run(900.0, 50 << 20), run(700.0, 90 << 20), run(800.0, 60 << 20)],
        };
        let bare = Run { mb_per_s: 2_000.0, cpu_s_per_gb: None, peak_rss_bytes: None };
        let sink = Row { senders: 1, length: "unknown", target: "sink", runs: vec![bare] };
        let rows = [gateway, sink];
        let text = table(&rows);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["8", "known", "gateway", "800", "1.25", "90"]);
        assert_eq!(lines[2], ["1", "unknown", "sink", "2000", "-", "-"]);
        let value = json(&rows, 1 << 30, 2);
        assert_eq!(value["results"][0]["peak_rss_bytes"], 90 << 20);
        assert_eq!(value["results"][1]["cpu_s_per_gb"], Value::Null);
        assert_eq!(value["results"][0]["runs"].as_array().map(Vec::len), Some(3));
    }
}
