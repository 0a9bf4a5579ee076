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
///
/// # Errors
/// When one of the senders is not answered with success; says what it was told.
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
        // Answers are short: one pipe after the other cannot block.
        let answer = read_all(child.stdout.take());
        let complaint = read_all(child.stderr.take());
        let status = child.wait().context("wait for curl")?;
        if !status.success() {
            bail!("a sender failed ({status}): {complaint}{answer}");
        }
        Ok(())
    }
}

fn read_all(pipe: Option<impl std::io::Read>) -> String {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
