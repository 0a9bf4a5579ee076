//! A client for what curl cannot do: write everything before it reads, stop in the middle, send what is not HTTP. Speaks
//! HTTP/1.1, over TLS where the gateway does.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::transport::authority;
use crate::{Answer, Authority, Transport};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct RawClient {
    stream: BufReader<Stream>,
    /// Whether `100 Continue` came.
    pub continued: bool,
}

impl RawClient {
    /// Connects to the host of this URL.
    pub fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(authority(url)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = if Transport::to(url).is_tls() { Stream::tls(stream) } else { Stream::Plain(stream) };
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
            authority(url)
        );
        assert!(raw.send(head.as_bytes()));
        raw
    }

    /// Sends bytes; false if the other side has stopped reading.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a chunk of a body of unknown length.
    pub fn chunk(&mut self, bytes: &[u8]) -> bool {
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.send(&framed)
    }

    /// Closes the sending side and keeps reading.
    pub fn half_close(&mut self) {
        // The other side may have disconnected.
        let _ = self.stream.get_mut().half_close();
    }

    pub fn until_continued(&mut self) {
        let refused = self.refusal();
        assert!(self.continued, "{refused:?}");
    }

    /// Waits for `100 Continue`, or for the answer that comes instead.
    pub fn refusal(&mut self) -> Option<Answer> {
        let (status, headers) = self.head().unwrap();
        self.continued = status == 100;
        if self.continued { None } else { self.with_body(status, headers) }
    }

    /// The answer; none if the connection ended without one.
    pub fn answer(&mut self) -> Option<Answer> {
        loop {
            let (status, headers) = self.head()?;
            if status != 100 {
                return self.with_body(status, headers);
            }
            self.continued = true;
        }
    }

    fn with_body(&mut self, status: u16, headers: BTreeMap<String, String>) -> Option<Answer> {
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.stream.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Some(Answer { status, headers, body, exit: 0 })
    }

    /// Disconnects without losing sent bytes. Reads the TLS session tickets first, because closing a socket with unread data
    /// drops what is still in flight.
    pub fn leave(mut self) {
        if let Stream::Tls(stream) = self.stream.get_mut() {
            while stream.conn.tls13_tickets_received() < 2 {
                stream.conn.read_tls(&mut stream.sock).unwrap();
                stream.conn.process_new_packets().unwrap();
            }
        }
    }

    /// Waits until the other side has closed the connection.
    pub fn closed(&mut self) {
        let mut rest = Vec::new();
        let end = self.stream.read_to_end(&mut rest);
        let timed_out = end
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        assert!(!timed_out, "the connection stays open after {:?}", String::from_utf8_lossy(&rest));
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
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "timed out waiting for an answer");
                None
            }
        }
    }
}

/// The TLS handshake starts with the first bytes.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tls(stream: TcpStream) -> Self {
        let name = "127.0.0.1".try_into().unwrap();
        let client = ClientConnection::new(Authority::get().client(&[b"http/1.1"]), name).unwrap();
        Self::Tls(Box::new(StreamOwned::new(client, stream)))
    }

    fn half_close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => read_tls(stream, buffer),
        }
    }
}

/// Reads even if the other side has stopped reading, like a plain connection. `StreamOwned` would not.
fn read_tls(stream: &mut StreamOwned<ClientConnection, TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
    let StreamOwned { conn, sock } = stream;
    loop {
        if conn.is_handshaking() {
            conn.complete_io(sock)?;
        }
        match conn.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        conn.read_tls(sock)?;
        conn.process_new_packets().map_err(io::Error::other)?;
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
