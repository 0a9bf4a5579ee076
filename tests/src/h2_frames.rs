//! HTTP/2 by hand, frame by frame (RFC 9113), for what no client library would send; and by the `h2` library for the rest.
//! Over TLS where the gateway uses it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::transport::authority;
use crate::{Authority, Transport};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

pub mod flag {
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or `GOAWAY`.
    pub fn error(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a request, without compression (RFC 7541 section 6.2.2).
pub fn head(method: &str, url: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = format!("/{path}");
    let scheme = if Transport::to(url).is_tls() { "https" } else { "http" };
    let first =
        [(":method", method), (":scheme", scheme), (":authority", authority(url)), (":path", path.as_str())];
    let mut block = Vec::new();
    for (name, value) in first.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(mut rest: usize, block: &mut Vec<u8>) {
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
        return;
    }
    block.push(127);
    rest -= 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

pub enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects to the gateway of this URL, over TLS if it uses it, and offers HTTP/2 and HTTP/1.1 by ALPN.
    pub async fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(authority(url)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        if !Transport::to(url).is_tls() {
            return Self::Plain(stream);
        }
        let connector = tokio_rustls::TlsConnector::from(Authority::get().client(&[b"h2", b"http/1.1"]));
        let name = "127.0.0.1".try_into().unwrap();
        Self::Tls(Box::new(connector.connect(name, stream).await.unwrap()))
    }

    /// The protocol that ALPN chose.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    fn as_io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.as_io().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.as_io().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.as_io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.as_io().poll_shutdown(cx)
    }
}

/// An HTTP/2 connection by hand.
pub struct H2Connection(Socket);

impl H2Connection {
    /// A connection on which nothing has been sent yet.
    pub fn over(socket: Socket) -> Self {
        Self(socket)
    }

    /// Connects and sends the preface and these settings.
    pub async fn connect(url: &str, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(Socket::connect(url).await);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        assert!(wire.send(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &payload)].concat()).await);
        wire
    }

    /// Sends bytes; false when the other side has closed or stopped reading.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        matches!(timeout(PATIENCE, sent).await, Ok(Ok(())))
    }

    /// Sends these bytes over and over while reading. Returns the `GOAWAY` that ends it, if one is seen before the
    /// connection closes.
    pub async fn flood(self, bytes: &[u8], times: usize) -> Option<Frame> {
        let (read, mut write) = tokio::io::split(self.0);
        let mut sent = 0;
        let sending = async {
            while sent < times && write.write_all(bytes).await.is_ok() {
                sent += 1;
            }
            let _ = write.flush().await;
        };
        let (end, sent_all) =
            tokio::join!(timeout(PATIENCE, until_the_end(read)), timeout(PATIENCE, sending));
        end.unwrap_or_else(|_| panic!("still open; everything was taken: {}", sent_all.is_ok()))
    }

    /// Reads until the connection is closed. Returns the last `GOAWAY`.
    pub async fn closed(self) -> Option<Frame> {
        timeout(PATIENCE, until_the_end(self.0)).await.expect("the connection stays open")
    }

    /// The next frame; none at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        timeout(PATIENCE, next_frame(&mut self.0)).await.expect("no frame comes")
    }

    /// The next frame of this type; panics if the connection ends first.
    pub async fn frame_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().await.expect("a frame before the end");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

async fn until_the_end(mut read: impl AsyncRead + Unpin) -> Option<Frame> {
    let mut last = None;
    while let Some(frame) = next_frame(&mut read).await {
        if frame.kind == kind::GOAWAY {
            last = Some(frame);
        }
    }
    last
}

async fn next_frame(read: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    read.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes(head[5..].try_into().unwrap()) & 0x7fff_ffff;
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// An HTTP/2 connection by the library, served in the background.
pub async fn h2_client(url: &str) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(Socket::connect(url).await).await.unwrap();
    // Whoever sends a request sees its end.
    tokio::spawn(async move { drop(connection.await) });
    client
}
