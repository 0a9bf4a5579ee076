//! Gathers a part: frames of any size go in, each byte is copied once into budgeted pieces and checksummed.

use bucket::{Crc64, Crc64Hasher, Payload};
use bytes::Bytes;

use crate::budget::Piece;

/// A part being filled.
#[derive(Default)]
pub(crate) struct Part {
    full: Vec<Bytes>,
    open: Option<Piece>,
    bytes: u64,
    /// Bytes that were put in front, with their checksum; `crc64` is of those after them.
    front: Option<(u64, Crc64)>,
    crc64: Crc64Hasher,
}

impl Part {
    /// Bytes gathered so far.
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Bytes that fit before another piece is needed.
    pub(crate) fn room(&self) -> usize {
        self.open.as_ref().map_or(0, Piece::room)
    }

    /// Goes on in a new piece.
    pub(crate) fn add_piece(&mut self, piece: Piece) {
        if let Some(full) = self.open.replace(piece) {
            self.full.push(full.freeze());
        }
    }

    /// Adds bytes, at most [`Part::room`].
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        if let Some(piece) = &mut self.open {
            piece.fill(bytes);
            self.crc64.update(bytes);
            self.bytes += bytes.len() as u64;
        }
    }

    /// Puts what was gathered elsewhere in front, once.
    pub(crate) fn put_in_front(&mut self, mut front: Self) {
        debug_assert!(self.front.is_none(), "a part has one tail before it");
        front.full.extend(front.open.take().map(Piece::freeze));
        front.full.append(&mut self.full);
        self.full = front.full;
        self.bytes += front.bytes;
        self.front = Some((front.bytes, front.crc64.value()));
    }

    /// The part as a request body.
    pub(crate) fn finish(mut self) -> Payload {
        self.full.extend(self.open.take().map(Piece::freeze));
        let crc64 = self.crc64.value();
        let crc64 = self.front.map_or(crc64, |(bytes, front)| front.then(crc64, self.bytes - bytes));
        Payload::new(self.full, crc64)
    }
}
