//! Works around two flaws of hyper on the bytes of an HTTP/1.1 connection: hyper drops what follows a `#` in a target, and refuses
//! bad heads with an empty body. Here the `#` is noticed, and refusals get a problem and the headers of their
//! protocol.
//! Invariant: bytes of bodies are not looked at, and our own answers are not changed.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::head;
use super::idle_timeout::ActivityTracker;
use crate::partner::protocol::Signature;
use crate::problem::Problem;

/// What is kept of each line of a head: enough for a method, the name of a coding or a media type.
const BEGIN_BYTES: usize = 64;

/// What is read and thrown away after a refusal, so that the client can read it.
pub(super) const REFUSED_BYTES_MAX: u64 = 64 << 20;
/// How long that may take.
const REFUSED_TIME: Duration = Duration::from_secs(5);

/// What follows on the connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Coming {
    /// A head, or more of one.
    #[default]
    Head,
    /// This many bytes of a body, then a head.
    Body(u64),
    /// The head is complete, and this many more bytes came with it.
    Request(u64),
    /// A body of unknown length, or pipelined bytes: the next head comes after the answer.
    Unknown,
}

/// What was seen of the next head.
#[derive(Debug, Default)]
pub(super) struct Seen {
    coming: Coming,
    begin: Vec<u8>,
    /// The current line contains a `#`.
    hash: bool,
    /// The request line is complete, and has this method.
    method: Option<Method>,
    /// It contains a `#`.
    fragment: bool,
    /// A transfer coding that is not `chunked` alone.
    coding: Option<String>,
    /// What says the protocol.
    headers: HeaderMap,
}

impl Seen {
    /// `at_rest`: all answers are sent, so that unknown bytes start a head.
    fn read(&mut self, mut bytes: &[u8], at_rest: bool) {
        match self.coming {
            Coming::Unknown if !at_rest => return,
            // The library did not take the last head for one.
            Coming::Unknown | Coming::Request(_) => *self = Self::default(),
            Coming::Head => {}
            Coming::Body(left) => {
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes = &bytes[here..];
                self.coming = match left - here as u64 {
                    0 => Coming::Head,
                    left => Coming::Body(left),
                };
            }
        }
        while self.coming == Coming::Head && !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(end);
            let room = BEGIN_BYTES - self.begin.len();
            self.begin.extend_from_slice(&piece[..piece.len().min(room)]);
            self.hash |= piece.contains(&b'#');
            if piece.ends_with(b"\n") {
                self.line(rest.len());
            }
            bytes = rest;
        }
    }

    /// A line is complete, and this many bytes follow it.
    fn line(&mut self, behind: usize) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.begin)).into_owned();
        let hash = std::mem::take(&mut self.hash);
        if self.method.is_none() {
            // Empty lines before a head are no part of it.
            self.method = method(&line);
            self.fragment = self.method.is_some() && hash;
        } else if line.trim_end().is_empty() {
            self.coming = Coming::Request(behind as u64);
        } else if let Some((name, value)) = line.split_once(':') {
            self.header(name, value.trim());
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("transfer-encoding") && !value.eq_ignore_ascii_case("chunked") {
            self.coding = Some(value.escape_default().to_string());
        }
        let known = Signature::HEADERS.into_iter().find(|known| name.eq_ignore_ascii_case(known));
        if let (Some(name), Ok(value)) = (known, HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
    }

    /// The header lines of the request's protocol in an answer with this status.
    fn signature(&self, status: StatusCode) -> HeaderMap {
        let mut lines = HeaderMap::new();
        if let Some(method) = &self.method {
            Signature::of(method, &self.headers).sign(status, &mut lines);
        }
        lines
    }

    /// The request starts, with a body of this length if it is known.
    fn request(&mut self, length: Option<u64>) -> Option<head::Fragment> {
        let coming = match (self.coming, length) {
            (Coming::Request(behind), Some(length)) if behind == length => Coming::Head,
            (Coming::Request(behind), Some(length)) if behind < length => Coming::Body(length - behind),
            _ => Coming::Unknown,
        };
        let seen = std::mem::replace(self, Self { coming, ..Self::default() });
        seen.fragment.then_some(head::Fragment)
    }

    /// The problem for a refusal with this status.
    fn refusal(&self, status: StatusCode) -> Problem {
        if let Some(coding) = self.coding.as_ref().filter(|_| status == StatusCode::BAD_REQUEST) {
            return head::unknown_transfer_coding(coding);
        }
        let why = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => return head::too_large(),
            StatusCode::URI_TOO_LONG => {
                "The address of this request is too long. A file name may have at most 255 bytes."
            }
            _ => {
                "The head of this request is not valid HTTP/1.1 (RFC 9112): its first line, a header line or a length cannot be \
                 read. Check the program that made it, and any proxy between it and this address."
            }
        };
        Problem::new(status, "/problems/bad-request", status.canonical_reason().unwrap_or("Bad request"), why)
    }
}

