//! The durable record: partners, links, uploads, parts, jobs, audit. The only crate that says sqlx.
//! Invariant: it claims only what already exists; whatever exists in a bucket has a row here first.
//! Every statement is one text that runs on SQLite and on Postgres; the few that differ are in `dialect.rs`. Times are milliseconds since 1970, UTC.

mod access;
mod adopt;
mod audit;
mod bounded;
mod clock;
mod completing;
mod dialect;
mod digests;
mod duplicates;
mod hold;
mod idempotency;
mod jobs;
mod links;
mod observe;
mod open;
mod partners;
mod parts;
mod secret;
mod sweep;
mod tails;
mod tickets;
mod uploads;

#[cfg(test)]
mod tests;

pub use access::{Link, NewLink, Right, StaffToken};
pub use adopt::{Adopted, is_id};
pub use audit::AuditEntry;
pub use clock::ClockWatch;
pub use completing::{Completed, Completing, Original, SAME_FILE_MS, dedupe_key};
pub use dialect::{check_url, file, shown};
pub use digests::Side;
pub use hold::Hold;
pub use idempotency::{Claim, Key};
pub use jobs::{Job, JobKind};
pub use links::Room;
pub use open::{Error, Ledger, Result, migrations};
pub use partners::{Contact, Partner};
pub use parts::{Numbers, Part, PartCommit, Reservation};
pub use secret::{Token, hash_token};
pub use tails::{Tail, TailCommit};
pub use tickets::Ticket;
pub use uploads::{Appending, Delivery, Destination, Filter, NewUpload, State, Upload};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// `2026-11-22T11:04:06.123Z`: RFC 3339, UTC.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// Milliseconds of an RFC 3339 time; none when it is not one.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A new identifier: sorts by time (48 bits of milliseconds), carries 80 random bits, 26 characters.
pub fn new_id() -> String {
    ulid::Ulid::generate().to_string()
}
