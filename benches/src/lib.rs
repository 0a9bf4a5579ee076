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

/// The options of this process; none if it is the sink, or if no benchmark was asked for.
pub fn asked() -> anyhow::Result<Option<options::Options>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == sink::ROLE) {
        return sink::main().map(|()| None);
    }
    // `cargo test --all-targets` starts benchmarks, too; only `cargo bench` says so.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(None);
    }
    options::Options::parse(arguments).map(Some)
}
