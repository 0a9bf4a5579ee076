//! Commands straight on a bucket. What needs the gateway's ledger is refused, not approximated.

mod get;
mod ls;
mod verify;

use crate::{
    cli::{Command, Transfer},
    failure::{Status, usage},
    output::Output,
    s3::{Location, Store},
};

pub(super) async fn run(location: Location, command: Command, output: &Output) -> anyhow::Result<Status> {
    bucket::ca_bundle().map_err(usage)?;
    match command {
        Command::Ls(arguments) => ls::run(&Store::open(location).await, arguments, output).await,
        Command::Get(arguments) => {
            check(arguments.transfer)?;
            get::run(&Store::open(location).await, arguments, output).await
        }
        Command::Verify(arguments) => {
            check(arguments.transfer)?;
            verify::run(location, arguments, output).await
        }
        Command::Link(_) => Err(needs_gateway("link")),
        Command::Partner(_) => Err(needs_gateway("partner")),
        Command::Rm(_) => Err(needs_gateway("rm")),
        Command::Completions { .. } => Err(needs_nothing("completions")),
        Command::Man { .. } => Err(needs_nothing("man")),
    }
}

fn check(transfer: Transfer) -> anyhow::Result<()> {
    if transfer.via_gateway {
        return Err(usage("`--s3` reads the bucket itself: `--via-gateway` says the opposite"));
    }
    Ok(())
}

fn needs_gateway(command: &str) -> anyhow::Error {
    usage(format!("`wb {command}` needs the gateway: leave out `--s3`"))
}

fn needs_nothing(command: &str) -> anyhow::Error {
    usage(format!("`wb {command}` takes no `--s3`"))
}
