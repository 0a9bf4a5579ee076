//! An S3 server that drops large bodies and remembers what it was told about them: size, checksum, metadata.
//! It is there to cost little, not to check: signatures are not looked at, checksums are believed.
//! Heads answer truthfully, small objects (receipts, probes) can be read back.

mod operations;
mod store;

use std::{
    convert::Infallible,
    env,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use store::Store;
use tokio::net::TcpListener;

use crate::process::Process;

/// The bucket the benchmark uses; any other name works as well.
pub const BUCKET: &str = "bench";
/// The argument that makes the benchmark's program the sink.
pub const ROLE: &str = "sink";

/// Answers S3 requests for ever.
pub async fn serve(listener: TcpListener) {
    let store = Arc::new(Mutex::new(Store::default()));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let store = Arc::clone(&store);
        let service = service_fn(move |request| {
            let store = Arc::clone(&store);
            async move { Ok::<_, Infallible>(operations::answer(request, &store).await) }
        });
        // A client that goes away is its own business.
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// The sink as a process of its own: says its address on standard output and ends with its standard input.
pub fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
    runtime.spawn(serve(listener));
    // The parent holds the other end: whatever becomes of it, we end too.
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
    let address = format!("{url}/{}", operations::READ_BYTES);
    let output = Command::new("curl").args(["--silent", "--noproxy", "*", &address]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.parse().with_context(|| format!("`{text}` is not a number"))
}
