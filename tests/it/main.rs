//! Tests of the interface, against the real programs on loopback. One module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that fails has found something; its story may be long"
)]
#![allow(clippy::large_futures, reason = "nothing here is on a byte path")]

mod abuse;
mod access;
mod admin;
mod adopt;
mod demo;
mod desk;
mod dialects;
mod digests;
mod downloads;
mod draft;
mod drain;
mod environment;
mod errors;
mod faults;
mod faults_ledger;
mod first;
mod form;
mod form_parts;
mod heads;
mod idempotency;
mod kill;
mod kill_resumed;
mod links_limits;
mod metrics;
mod mistakes;
mod names;
mod observe;
mod page;
mod put;
mod resume;
mod routing;
mod s3_conventions;
mod s3_real;
mod secrets_in_logs;
mod send;
mod staff;
mod staff_links;
mod support_cli;
mod tidy;
mod transports;
mod tus;
mod wire;
mod wire_abuse;
mod wire_places;
mod wire_tls;
