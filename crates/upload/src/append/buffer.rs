//! Gathers the next part: each byte is copied once, into buffers charged to the budget, and checksummed.

use bucket::{Crc64, Crc64Hasher, Payload};
use bytes::Bytes;

use crate::memory::budget::Buffer;

/// A part being filled.
#[derive(Default)]
pub(crate) struct PartBuffer {
    full: Vec<Bytes>,
    open: Option<Buffer>,
    bytes: u64,
    /// Bytes put in front, with their checksum. `crc64` covers those after them.
    front: Option<(u64, Crc64)>,
    crc64: Crc64Hasher,
}

impl PartBuffer {
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Bytes that fit before another buffer is needed.
    pub(crate) fn room(&self) -> usize {
        self.open.as_ref().map_or(0, Buffer::room)
    }

    pub(crate) fn add(&mut self, buffer: Buffer) {
        self.full.extend(self.open.replace(buffer).map(Buffer::freeze));
    }

    /// Copies bytes, at most [`Self::room`].
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        debug_assert!(self.open.is_some() || bytes.is_empty(), "there is no room for these bytes");
        if let Some(buffer) = &mut self.open {
            buffer.next(bytes.len()).copy_from_slice(bytes);
            self.crc64.update(bytes);
            self.bytes += bytes.len() as u64;
        }
    }

    /// Puts the stored tail in front, once.
    pub(crate) fn put_in_front(&mut self, mut front: Self) {
        debug_assert!(self.front.is_none(), "a part has one tail before it");
        front.full.extend(front.open.take().map(Buffer::freeze));
        front.full.append(&mut self.full);
        self.full = front.full;
        self.bytes += front.bytes;
        self.front = Some((front.bytes, front.crc64.value()));
    }

    /// Returns what was gathered as one request's body, and leaves the buffer empty for the next part.
    pub(crate) fn take(&mut self) -> Payload {
        let Self { mut full, open, bytes, front, crc64 } = std::mem::take(self);
        full.extend(open.map(Buffer::freeze));
        let crc64 = crc64.value();
        Payload::new(full, front.map_or(crc64, |(len, front)| front.then(crc64, bytes - len)))
    }
}
