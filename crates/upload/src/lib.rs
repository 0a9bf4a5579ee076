//! The upload engine: create, status, append, cancel, sweep. It turns a stream of bytes into an object in a bucket and a row in
//! the ledger, in that order. It knows no HTTP framework, no SQL and no SDK types.
//! Invariant: an upload is `complete` only when its bytes are durable and their SHA-256 is known; the offset is the
//! gap-free prefix of stored parts plus the tail, and never falls; memory is bounded by the budget.

mod append;
mod cancel;
mod checksum;
mod clear;
mod complete;
mod create;
mod error;
mod limits;
mod lost;
mod memory;
mod metadata;
mod quota;
mod recover;
mod storage_retry;
mod sweep;
mod telemetry;
mod uploads;

#[cfg(test)]
mod tests;

pub use append::request::{Append, BodyError, End, Frame};
pub use checksum::digest::{Algorithm, Digest};
pub use create::Create;
pub use error::{Error, Result, SideFile};
pub use limits::Limits;
pub use memory::budget::{ConnectionCredit, MemoryBudget};
pub use memory::part_plan::{PARTS_MAX, PartPlan};
pub use sweep::report::{Leak, LeakKind, Leaks, Swept, Total};
pub use uploads::Uploads;
