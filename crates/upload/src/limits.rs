//! The engine's limits, which the configuration checks at startup, and the conversion of sizes between the ledger's
//! signed and our unsigned integers.

use std::time::Duration;

/// Memory, sizes and times that the engine keeps to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Byte budget for everything in flight.
    pub memory_bytes: u64,
    pub max_upload_bytes: u64,
    /// Files up to this size become attachments of their ticket.
    pub ticket_attachment_bytes: u64,
    /// How long after its creation an upload can be resumed.
    pub resume_window: Duration,
    /// How long an append waits for a bucket that does not answer before it fails.
    pub storage_wait: Duration,
    /// Open uploads on a link that sets no limit of its own.
    pub link_open_uploads_max: u32,
    /// Bytes of incomplete uploads on a link that sets no limit of its own.
    pub link_unfinished_bytes_max: u64,
}

/// A size as the ledger and S3 count it. Sizes are far below 2^63.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A size from the ledger.
pub(crate) fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// A duration in the ledger's unit.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
