//! Commands on a bucket. A command that needs the gateway is refused.

mod get;
mod ls;
mod verify;

use crate::cli::{Command, Transfer};
use crate::exit::{Status, usage};
use crate::output::Output;
use crate::s3::location::Location;
use crate::s3::store::Store;

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
        Command::Ask(_) => Err(needs_gateway("ask")),
        Command::Hold(_) => Err(needs_gateway("hold")),
        Command::Audit(_) => Err(needs_gateway("audit")),
        Command::Escalations(_) => Err(needs_gateway("escalations")),
        Command::Escalate(_) => Err(needs_gateway("escalate")),
        Command::Contact(_) => Err(needs_gateway("contact")),
        Command::Completions { .. } => Err(needs_nothing("completions")),
        Command::Man { .. } => Err(needs_nothing("man")),
    }
}

fn check(transfer: Transfer) -> anyhow::Result<()> {
    if transfer.via_gateway {
        return Err(usage("`--s3` reads the bucket directly and cannot be used with `--via-gateway`"));
    }
    Ok(())
}

fn needs_gateway(command: &str) -> anyhow::Error {
    usage(format!("`wb {command}` needs the gateway: run it without `--s3`"))
}

fn needs_nothing(command: &str) -> anyhow::Error {
    usage(format!("`wb {command}` does not accept `--s3`"))
}
