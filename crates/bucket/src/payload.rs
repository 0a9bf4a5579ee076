//! A request body in pieces: sent without a copy, and again for a retry.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::Digest as _;

/// The bytes of a part or an object, in pieces, with their checksum.
#[derive(Debug, Clone)]
pub struct Payload {
    pieces: Arc<[Bytes]>,
    bytes: u64,
    crc64: crate::Crc64,
    /// Sent instead of the real MD5.
    md5: Option<&'static str>,
}

impl Payload {
    /// `crc64` is the checksum of all pieces together.
    pub fn new(pieces: Vec<Bytes>, crc64: crate::Crc64) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into(), bytes, crc64, md5: None }
    }

    /// Total bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn crc64(&self) -> crate::Crc64 {
        self.crc64
    }

    /// Copies all bytes. For small payloads.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The value of `Content-MD5`, for a store without CRC-64/NVME. Costs 1.6 CPU seconds per GB.
    pub(crate) fn md5_base64(&self) -> String {
        if let Some(announced) = self.md5 {
            return announced.to_owned();
        }
        let mut hasher = md5::Md5::new();
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        STANDARD.encode(hasher.finalize())
    }

    /// Sends this MD5 instead of the real one. Only a probe does that.
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

    // The exact size becomes `Content-Length`: S3 does not accept chunked bodies.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
