//! The gateway as a process of its own, which a test can kill at any moment.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::{curl_command, eventually, program};

/// A running gateway; dropping it kills it.
pub struct Gateway {
    child: Child,
    config: PathBuf,
    /// Added to the test's own environment.
    environment: Vec<(String, String)>,
    /// `http://ADDRESS:PORT`, or `https`.
    pub url: String,
}

impl Gateway {
    /// Starts one with this configuration and environment, and waits until it accepts requests.
    pub fn start(config: &Path, url: String, environment: &[(String, String)]) -> Self {
        let mut gateway = Self::spawn(config, url, environment);
        gateway.wait_until_up();
        gateway
    }

    /// Starts one by a command that executes the program in its arguments.
    pub(crate) fn start_from(command: &[&str], config: &Path, url: String) -> Self {
        let mut gateway = Self::spawn_from(command, config, url, &[]);
        gateway.wait_until_up();
        gateway
    }

    /// Starts one and does not wait.
    fn spawn(config: &Path, url: String, environment: &[(String, String)]) -> Self {
        Self::spawn_from(&[], config, url, environment)
    }

    fn spawn_from(command: &[&str], config: &Path, url: String, environment: &[(String, String)]) -> Self {
        let log = config.with_file_name("serve.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut words: Vec<_> = command.iter().map(std::ffi::OsString::from).collect();
        words.push(program("weighbridge").into());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg("serve")
            .arg("--config")
            .arg(config)
            .envs(environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, config: config.to_owned(), environment: environment.to_vec(), url }
    }

    fn wait_until_up(&mut self) {
        let health = format!("{}/healthz", self.url);
        eventually("the gateway accepts requests", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the gateway ended: {}", self.log());
            let answer = curl_command(&["-sf", "--max-time", "5", &health]).output().unwrap();
            answer.status.success().then_some(())
        });
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Restarts it after [`Gateway::kill`].
    pub fn restart(&mut self) {
        *self = Self::start(&self.config.clone(), self.url.clone(), &self.environment.clone());
    }

    /// Restarts it without waiting until it accepts requests.
    pub fn restart_unwaited(&mut self) {
        *self = Self::spawn(&self.config.clone(), self.url.clone(), &self.environment.clone());
    }

    /// Sends SIGTERM and returns the exit status.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Largest resident size so far, bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Resident size now, bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_file_name("serve.log")).unwrap_or_default()
    }

    /// Runs `weighbridge ARGUMENTS --config …` beside the running gateway, as an operator does.
    pub fn admin(&self, arguments: &[&str]) -> Output {
        Command::new(program("weighbridge"))
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap()
    }

    /// Runs an admin command that must succeed; returns its output.
    pub fn admin_ok(&self, arguments: &[&str]) -> String {
        let output = self.admin(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates an upload link; returns its address without a trailing slash.
    pub fn make_link(&self, arguments: &[&str]) -> String {
        let all: Vec<_> = ["link", "create"].iter().chain(arguments).copied().collect();
        self.admin_ok(&all).trim().to_owned()
    }

    /// Sweeps and returns the totals.
    pub fn sweep(&self) -> Value {
        self.sweep_with(&[]).pop().unwrap()
    }

    /// Sweeps with more arguments; returns each printed line, totals last.
    pub fn sweep_with(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.admin_ok(&[&["sweep"], arguments].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
