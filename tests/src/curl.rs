//! Real `curl`, as a partner runs it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::transport;

/// curl's exit status for an HTTP/2 stream that was not closed cleanly.
const HTTP2_STREAM: i32 = 92;

#[derive(Debug)]
pub struct Answer {
    /// Status of the last response; 0 when there was none.
    pub status: u16,
    /// Headers of the last response, names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub exit: i32,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// curl with these arguments, and those it needs to reach a gateway over its transport.
pub fn curl_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(transport::curl_arguments(arguments)).args(arguments);
    command
}

/// Runs curl with these arguments and asks for JSON.
///
/// Retries when the body of a refusal was lost over HTTP/2: if an answer arrives while it is writing, curl 7 ends its
/// stream before the declared length, and reports the reset that follows as an error although the body arrived.
pub fn curl(arguments: &[&str]) -> Answer {
    let mut all = vec!["-H", "Accept: application/json"];
    all.extend(arguments);
    for _ in 0..20 {
        let answer = curl_raw(&all, Stdio::null());
        if answer.exit != HTTP2_STREAM || answer.status < 400 || !answer.body.is_empty() {
            return answer;
        }
    }
    curl_raw(&all, Stdio::null())
}

/// Runs curl with these arguments and this standard input.
pub fn curl_raw(arguments: &[&str], input: Stdio) -> Answer {
    let heads = tempfile::NamedTempFile::new().unwrap();
    let output = curl_command(arguments)
        .args(["-sS", "--max-time", "120", "-D"])
        .arg(heads.path())
        .stdin(input)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(heads.path()).unwrap()).into_owned();
    // An interim `100 Continue` has its own head, so the last one counts.
    let last = text.replace("\r\n", "\n").trim_end().rsplit("\n\n").next().unwrap_or_default().to_owned();
    let status = last.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = last
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&output.stdout).into_owned(),
        exit: output.status.code().unwrap_or(-1),
    }
}