/// The method in the beginning of a request line: `METHOD /target`, or with an absolute address.
fn method(begin: &str) -> Option<Method> {
    let (method, target) = begin.split_once(' ')?;
    let is_target = target.starts_with('/') || target.contains("://");
    Method::from_bytes(method.as_bytes()).ok().filter(|_| is_target)
}

pub(super) type Shared = Arc<Mutex<Seen>>;

/// What was seen of the head of the request that starts now, whose body has this length.
pub(super) fn request(seen: &Shared, length: Option<u64>) -> Option<head::Fragment> {
    seen.lock().unwrap_or_else(PoisonError::into_inner).request(length)
}

/// A connection whose incoming heads are watched, and whose outgoing refusals by the library are replaced.
pub(super) struct RawHeads<S> {
    stream: S,
    tracker: Arc<ActivityTracker>,
    seen: Shared,
    /// Replaces a refusal by the library, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
    /// The library has written everything.
    flushed: bool,
    /// How much may still be thrown away after a refusal. Closing with unread bytes would destroy it.
    left: u64,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> RawHeads<S> {
    pub(super) fn new(stream: S, tracker: Arc<ActivityTracker>, seen: Shared) -> Self {
        Self { stream, tracker, seen, refusal: None, flushed: true, left: REFUSED_BYTES_MAX, patience: None }
    }

    /// An answer is sent when its body has ended and the library has written everything. Whatever the library writes then,
    /// before another request, is a refusal of its own.
    fn settle(&self) {
        if self.flushed && self.tracker.is_at_rest() {
            self.tracker.has_answered();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RawHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.settle();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let at_rest = self.tracker.is_at_rest();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).read(&buffer.filled()[before..], at_rest);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> RawHeads<S> {
    /// Writes our refusal instead of these bytes.
    fn refuse(&mut self, cx: &mut Context<'_>, said: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, seen, refusal, .. } = self;
        let (bytes, written) = refusal.get_or_insert_with(|| {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            (with_problem(said, &seen).unwrap_or_else(|| said.to_vec()), 0)
        });
        while *written < bytes.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                some => *written += some,
            }
        }
        Poll::Ready(Ok(said.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for RawHeads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.tracker.is_answering() {
            self.flushed = false;
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        self.refuse(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.tracker.is_answering() {
            self.flushed = false;
            return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        }
        let said: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.refuse(cx, &said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when nothing is left to write.
        self.flushed = true;
        self.settle();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.refusal.is_none() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 4096];
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(REFUSED_TIME)));
        let over = patience.as_mut().poll(cx).is_ready();
        while self.left > 0 && !over {
            let mut buffer = ReadBuf::new(&mut space);
            // A client that has left needs no answer.
            let Ok(()) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) else { break };
            let came = buffer.filled().len() as u64;
            self.left = if came == 0 { 0 } else { self.left.saturating_sub(came) };
        }
        Poll::Ready(Ok(()))
    }
}

/// The library's refusal with a body. Its other header lines stay.
fn with_problem(said: &[u8], seen: &Seen) -> Option<Vec<u8>> {
    let said = std::str::from_utf8(said).ok()?;
    let mut lines = said.strip_suffix("\r\n\r\n")?.split("\r\n");
    let code = lines.next()?.split(' ').nth(1)?;
    let refusal = seen.refusal(StatusCode::from_bytes(code.as_bytes()).ok()?);
    let signature: Vec<_> = seen
        .signature(refusal.status)
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}", value.to_str().ok()?)))
        .collect();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    Some(answer(&refusal, &kept.chain(signature.iter().map(String::as_str)).collect::<Vec<_>>()))
}

/// A refusal on the wire before there is a request, with these header lines.
pub(super) fn answer(refusal: &Problem, lines: &[&str]) -> Vec<u8> {
    let id = ledger::new_id();
    tracing::debug!(request_id = id, status = refusal.status.as_u16(), "head refused");
    let body = refusal.text(Some(&id));
    let (status, length, lines) = (refusal.status, body.len(), lines.join("\r\n"));
    format!(
        "HTTP/1.1 {status}\r\n{lines}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         x-request-id: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &[&str]) -> Seen {
        let mut seen = Seen::default();
        pieces.iter().for_each(|piece| seen.read(piece.as_bytes(), false));
        seen
    }

    #[test]
    fn fragments_are_seen_only_in_the_request_line() {
        let long = format!("PUT /u/tok/{}", "x".repeat(10_000));
        for (pieces, expected) in [
            (&["PUT /u/tok/a#b HTTP/1.1\r\nHost: x\r\n"][..], true),
            (&["PUT /u/tok/a", "#", "b HTTP/1.1\r", "\nHost: x\r\n"], true),
            (&[&long, "#b HTTP/1.1\r\n"], true),
            (&["PUT http://a.example/u/tok/a#b HTTP/1.1\n"], true),
            (&["\r\nPUT /u/tok/a#b HTTP/1.1\r\n"], true),
            (&["PUT /u/tok/a HTTP/1.1\r\nX: PUT /#\r\n"], false),
            (&["PUT /u/tok/a%23b HTTP/1.1\r\n"], false),
            (&["#"], false),
        ] {
            assert_eq!(seen(pieces).fragment, expected, "{pieces:?}");
        }
    }

    #[test]
    fn heads_are_found_after_every_body() {
        let head = |target: &str| format!("PUT /u/tok/{target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let cut = head("a#b");
        for (reads, length, at_rest) in [
            (&[&*head("a"), "#..#", &cut][..], Some(4), false),
            (&[&(head("a") + "#."), ".#", &cut], Some(4), false),
            (&[&(head("a") + "#..#"), &cut[..7], &cut[7..]], Some(4), false),
            (&[&head("a"), &format!("#..#{cut}")], Some(4), false),
            (&[&head("a"), &cut], Some(0), false),
            (&[&head("a"), &cut], None, true),
        ] {
            let mut seen = Seen::default();
            seen.read(reads[0].as_bytes(), true);
            assert_eq!(seen.request(length), None, "{reads:?}");
            reads[1..].iter().for_each(|bytes| seen.read(bytes.as_bytes(), at_rest));
            assert_eq!(seen.request(Some(0)), Some(head::Fragment), "{reads:?}");
        }
        // In the middle of a body nothing is taken for a head.
        let mut seen = Seen::default();
        seen.read(head("a").as_bytes(), true);
        assert_eq!(seen.request(None), None);
        seen.read(cut.as_bytes(), false);
        assert_eq!(seen.request(Some(0)), None);
    }

    #[test]
    fn refusals_by_the_library_get_a_body() {
        for (head, said, status, word) in [
            ("GARBAGE\r\n", "400 Bad Request", 400, "RFC 9112"),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n", "400 Bad Request", 501, "`chunked`"),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "400 Bad Request", 400, "RFC 9112"),
            ("PUT / HTTP/1.1\r\n", "431 Request Header Fields Too Large", 431, "32768 bytes"),
            ("PUT / HTTP/1.1\r\n", "414 URI Too Long", 414, "255 bytes"),
        ] {
            let said =
                format!("HTTP/1.1 {said}\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n");
            let answer = String::from_utf8(with_problem(said.as_bytes(), &seen(&[head])).unwrap()).unwrap();
            let (lines, body) = answer.split_once("\r\n\r\n").unwrap();
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(lines.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(lines.contains(&format!("content-length: {}", body.len())), "{answer}");
            assert!(lines.contains("date: now") && lines.contains("connection: close"), "{answer}");
            assert_eq!(
                (problem["status"].as_u64(), &problem["type"]),
                (Some(status), &"/problems/bad-request".into())
            );
            assert!(problem["detail"].as_str().unwrap().contains(word) && body.ends_with('\n'), "{answer}");
        }
        assert_eq!(with_problem(b"bytes of a file", &Seen::default()), None);
    }

    #[test]
    fn refusals_by_the_library_carry_what_their_protocol_demands() {
        let (rufh, tus) = (&["upload-complete: ?0"][..], &["tus-resumable: 1.0.0"][..]);
        for (method, line, expected) in [
            ("PUT", "Upload-Complete: ?1", rufh),
            ("POST", "upload-complete:?0", rufh),
            ("PATCH", "Content-Type: application/partial-upload", rufh),
            ("PUT", "Upload-Draft-Interop-Version: 6", rufh),
            ("HEAD", "Upload-Draft-Interop-Version: 6", &[]),
            ("PATCH", "Tus-Resumable: 1.0.0", tus),
            ("PATCH", "Tus-Resumable: 1.0.0\r\nUpload-Complete: ?1", tus),
            ("PUT", "X: Upload-Complete: ?1", &[]),
            ("PUT", "Content-Type: text/plain", &[]),
        ] {
            let seen = seen(&[&format!("{method} /u/tok/a HTTP/1.1\r\n{line}\r\nno colon\r\n")]);
            let answer = with_problem(b"HTTP/1.1 400 Bad Request\r\ndate: now\r\n\r\n", &seen).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            let told = answer.lines().filter(|line| line.starts_with("upload-") || line.starts_with("tus-"));
            assert_eq!(told.collect::<Vec<_>>(), expected, "{method} {line}");
        }
    }
}
