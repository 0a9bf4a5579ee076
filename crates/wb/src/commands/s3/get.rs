//! `wb --s3 … get`: downloads objects by key, upload ID or ticket.

use crate::cli;
use crate::commands::download_to_disk;
use crate::exit::Status;
use crate::item::Item;
use crate::output::Output;
use crate::s3::entry::Entry;
use crate::s3::resolve::resolve;
use crate::s3::store::Store;

pub(super) async fn run(store: &Store, arguments: cli::Get, output: &Output) -> anyhow::Result<Status> {
    download_to_disk::check(&arguments, output)?;
    let (entries, missing) = resolve(store, &arguments.what).await?;
    let mut status = Status::Done;
    for error in missing {
        output.note_failure(&mut status, Err(error))?;
    }
    let files = entries.into_iter().map(|entry| download_to_disk::Request {
        label: entry.key.clone(),
        name: entry.name().to_owned(),
        what: entry,
    });
    let prepare = async |entry: Entry| Item::of_object(store, entry, output).await;
    download_to_disk::all(files.collect(), prepare, &arguments, status, output).await
}
