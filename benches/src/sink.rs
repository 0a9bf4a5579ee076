//! The store behind the benchmark: the tests' S3 server in a process of its own, in the mode that drops large bodies.
//! The sandbox's durable store would cost more than the gateway, so it is not used here.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use anyhow::Context;
use tokio::net::TcpSocket;

use crate::process::Process;

/// The bucket the benchmark uses; any other name works as well.
pub const BUCKET: &str = "bench";
/// The argument that makes the benchmark's program the sink.
pub const ROLE: &str = "sink";

/// The sink as a process of its own: says its address on standard output and ends with its standard input.
pub fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    // A thousand senders connect at once.
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = runtime.block_on(async { socket.listen(4_096) })?;
    writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
    runtime.spawn(tests::serve_discarding(listener));
    // The parent holds the other end, so this process ends with it.
    io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

/// Starts this very program as the sink. Returns it and its URL.
pub fn start() -> anyhow::Result<(Process, String)> {
    let mut command = Command::new(env::current_exe()?);
    let mut process = Process::start(command.arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let stdout = process.child().stdout.take().context("take the sink's output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let url = line.trim().to_owned();
    anyhow::ensure!(url.starts_with("http://"), "the sink did not start");
    Ok((process, url))
}

/// Bytes of objects that were read from the sink at `url` so far.
pub fn read_bytes(url: &str) -> anyhow::Result<u64> {
    let address = format!("{url}{}", tests::READ_BYTES);
    let output = Command::new("curl").args(["--silent", "--noproxy", "*", &address]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.parse().with_context(|| format!("`{text}` is not a number"))
}
