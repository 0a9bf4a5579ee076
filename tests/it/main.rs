//! Tests of the interface, against the real programs on loopback. One folder per subject.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that fails has found something; its story may be long"
)]
#![allow(clippy::large_futures, reason = "nothing here is on a byte path")]

mod crashing;
mod delivering;
mod house_rules;
mod operating;
mod people;
mod refusing;
mod resuming;
mod sending;
mod staff;
mod wire;
