//! Senders as partners have them: real `curl` processes, with a known length or reading a pipe.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::process::Process;

/// Whether the sender says how much will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// `curl -T FILE`: Content-Length.
    Known,
    /// `cat FILE | curl -T -`: chunked.
    Unknown,
}

impl Length {
    /// The word of the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
        }
    }
}

/// Sends `file` to every URL at the same time and waits for all answers.
pub fn send_all(file: &Path, length: Length, urls: &[String]) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let senders: Vec<_> = urls.iter().map(|url| start(file, length, url)).collect::<Result<_, _>>()?;
    for sender in senders {
        sender.finish()?;
    }
    Ok(started.elapsed())
}

struct Sender {
    curl: Process,
    _cat: Option<Process>,
}

fn start(file: &Path, length: Length, url: &str) -> anyhow::Result<Sender> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]);
    curl.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut cat = None;
    match length {
        Length::Known => {
            curl.arg("-T").arg(file).stdin(Stdio::null());
        }
        Length::Unknown => {
            let mut process = Process::start(Command::new("cat").arg(file).stdout(Stdio::piped()))?;
            let pipe = process.child().stdout.take().context("take the pipe of cat")?;
            curl.args(["-T", "-"]).stdin(Stdio::from(pipe));
            cat = Some(process);
        }
    }
    Ok(Sender { curl: Process::start(curl.arg(url))?, _cat: cat })
}

impl Sender {
    fn finish(mut self) -> anyhow::Result<()> {
        let child = self.curl.child();
        // Answers are short, so reading one pipe after the other cannot block.
        let answer = read_all(child.stdout.take());
        let complaint = read_all(child.stderr.take());
        let status = child.wait().context("wait for curl")?;
        if !status.success() {
            bail!("a sender failed ({status}): {complaint}{answer}");
        }
        Ok(())
    }
}

/// One `curl -T` of a file from an offset on, which may be cut off. It ends when dropped.
pub struct Cut {
    curl: Process,
}

impl Cut {
    /// Starts it; `rate` is what `--limit-rate` takes.
    pub fn start(file: &Path, url: &str, offset: u64, rate: Option<&str>) -> anyhow::Result<Self> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "-H", "Accept: application/json", "-H", "Expect:"]);
        curl.args(["-w", "\n%{http_code} %{size_upload}"]);
        curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(rate) = rate {
            curl.args(["--limit-rate", rate]);
        }
        if offset > 0 {
            curl.args(["-C", &offset.to_string()]);
        }
        Ok(Self { curl: Process::start(curl.arg("-T").arg(file).arg(url))? })
    }

    /// Waits for its end and returns how many bytes it sent.
    pub fn sent(mut self) -> anyhow::Result<u64> {
        let text = self.end()?;
        let sent = text.rsplit(' ').next().and_then(|sent| sent.trim().parse().ok());
        sent.with_context(|| format!("find the bytes sent in `{text}`"))
    }

    /// Waits for its receipt, which must be the file's.
    pub fn finish(mut self, file: &Path) -> anyhow::Result<()> {
        let text = self.end()?;
        let (receipt, written) = text.rsplit_once('\n').context("divide the answer")?;
        if !written.starts_with("201 ") {
            bail!("a sender was refused: {text}");
        }
        let receipt: serde_json::Value = serde_json::from_str(receipt)?;
        let output = Command::new("sha256sum").arg(file).output()?;
        let expected = String::from_utf8(output.stdout)?;
        let sha256 = receipt["sha256"].as_str().unwrap_or_default();
        if sha256.len() != 64 || !expected.starts_with(sha256) {
            bail!("the receipt {receipt} is not of a file with {expected}");
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<String> {
        let text = read_all(self.curl.child().stdout.take());
        self.curl.child().wait().context("wait for curl")?;
        Ok(text)
    }
}

/// The durable offset of the unfinished upload there; 0 where there is none.
pub fn offset(url: &str) -> anyhow::Result<u64> {
    let output = Command::new("curl").args(["--silent", "--noproxy", "*", "-I", url]).output()?;
    let head = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let found = head.lines().find_map(|line| line.strip_prefix("upload-offset:")?.trim().parse().ok());
    Ok(found.unwrap_or(0))
}

/// Waits until no offset moves any more, and returns all offsets.
pub fn settled_offsets(urls: &[String]) -> anyhow::Result<Vec<u64>> {
    let all = || urls.iter().map(|url| offset(url)).collect::<anyhow::Result<Vec<_>>>();
    let mut before = all()?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = all()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

fn read_all(pipe: Option<impl std::io::Read>) -> String {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
