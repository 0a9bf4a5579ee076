//! How far a body may reach in its file: by the sizes that were announced and the limit of its request. Pure.
//! Invariant: no byte beyond a limit is buffered, and none that is durable already.

use crate::append::request::{Append, BodyError, End};
use crate::{Error, Result};

pub(crate) struct Bounds {
    /// Where the body begins in the file.
    begin: u64,
    /// Bytes of the body that an older append has stored. They are skipped: they come from the same file.
    skip: u64,
    body_bytes: Option<u64>,
    /// Length of the whole file, if announced.
    length: Option<u64>,
    max_bytes: u64,
}

impl Bounds {
    /// `offset` is where the upload stands, at or after the append's own.
    pub(crate) fn new(append: &Append, offset: u64, length: Option<u64>) -> Self {
        Self {
            begin: append.offset,
            skip: offset.saturating_sub(append.offset),
            body_bytes: append.body_bytes,
            length,
            max_bytes: append.max_bytes,
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Checks a frame that follows `offset` received bytes. Returns how many of its bytes to skip.
    pub(crate) fn admit(&mut self, offset: u64, frame_bytes: usize) -> Result<usize> {
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(frame_bytes);
        self.skip -= skip as u64;
        let end = offset.saturating_add((frame_bytes - skip) as u64);
        if end > self.max_bytes {
            return Err(Error::TooLarge { max: self.max_bytes });
        }
        // A chunked body has no length of its own: only its `Content-Range` tells where it ends.
        let actual = end.saturating_sub(self.begin);
        if let Some(declared) = self.body_bytes.filter(|declared| actual > *declared) {
            return Err(Error::LengthMismatch { declared, actual });
        }
        match self.length {
            Some(declared) if end > declared => Err(Error::LengthMismatch { declared, actual: end }),
            _ => Ok(skip),
        }
    }

    /// Whether a body that ended at `offset` ended its file.
    pub(crate) fn ends_file(&self, end: End, offset: u64) -> Result<bool> {
        match (end, self.length) {
            // An older append has stored more bytes than the file has.
            (End::Body, _) if self.skip > 0 => {
                Err(Error::LengthMismatch { declared: offset, actual: offset - self.skip })
            }
            (End::Body, Some(declared)) if declared != offset => {
                Err(Error::LengthMismatch { declared, actual: offset })
            }
            (End::Body, _) => Ok(true),
            (End::Length, length) => Ok(length == Some(offset)),
            (End::Later, _) => Ok(false),
        }
    }

    /// The error of a body that broke at `offset`.
    pub(crate) fn broken(&self, offset: u64, error: BodyError) -> Error {
        let received = offset.saturating_sub(self.begin);
        match error {
            BodyError::Interrupted => Error::Interrupted { received },
            BodyError::TooSlow => Error::TooSlow { received },
            BodyError::Malformed(text) => Error::Malformed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(append: &Append, offset: u64, length: Option<u64>) -> Bounds {
        Bounds::new(&Append { max_bytes: 100, ..append.clone() }, offset, length)
    }

    #[test]
    fn frames_beyond_a_limit_are_refused() {
        let body_of = |body_bytes| Append { offset: 10, body_bytes, ..Append::default() };
        // (body, offset of the upload, length, frame) -> bytes to skip, or the two numbers of the error
        for (body_bytes, offset, length, frame, expected) in [
            (None, 10, None, 90, Ok(0)),
            (None, 10, None, 91, Err((100, 0))),
            (None, 30, None, 15, Ok(15)),
            (None, 30, None, 90, Ok(20)),
            (Some(50), 10, None, 50, Ok(0)),
            (Some(50), 10, None, 51, Err((50, 51))),
            (Some(50), 30, None, 51, Err((50, 51))),
            (None, 10, Some(60), 50, Ok(0)),
            (None, 10, Some(60), 51, Err((60, 61))),
        ] {
            let admitted = bounds(&body_of(body_bytes), offset, length).admit(offset, frame);
            let admitted = admitted.map_err(|error| match error {
                Error::TooLarge { max } => (max, 0),
                Error::LengthMismatch { declared, actual } => (declared, actual),
                other => panic!("{other}"),
            });
            assert_eq!(admitted, expected, "{body_bytes:?} at {offset} of {length:?}: {frame}");
        }
    }

    #[test]
    fn a_body_ends_its_file_where_it_says() {
        for (end, offset, length, expected) in [
            (End::Body, 50, None, Ok(true)),
            (End::Body, 50, Some(50), Ok(true)),
            (End::Body, 50, Some(60), Err((60, 50))),
            (End::Length, 50, Some(50), Ok(true)),
            (End::Length, 50, Some(60), Ok(false)),
            (End::Length, 50, None, Ok(false)),
            (End::Later, 50, Some(50), Ok(false)),
        ] {
            let ended = bounds(&Append::default(), 0, length).ends_file(end, offset);
            let ended = ended.map_err(|error| match error {
                Error::LengthMismatch { declared, actual } => (declared, actual),
                other => panic!("{other}"),
            });
            assert_eq!(ended, expected, "{end:?} at {offset} of {length:?}");
        }
        // The upload stands at 30, the body brought 10 bytes.
        let mut shorter = bounds(&Append::default(), 30, None);
        assert_eq!(shorter.admit(30, 10).unwrap(), 10);
        let error = shorter.ends_file(End::Body, 30).unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { declared: 30, actual: 10 }), "{error}");
    }
}
