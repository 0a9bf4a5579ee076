//! A client that does what curl cannot: write everything before it reads, stop in the middle, send what is not HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::Answer;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Raw {
    stream: BufReader<TcpStream>,
    /// Whether `100 Continue` came.
    pub continued: bool,
}

impl Raw {
    /// Connects to the host of this URL.
    pub fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(host(url)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), continued: false }
    }

    /// Connects and sends the head of a request with these header lines.
    pub fn request(method: &str, url: &str, headers: &[&str]) -> Self {
        let mut raw = Self::connect(url);
        let path =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{lines}\r\n",
            host(url)
        );
        assert!(raw.send(head.as_bytes()));
        raw
    }

    /// Sends bytes; false when the other side takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a chunk of a body of unknown length.
    pub fn chunk(&mut self, bytes: &[u8]) -> bool {
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.send(&framed)
    }

    /// Says that nothing more comes, and goes on reading.
    pub fn half_close(&mut self) {
        // The other side may be gone already.
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// The answer; none when the connection ended without one.
    pub fn answer(&mut self) -> Option<Answer> {
        loop {
            let (status, headers) = self.head()?;
            if status == 100 {
                self.continued = true;
                continue;
            }
            let length = headers.get("content-length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            self.stream.read_exact(&mut body).ok()?;
            let body = String::from_utf8_lossy(&body).into_owned();
            return Some(Answer { status, headers, body, exit: 0 });
        }
    }

    /// Waits until the other side has closed the connection.
    pub fn closed(&mut self) {
        let mut rest = Vec::new();
        let end = self.stream.read_to_end(&mut rest);
        let waited_in_vain = end.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(!waited_in_vain, "the connection stays open after {:?}", String::from_utf8_lossy(&rest));
    }

    fn head(&mut self) -> Option<(u16, BTreeMap<String, String>)> {
        let first = self.line()?;
        let status = first.split_whitespace().nth(1)?.parse().ok()?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Some((status, headers)) };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "waited in vain for an answer");
                None
            }
        }
    }
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}
