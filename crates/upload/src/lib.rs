//! The engine: create, status, append, cancel. It turns a stream of bytes into an object that rests in a bucket and a
//! row that says so, in that order. No HTTP framework, no SQL, no SDK types.
//! Invariant: an upload is `complete` only when its bytes are durable and its SHA-256 is known; the offset is the
//! gap-free prefix of stored parts with the tail after them, and never falls; memory is bounded by the budget.

mod append;
mod budget;
mod complete;
mod digest;
mod engine;
mod error;
mod halt;
mod hash;
mod leaks;
mod lease;
mod lost;
mod memory;
mod observe;
mod part;
mod patience;
mod plan;
mod receiving;
mod room;
mod side;
mod side_text;
mod sweep;
mod tail;

#[cfg(test)]
mod tests;

pub use append::{Append, BodyError, End, Frame};
pub use budget::{Budget, PIECE_BYTES, Window};
pub use digest::{Algorithm, Digest};
pub use engine::{Limits, New, Uploads, destination};
pub use error::{Error, Result, SideFile};
pub use leaks::{Leak, LeakKind, Leaks, Total};
pub use plan::{PART_BYTES_MIN, PARTS_MAX, Plan};
pub use sweep::Swept;
