//! A request body made of pieces that are sent without a copy and can be sent again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::Digest as _;

/// The bytes of one part or one object, in pieces, with their CRC-64/NVME.
#[derive(Debug, Clone)]
pub struct Payload {
    pieces: Arc<[Bytes]>,
    bytes: u64,
    crc64: crate::Crc64,
    /// Announced instead of its own.
    md5: Option<&'static str>,
}

impl Payload {
    /// Pieces in order, and the checksum of all of them together.
    pub fn new(pieces: Vec<Bytes>, crc64: crate::Crc64) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into(), bytes, crc64, md5: None }
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The checksum of all of them.
    pub fn crc64(&self) -> crate::Crc64 {
        self.crc64
    }

    /// A copy of the bytes, in one piece. For small ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// MD5 as `Content-MD5` writes it, for a store that knows no CRC-64/NVME. Costs 1.6 CPU s/GB.
    pub(crate) fn md5_base64(&self) -> String {
        if let Some(announced) = self.md5 {
            return announced.to_owned();
        }
        let mut hasher = md5::Md5::new();
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        STANDARD.encode(hasher.finalize())
    }

    /// The same, announced with this MD5: only a probe lies.
    pub(crate) fn announcing_md5(self, md5: &'static str) -> Self {
        Self { md5: Some(md5), ..self }
    }

    pub(crate) fn stream(&self) -> ByteStream {
        let payload = self.clone();
        ByteStream::new(SdkBody::retryable(move || {
            SdkBody::from_body_1_x(Pieces {
                left: payload.bytes,
                pieces: Arc::clone(&payload.pieces),
                next: 0,
            })
        }))
    }
}

struct Pieces {
    pieces: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += 1;
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.pieces.len()
    }

    // The exact hint becomes Content-Length: S3 takes no chunked bodies.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
