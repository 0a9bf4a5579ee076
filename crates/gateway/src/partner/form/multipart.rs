//! Parses `multipart/form-data` (RFC 7578; RFC 2046 section 5.1) frame by frame. It holds one frame and the headers of one part.
//! Invariant: a part's data are all bytes between two delimiters. They end without an error only if a valid form follows:
//! the complete headers of another part, or the line that closes the form.
//! Written by hand: multer takes any line that starts with the boundary for a delimiter, and ends the part before it there.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use memchr::memmem::Finder;
use upload::BodyError;

use crate::headers;

/// Longest boundary. RFC 2046 allows 70 bytes; some senders use more.
const BOUNDARY_BYTES_MAX: usize = 200;
/// Longest headers of a part.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most bytes before the first part and after the last one.
const AROUND_BYTES_MAX: usize = 16 * 1024;
/// Most blanks between a boundary and the end of its line.
const BLANKS_MAX: usize = 64;
const LINE_END: &[u8] = b"\r\n";

/// The boundary in a form's `Content-Type`.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let boundary = headers::parameter(content_type, "boundary")?;
    let usable = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    (essence.eq_ignore_ascii_case("multipart/form-data") && usable).then_some(boundary)
}

/// Headers of a part, in order, unfolded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The values of a header, by its name in any case.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// From the lines of a head, each with its line end.
    fn read(head: &[u8]) -> Option<Self> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(LINE_END)?;
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                // A folded line continues the one before (RFC 5322 section 2.2.3).
                let (_, value) = found.last_mut()?;
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let is_token = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
            let name = std::str::from_utf8(name).ok().filter(|_| is_token)?;
            found.push((name.to_owned(), value.trim_ascii().to_vec()));
        }
        Some(Self(found))
    }
}

#[cfg(test)]
impl<'h> FromIterator<(&'h str, &'h [u8])> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'h str, &'h [u8])>>(all: T) -> Self {
        Self(all.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
    }
}

/// The parser's position in the form.
enum At {
    /// Before the first part, after this many bytes.
    Preamble(usize),
    Data,
    /// After a delimiter: the next part's headers so far.
    Head(Vec<u8>),
    /// After the headers of a part that nobody has asked for yet.
    Part(Headers),
    /// After the line that closes the form.
    Closed,
}

/// What a line with the boundary is.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Another part follows after this many bytes.
    Next(usize),
    /// The form is closed.
    Closes(usize),
    /// That depends on the next bytes.
    Unfinished,
    /// It is data.
    Data,
}

