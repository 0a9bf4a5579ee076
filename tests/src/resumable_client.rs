//! Requests as a resuming client makes them, and assertions about their answers. Every check names its row, so that a table
//! of sentences shows which one is broken.

use std::io::Write as _;
use std::process::Stdio;

use crate::{Answer, RawClient, curl_raw, eventually};

/// One request by curl, with these header lines and this body.
pub fn ask(method: &str, url: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(body).unwrap();
    let data = format!("@{}", file.path().display());
    let mut arguments = vec!["-H", "Expect:"];
    // curl would add types of its own.
    for (name, default) in [("accept", "Accept: application/json"), ("content-type", "Content-Type:")] {
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with(name)) {
            arguments.extend(["-H", default]);
        }
    }
    arguments.extend(headers.iter().flat_map(|line| ["-H", *line]));
    match method {
        "HEAD" => arguments.push("-I"),
        "GET" | "OPTIONS" | "DELETE" if body.is_empty() => arguments.extend(["-X", method]),
        _ => arguments.extend(["-X", method, "--data-binary", &data]),
    }
    arguments.push(url);
    curl_raw(&arguments, Stdio::null())
}

/// Starts a request that declares `announced` bytes, sends only these, and disconnects.
pub fn break_off(method: &str, url: &str, headers: &[&str], announced: usize, brought: &[u8]) {
    let length = format!("Content-Length: {announced}");
    let mut raw = RawClient::request(method, url, &[headers, &[length.as_str()]].concat());
    assert!(raw.send(brought));
    raw.leave();
}

/// Polls until the offset is this. Bytes received before a disconnect become durable after it.
pub fn until_offset(url: &str, headers: &[&str], offset: usize) -> Answer {
    eventually(&format!("offset {offset}"), || {
        let answer = ask("HEAD", url, headers, b"");
        (answer.header("upload-offset") == offset.to_string()).then_some(answer)
    })
}

impl Answer {
    /// A header of the answer; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts a header's value.
    #[track_caller]
    pub fn has(self, name: &str, value: &str) -> Self {
        assert_eq!(self.headers.get(name).map(String::as_str), Some(value), "{name}: {self:?}");
        self
    }

    /// Asserts that a header contains this.
    #[track_caller]
    pub fn names(self, name: &str, piece: &str) -> Self {
        assert!(self.header(name).contains(piece), "{name}: {self:?}");
        self
    }

    /// Asserts that a header is missing.
    #[track_caller]
    pub fn lacks(self, name: &str) -> Self {
        assert!(!self.headers.contains_key(name), "{name}: {self:?}");
        self
    }

    /// Asserts a problem of this type with a detail that says what to do.
    #[track_caller]
    pub fn refuses(self, status: u16, kind: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.problem().ends_with(kind), "{kind}: {self:?}");
        assert!(self.json()["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{self:?}");
        self
    }
}
