//! One file per command; `s3` has those that work without a gateway. A command returns its exit status, or an error that
//! is not printed yet.

mod ask;
mod audit;
mod contact;
mod download_to_disk;
mod escalate;
mod escalations;
mod generate;
mod get;
mod hold;
mod link;
mod ls;
mod notes;
mod partner;
mod rm;
mod s3;
mod verify;
mod verify_object;

use std::sync::Arc;

use crate::cli::{Cli, Command};
use crate::config;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::Output;

pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<Status> {
    if let Some(location) = cli.s3 {
        return s3::run(location, cli.command, output).await;
    }
    let connect = || Ok(Arc::new(Gateway::new(&config::load(cli.url.as_deref(), output)?)?));
    match cli.command {
        Command::Ls(arguments) => ls::run(&*connect()?, arguments, output).await,
        Command::Get(arguments) => get::run(&connect()?, arguments, output).await,
        Command::Link(arguments) => link::run(&*connect()?, arguments, output).await,
        Command::Partner(arguments) => partner::run(&*connect()?, &arguments, output).await,
        Command::Rm(arguments) => rm::run(&*connect()?, &arguments, output).await,
        Command::Verify(arguments) => verify::run(connect, arguments, output).await,
        Command::Escalations(arguments) => escalations::run(&*connect()?, arguments, output).await,
        Command::Escalate(arguments) => escalate::run(&*connect()?, &arguments, output).await,
        Command::Contact(arguments) => contact::run(&*connect()?, &arguments, output).await,
        Command::Ask(arguments) => ask::run(&*connect()?, &arguments, output).await,
        Command::Hold(arguments) => hold::run(&*connect()?, &arguments, output).await,
        Command::Audit(arguments) => audit::run(&*connect()?, arguments, output).await,
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { folder } => generate::manual(&folder, output),
    }
}
