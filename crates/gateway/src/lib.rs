//! `weighbridge`: the gateway, and the commands of its operator. This file only reads the command line. It is a library with a
//! small program, so that Cargo compiles it while the SDK is still being compiled.
//! The gateway turns HTTP into the engine's verbs. No handler collects a body, and none asks the desk about a bound link.

mod accept;
mod assets;
mod bucket_checks;
mod commands;
mod config;
#[cfg(feature = "sandbox")]
mod demo;
mod escalation_fields;
mod fields;
mod file_descriptors;
mod file_name;
mod headers;
mod home;
mod hooks;
mod http;
mod openapi;
mod output;
mod partner;
mod problem;
mod router;
mod serve;
mod staff;
mod startup;
mod state;
mod support;
mod telemetry;
mod to_api;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use commands::{admin, config_check};
use output::{MISCONFIGURED, say};
use telemetry::log;

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
    /// Try everything in one process, on loopback, with nothing else installed.
    #[cfg(feature = "sandbox")]
    Demo(demo::run::DemoArguments),
    /// Run only the embedded S3 server, desk and Slack sink, to test a separate gateway.
    #[cfg(feature = "sandbox")]
    Sandbox(demo::sandbox::SandboxArguments),
    /// Run the gateway.
    Serve,
    /// Check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Migrate the ledger.
    Migrate,
    #[command(flatten)]
    Admin(admin::Command),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Report the line, the key and the fix for every mistake, including lifecycle rules of the buckets if they can be read.
    Check {
        /// Test every bucket: whether it can be reached, what is allowed, what its store can do.
        #[arg(long)]
        online: bool,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    // Huge pages cost 20 to 45 MiB more here, and save no CPU.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::from(error).context("start runtime")),
    };
    let result = runtime.block_on(Box::pin(run(arguments)));
    log::stop();
    // Remaining blocking work (such as a read of an embedded file) must not delay the exit.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "sandbox")]
    let usual = log::Settings::default();
    match arguments.command {
        #[cfg(feature = "sandbox")]
        Command::Demo(arguments) => {
            log::start(&usual, Some(demo::run::log_file(&arguments)?))?;
            return Box::pin(demo::run::demo(&arguments)).await;
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => {
            log::start(&usual, None)?;
            return demo::sandbox::sandbox(&arguments).await;
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
    log::start(&config.log, None)?;
    match arguments.command {
        Command::Config(ConfigCommand::Check { online: true }) => {
            return config_check::check(&config, &arguments.config).await;
        }
        Command::Config(ConfigCommand::Check { online: false }) => {
            return config_check::check_rules(&config, &arguments.config).await;
        }
        Command::Migrate => {
            startup::open_ledger(&config).await?.close().await;
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
    let listener = http::listener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let address = listener.local_addr()?;
    let public_url = config.server.base_url(address);
    let running = serve::start(config, listener, public_url).await?;
    tracing::info!(%address, public_url = running.state.public_url, "accepting requests");
    stop.await;
    tracing::info!("stopping");
    Ok(if running.stop().await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "weighbridge: {error:#}");
    ExitCode::FAILURE
}
