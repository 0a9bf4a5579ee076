//! `weighbridge`: the gateway and everything an operator does with it. This file reads the command line and nothing else.
//! The gateway turns HTTP into the engine's verbs; no handler collects a body, and none asks the desk about a bound link.

mod admin;
mod app;
mod body;
mod config;
mod descriptors;
#[cfg(feature = "sandbox")]
mod embedded;
mod examine;
mod head;
mod headers;
mod json;
mod listen;
mod name;
mod observe;
mod ops;
mod partner;
mod partners;
mod problem;
mod proxy;
mod rate;
mod receipt;
mod serve;
mod staff;
mod tls;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Reused, bounded buffers and an allocator that gives pages back slowly: 10 to 15 % less CPU on the byte path than the
/// system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A large-file upload gateway for support teams.
#[derive(Parser)]
#[command(name = "weighbridge", version, arg_required_else_help = true)]
struct Arguments {
    /// Configuration file.
    #[arg(
        long,
        global = true,
        env = "WEIGHBRIDGE_CONFIG",
        default_value = "weighbridge.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process, on loopback, with nothing else installed: try it.
    #[cfg(feature = "sandbox")]
    Demo(embedded::DemoArguments),
    /// Run the embedded S3 server, desk and Slack sink alone, for tests of a gateway of its own.
    #[cfg(feature = "sandbox")]
    Sandbox(embedded::SandboxArguments),
    /// Run the gateway.
    Serve,
    /// Check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Bring the ledger's tables up to date.
    Migrate,
    #[command(flatten)]
    Admin(admin::Command),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Name file, line and key of every mistake and what to write instead; also of a bucket's lifecycle rules, where they can
    /// be read.
    Check {
        /// Try every bucket to the end: whether it can be reached, what is allowed, what its store can do.
        #[arg(long)]
        online: bool,
    },
}

/// The configuration does not allow the program to run: the exit status of a wrong command line.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    // A page of 2 MiB for every allocation that is not together with others: 20 to 45 MiB more, and no less CPU.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::from(error).context("start runtime")),
    };
    let result = runtime.block_on(Box::pin(run(arguments)));
    observe::log::stop();
    // Blocking work that is left (a read of an embedded file, say) must not hold the exit up.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "sandbox")]
    let usual = observe::log::Settings::default();
    match arguments.command {
        #[cfg(feature = "sandbox")]
        Command::Demo(demo) => {
            observe::log::start(&usual, Some(embedded::log_file(&demo)?))?;
            return Box::pin(embedded::demo(&demo)).await;
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(sandbox) => {
            observe::log::start(&usual, None)?;
            return embedded::sandbox(&sandbox).await;
        }
        _ => {}
    }
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                let _ = writeln!(std::io::stderr(), "{mistake}");
            }
            return Ok(ExitCode::from(MISCONFIGURED));
        }
    };
    observe::log::start(&config.log, None)?;
    match arguments.command {
        Command::Config(ConfigCommand::Check { online: true }) => {
            return examine::check(&config, &arguments.config).await;
        }
        Command::Config(ConfigCommand::Check { online: false }) => {
            return examine::check_rules(&config, &arguments.config).await;
        }
        Command::Migrate => {
            serve::open_ledger(&config).await?.close().await;
            say("The ledger is up to date.")?;
        }
        Command::Admin(command) => return admin::run(command, &config).await,
        _ => return serve(&config).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &config::Config) -> anyhow::Result<ExitCode> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let stop = serve::stop_signal()?;
    let listen = config.server.listen;
    let listener = listen::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let address = listener.local_addr()?;
    let public_url = config.server.base_url(address);
    let running = serve::start(config, listener, public_url).await?;
    tracing::info!(%address, public_url = running.app.public_url, "accepting requests");
    stop.await;
    tracing::info!("stopping");
    Ok(if running.stop().await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a line; a reader that has gone away is fine.
fn say(line: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "weighbridge: {error:#}");
    ExitCode::FAILURE
}
