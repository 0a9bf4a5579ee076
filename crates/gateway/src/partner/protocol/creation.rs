//! What a request for a new upload says, in any protocol.

use upload::{Append, Digest};

pub(crate) struct Creation {
    /// The name as its sender wrote it.
    pub(crate) name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) length: Option<u64>,
    pub(crate) digests: Vec<Digest>,
    pub(crate) tus_metadata: Option<String>,
    /// An `Idempotency-Key` is done when the upload exists, not when it is complete.
    pub(crate) once: bool,
    /// The first bytes; none if the request has none.
    pub(crate) append: Option<Append>,
}
