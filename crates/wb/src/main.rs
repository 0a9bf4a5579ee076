//! `wb`: lists, downloads and verifies what partners have sent, for support staff.
//! Glue only: the command line is in `cli`, each command in `commands`, HTTP in `api`,
//! and nothing but `output` writes to the terminal.

mod api;
mod cli;
mod commands;
mod config;
mod download;
mod failure;
mod names;
mod output;
mod receipt;
mod s3;
mod trouble;

use std::{path::Path, process::ExitCode};

use clap::Parser;
use failure::Status;
use output::Output;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = Output::new(cli.json, cli.quiet);
    let outcome = run(cli, &output);
    let status = outcome.unwrap_or_else(|error| {
        let status = failure::status_of(&error);
        if status != Status::Done {
            output.error(&format!("{error:#}"));
        }
        status
    });
    ExitCode::from(status.code())
}

fn run(cli: cli::Cli, output: &Output) -> anyhow::Result<Status> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = cli.download_folder().map(ToOwned::to_owned);
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(commands::run(cli, output)) => outcome,
            // Dropping the command's future removes what nothing can go on from.
            _ = tokio::signal::ctrl_c() => Err(interrupted(folder.as_deref())),
        }
    });
    // A thread that waits for an answer on standard input, or for a full pipe, must not keep us here.
    runtime.shutdown_background();
    outcome
}

fn interrupted(folder: Option<&Path>) -> anyhow::Error {
    failure::failed(match folder.filter(|folder| download::keeps_unfinished(folder)) {
        Some(_) => "interrupted; what has arrived is kept, the same command goes on from there",
        None => "interrupted",
    })
}
