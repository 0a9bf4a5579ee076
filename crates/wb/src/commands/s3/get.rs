//! `wb --s3 … get`: objects by key, upload id or ticket.

use crate::{
    cli,
    commands::{note_failure, save},
    failure::Status,
    output::Output,
    s3::{self, Entry, Store},
};

pub(super) async fn run(store: &Store, arguments: cli::Get, output: &Output) -> anyhow::Result<Status> {
    save::check(&arguments, output)?;
    let (entries, missing) = s3::resolve(store, &arguments.what).await?;
    let mut status = Status::Done;
    for error in missing {
        note_failure(&mut status, Err(error), output)?;
    }
    let files = entries.into_iter().map(|entry| save::File {
        label: entry.key.clone(),
        name: entry.name().to_owned(),
        what: entry,
    });
    let prepare = async |entry: Entry| s3::item(store, entry, output).await;
    save::all(files.collect(), prepare, &arguments, status, output).await
}
