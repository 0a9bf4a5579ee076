//! Measures the real gateway from outside: a process of its own, between real `curl` processes and an S3 server that
//! drops what it is sent. Nothing is measured in-process, so the figures are the gateway's alone.
//!
//! `cargo bench -p benches` runs everything; `-- --quick` is one run of 256 MiB. `throughput.rs` is the plan.

pub mod gateway;
pub mod options;
pub mod process;
pub mod report;
pub mod senders;
pub mod sink;
