//! Processes of ours: ended when dropped, and what the kernel says they used (Linux, `/proc`).

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
};

use anyhow::Context;

/// The unit of times in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux architecture of today (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that does not outlive us.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// User and system seconds so far.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let text = self.proc_file("stat")?;
        cpu_ticks(&text).map(|ticks| ticks / TICKS_PER_SECOND).context("read the CPU time")
    }

    /// The most memory it ever held, in bytes.
    pub fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        peak_bytes(&self.proc_file("status")?).context("read the peak memory")
    }

    fn proc_file(&self, name: &str) -> anyhow::Result<String> {
        let path: PathBuf = ["/proc", &self.child.id().to_string(), name].iter().collect();
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing to report.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime: fields 14 and 15. The name before them may hold blanks and brackets, so count from its end.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// `VmHWM:    1234 kB`, where kB means 1024 bytes.
fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_parsed() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 2 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(200.0));
        assert_eq!(peak_bytes("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!((cpu_ticks(""), peak_bytes("VmHWM: x")), (None, None));
    }
}
