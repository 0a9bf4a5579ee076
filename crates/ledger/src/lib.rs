//! The durable record: partners, links, uploads, parts, jobs, audit. The only crate that names sqlx.
//! Invariant: it claims only what already exists; whatever exists in a bucket has a row here first.
//! Every statement is one text for SQLite and Postgres; the few exceptions are in `dialect.rs`. Times are milliseconds since
//! 1970, UTC.

mod adopt;
mod asks;
mod audit;
mod case_numbers;
mod clock;
mod completion;
mod connect;
mod contacts;
mod deliveries;
mod dialect;
mod duplicates;
mod error;
mod escalations;
mod holds;
mod hooks;
mod idempotency;
mod instance_lock;
mod jobs;
mod leases;
mod link_posts;
mod links;
mod listing;
mod migrate;
mod names;
mod opened_tickets;
mod organization_notes;
mod partner_objects;
mod partners;
mod parts;
mod quota;
mod retention;
mod sender_notes;
mod sessions;
mod side_files;
mod sql;
mod staff_tokens;
mod steps;
mod sweep;
mod tails;
mod tickets;
mod timeout;
mod token;
mod transaction;
mod upload;
mod uploads;
mod url;

#[cfg(test)]
mod tests;

pub use adopt::{Adopted, is_id};
pub use asks::{ASK_NONE, ASKS_MAX, Ask};
pub use audit::{AuditEntry, AuditFilter};
pub use clock::ClockWatch;
pub use completion::{Completed, Completion, Dedupe, SAME_FILE_MS, dedupe_key};
pub use connect::Ledger;
pub use contacts::{Contact, NewContact};
pub use error::{Error, Result};
pub use escalations::{
    Escalation, EscalationFilter, EscalationState, NewEscalation, Origin, Urgency, step_when_raised,
};
pub use holds::Hold;
pub use idempotency::{Claim, Key};
pub use instance_lock::InstanceLock;
pub use jobs::{Job, JobKind};
pub use leases::{ClaimedJobs, Held, TICKET_JOBS_MAX};
pub use links::{Link, NewLink, Right};
pub use listing::Filter;
pub use migrate::migrations;
pub use opened_tickets::{OpenedTicket, OpeningTicket};
pub use organization_notes::OrganizationNotes;
pub use partner_objects::{ObjectNote, PARTNER_OBJECTS_MAX, PartnerObject, SeenObject};
pub use partners::Partner;
pub use parts::{Numbers, Part, PartCommit, Reservation};
pub use quota::Room;
pub use retention::Kept;
pub use sender_notes::{NoteAdded, SENDER_NOTES_MAX, SenderNote};
pub use side_files::SideFileRecord;
pub use staff_tokens::StaffToken;
pub use steps::Step;
pub use tails::{Tail, TailCommit};
pub use tickets::Ticket;
pub use token::{Token, hash_token};
pub use upload::{Delivery, Destination, State, Upload};
pub use uploads::{Appending, NewUpload};
pub use url::{check_url, file, shown};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// `2026-11-22T11:04:06.123Z`: RFC 3339, UTC.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// Milliseconds of an RFC 3339 time; none if the text is not one.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A new ID of 26 characters: sorts by time (48 bits of milliseconds), with 80 random bits.
pub fn new_id() -> String {
    ulid::Ulid::generate().to_string()
}
