//! What a request tells the engine about the bytes it brings, and the frames its body is made of.

use bytes::Bytes;

use crate::Digest;

/// An append as a request describes it.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Where the body begins in the file.
    pub offset: u64,
    /// Size of the whole file, if announced.
    pub length: Option<u64>,
    /// Size of this body, if announced.
    pub body_bytes: Option<u64>,
    pub end: End,
    /// Largest file this request may make.
    pub max_bytes: u64,
    /// Announced digests of the whole file.
    pub digests: Vec<Digest>,
    /// Announced digests of this body alone. The body is kept as a whole or not at all.
    pub content: Vec<Digest>,
    /// Whether bytes beyond the length cancel the upload and not just this request, as the IETF draft demands.
    pub invalidates: bool,
}

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// With this body.
    #[default]
    Body,
    /// At its announced length.
    Length,
    /// After this body, in a later request.
    Later,
}

#[derive(Debug, Clone)]
pub enum Frame {
    /// Bytes of the file.
    Bytes(Bytes),
    /// Digests of the whole file from the body's trailers. Those of algorithms that are not computed are not compared.
    Digests(Vec<Digest>),
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// Why a body ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// The connection broke.
    Interrupted,
    /// The sender was slower than the minimum rate.
    TooSlow,
    /// The body contradicts its headers.
    Malformed(String),
}