/// A form that is being received.
pub(super) struct Multipart<S> {
    frames: S,
    ended: bool,
    /// Received, and not returned yet.
    held: Bytes,
    delimiter: Finder<'static>,
    at: At,
}

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Multipart<S> {
    pub(super) fn new(frames: S, boundary: &str) -> Self {
        let delimiter = Finder::new(&[LINE_END, b"--", boundary.as_bytes()].concat()).into_owned();
        // The first delimiter may be the first line.
        Self { frames, ended: false, held: Bytes::from_static(LINE_END), delimiter, at: At::Preamble(0) }
    }

    /// The next part's headers; none at the end of the form. Skips the rest of the part before.
    pub(super) async fn next_part(&mut self) -> Result<Option<Headers>, BodyError> {
        while poll_fn(|cx| self.poll_data(cx)).await?.is_some() {}
        if let At::Part(headers) = std::mem::replace(&mut self.at, At::Data) {
            return Ok(Some(headers));
        }
        self.at = At::Closed;
        self.nothing_follows().await.map(|()| None)
    }

    /// The data of the part.
    pub(super) fn data(&mut self) -> Data<'_, S> {
        Data(self)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            match &mut self.at {
                At::Part(_) | At::Closed => return Poll::Ready(Ok(None)),
                At::Head(_) => {
                    if self.head()? {
                        continue;
                    }
                }
                At::Preamble(_) | At::Data => {
                    let (before, line) = self.look();
                    let data = self.held.split_to(before);
                    let is_data = match &mut self.at {
                        At::Preamble(passed) => {
                            *passed += data.len();
                            if *passed > AROUND_BYTES_MAX {
                                return Poll::Ready(Err(malformed("It does not start with its boundary.")));
                            }
                            false
                        }
                        _ => !data.is_empty(),
                    };
                    self.pass(&line);
                    if is_data {
                        return Poll::Ready(Ok(Some(data)));
                    }
                    if line != Line::Unfinished {
                        continue;
                    }
                }
            }
            ready!(self.poll_more(cx))?;
        }
    }

    /// How many bytes precede what may be a delimiter, and what that is.
    fn look(&self) -> (usize, Line) {
        let (held, needle) = (&self.held, self.delimiter.needle());
        let mut from = 0;
        while let Some(at) = self.delimiter.find(&held[from..]).map(|at| from + at) {
            match line(&held[at + needle.len()..], self.ended) {
                Line::Data => from = at + LINE_END.len(),
                line => return (at, line),
            }
        }
        // A delimiter has a carriage return at its start and nowhere else: the last one decides.
        let tail = held.len().saturating_sub(needle.len() - 1).max(from);
        let begun = memchr::memrchr(b'\r', &held[tail..]).map(|at| tail + at);
        (begun.filter(|at| needle.starts_with(&held[*at..])).unwrap_or(held.len()), Line::Unfinished)
    }

    /// Skips a delimiter.
    fn pass(&mut self, line: &Line) {
        let (behind, at) = match line {
            // A head may be empty: then the next empty line ends it.
            Line::Next(behind) => (behind, At::Head(LINE_END.to_vec())),
            Line::Closes(behind) => (behind, At::Closed),
            Line::Unfinished | Line::Data => return,
        };
        drop(self.held.split_to(self.delimiter.needle().len() + behind));
        self.at = at;
    }

    /// Reads a head. False if it is incomplete.
    fn head(&mut self) -> Result<bool, BodyError> {
        const END: &[u8] = b"\r\n\r\n";
        let At::Head(head) = &mut self.at else { return Ok(true) };
        let (before, seen) = (head.len(), head.len().saturating_sub(END.len() - 1));
        let room = (HEAD_BYTES_MAX + END.len()).saturating_sub(before).min(self.held.len());
        head.extend_from_slice(&self.held[..room]);
        let Some(end) = memchr::memmem::find(&head[seen..], END).map(|at| seen + at) else {
            drop(self.held.split_to(room));
            if head.len() > HEAD_BYTES_MAX {
                return Err(malformed(
                    "The headers of a part are too long: a file name may have at most 255 bytes.",
                ));
            }
            return Ok(false);
        };
        drop(self.held.split_to(end + END.len() - before));
        let headers = Headers::read(&head[LINE_END.len()..end + LINE_END.len()]);
        let why = "A header of a part cannot be read: each line must be `Name: value`.";
        self.at = At::Part(headers.ok_or_else(|| malformed(why))?);
        Ok(true)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.ended {
            return Poll::Ready(Err(malformed("It ends before the line that closes it.")));
        }
        match ready!(self.frames.poll_next_unpin(cx)) {
            None => self.ended = true,
            Some(frame) if self.held.is_empty() => self.held = frame?,
            Some(frame) => {
                let frame = frame?;
                let mut joined = BytesMut::with_capacity(self.held.len() + frame.len());
                joined.extend_from_slice(&self.held);
                joined.extend_from_slice(&frame);
                self.held = joined.freeze();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads to the end of the body. Bytes after the form belong to no part, and are not dropped silently.
    async fn nothing_follows(&mut self) -> Result<(), BodyError> {
        let mut seen = 0;
        loop {
            if !self.held.trim_ascii().is_empty() {
                return Err(malformed(
                    "More bytes follow the line that closes it, and they were not stored.",
                ));
            }
            seen += self.held.len();
            if seen > AROUND_BYTES_MAX || self.ended {
                return Ok(());
            }
            // The form itself is complete: how its body ends changes nothing.
            match self.frames.next().await {
                Some(Ok(frame)) => self.held = frame,
                Some(Err(_)) | None => self.ended = true,
            }
        }
    }
}

/// What a boundary is, by the bytes after it.
fn line(after: &[u8], ended: bool) -> Line {
    let (closes, rest) = after.strip_prefix(b"--").map_or((false, after), |rest| (true, rest));
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let behind = after.len() - rest.len() + blanks;
    match &rest[blanks..] {
        _ if blanks > BLANKS_MAX => Line::Data,
        [b'\r', b'\n', ..] if closes => Line::Closes(behind + 2),
        [b'\r', b'\n', ..] => Line::Next(behind + 2),
        [b'\n', ..] if closes => Line::Closes(behind + 1),
        [] if closes && ended => Line::Closes(behind),
        [] | [b'\r'] => Line::Unfinished,
        [b'-'] if !closes && blanks == 0 => Line::Unfinished,
        _ => Line::Data,
    }
}

fn malformed(why: &str) -> BodyError {
    BodyError::Malformed(format!("The form is damaged. {why} Send it again."))
}

/// The data of one part.
pub(super) struct Data<'m, S>(&'m mut Multipart<S>);

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Stream for Data<'_, S> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_data(cx).map(Result::transpose)
    }
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
