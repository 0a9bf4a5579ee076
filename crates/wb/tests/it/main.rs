//! The real `wb` against a small staff API of our own, and against the embedded S3 server, on loopback.
//! Every test has a gateway, a bucket and a folder of its own; nothing is shared.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod audit;
mod bare;
mod config;
mod contacts;
mod escalations;
mod expiry;
mod fake;
mod get;
mod holds;
mod links;
mod lists;
mod many;
mod notes;
mod proxy;
mod resume;
mod s3;
mod store;
mod verify;
mod words;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fake::Fake;
use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in and a gateway to ask.
struct Setup {
    fake: Fake,
    folder: TempDir,
}

/// What a run of `wb` left behind.
struct Run {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Setup {
    fn new() -> Self {
        Self { fake: Fake::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `wb` with nothing of the caller's environment that could matter.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wb"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("HOME", self.folder.path()).env("NO_PROXY", "*");
        command.env("WEIGHBRIDGE_URL", &self.fake.url).env("WEIGHBRIDGE_TOKEN", fake::TOKEN);
        command.stdin(Stdio::null());
        command
    }

    fn wb(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments))
    }

    /// Names in a folder, hidden ones too.
    fn names(&self, folder: &str) -> Vec<String> {
        names_in(&self.path(folder))
    }
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// Asserts the exit status, showing what was said otherwise.
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn objects(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Names in a folder, hidden ones too, sorted; none where there is no folder.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// Looks until it is so; fails after half a minute.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
