//! One file a command; `s3` holds those that can do without a gateway. A command returns the status it ends with; what it returns as an error is still to be shown.

mod generate;
mod get;
mod link;
mod ls;
mod partner;
mod rm;
mod s3;
mod save;
mod verify;

use std::sync::Arc;

use crate::{
    api::Api,
    cli::{Cli, Command},
    config,
    failure::{Status, status_of},
    output::Output,
};

/// Does what was asked.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<Status> {
    if let Some(location) = cli.s3 {
        return s3::run(location, cli.command, output).await;
    }
    let connect = || Ok(Arc::new(Api::new(&config::load(cli.url.as_deref(), output)?)?));
    match cli.command {
        Command::Ls(arguments) => ls::run(&*connect()?, arguments, output).await,
        Command::Get(arguments) => get::run(&connect()?, arguments, output).await,
        Command::Link(arguments) => link::run(&*connect()?, arguments, output).await,
        Command::Partner(arguments) => partner::run(&*connect()?, &arguments, output).await,
        Command::Rm(arguments) => rm::run(&*connect()?, &arguments, output).await,
        Command::Verify(arguments) => verify::run(connect, arguments, output).await,
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { folder } => generate::manual(&folder, output),
    }
}

/// Shows why one of several pieces of work failed and adds its status, so that the others go on.
///
/// # Errors
/// When the reader of the output went away: nothing goes on then.
fn note_failure(total: &mut Status, outcome: anyhow::Result<()>, output: &Output) -> anyhow::Result<()> {
    let Err(error) = outcome else {
        return Ok(());
    };
    match status_of(&error) {
        Status::Done => Err(error),
        status => {
            output.error(&format!("{error:#}"));
            *total = total.and(status);
            Ok(())
        }
    }
}

/// A field that may be missing, for a table.
fn cell(value: Option<&str>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or("-").to_owned()
}
