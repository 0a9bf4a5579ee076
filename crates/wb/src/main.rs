//! `wb`: lists, downloads and verifies files that partners have sent, for support staff.
//! The command line is in `cli`, each command in `commands`, HTTP in `gateway`, S3 in `s3`, the terminal in `output`.

mod checksum;
mod cli;
mod commands;
mod config;
mod download;
mod exit;
mod gateway;
mod item;
mod names;
mod output;
mod retry;
mod s3;
mod saved_receipts;
mod source;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use exit::Status;
use output::Output;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = Output::new(cli.json, cli.quiet);
    let outcome = run(cli, &output);
    let status = outcome.unwrap_or_else(|error| {
        let status = exit::status_of(&error);
        if status != Status::Done {
            output.error(&format!("{error:#}"));
        }
        status
    });
    ExitCode::from(status as u8)
}

fn run(cli: cli::Cli, output: &Output) -> anyhow::Result<Status> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = cli.download_folder().map(ToOwned::to_owned);
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(commands::run(cli, output)) => outcome,
            // Dropping the command's future removes partial files that cannot be resumed.
            _ = tokio::signal::ctrl_c() => Err(interrupted(folder.as_deref())),
        }
    });
    // Do not wait for a thread that is blocked on standard input or on a full pipe.
    runtime.shutdown_background();
    outcome
}

fn interrupted(folder: Option<&Path>) -> anyhow::Error {
    exit::failed(match folder.filter(|folder| download::part_file::has_partial_files(folder)) {
        Some(_) => "interrupted; partial files are kept. Run the same command to resume",
        None => "interrupted",
    })
}
