//! Limits of requests with fields.

/// Largest body without files.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// Longest text of several lines, characters.
pub const TEXT_CHARS_MAX: usize = 30_000;
/// Longest text of one line, characters.
pub const LINE_CHARS_MAX: usize = 150;
