//! What `get` does with files, wherever they come from. Nothing that is contradicted by its proof ever gets its name.

use std::path::PathBuf;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::note_failure;
use crate::{
    cli,
    download::{self, Item, PartFile, Proof, Sink, Source, Sums},
    failure::{Status, mismatch, usage},
    names,
    output::{self, Output},
};

/// Files fetched at a time: hides the pauses between small ones. Each has `--parallel` ranges of its own.
const FILES_IN_FLIGHT: usize = 2;

/// Files of one name that are looked at for the one that is here already.
const COPIES_MAX: u32 = 20;

/// One file that was asked for.
pub(super) struct File<T> {
    /// What to call it by: an upload id, or a key.
    pub(super) label: String,
    pub(super) name: String,
    pub(super) what: T,
}

/// Refuses what cannot be done, before anything is asked for.
pub(super) fn check(arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    if arguments.is_to_stdout() && output.is_json() {
        return Err(usage("`-o -` and `--json` both want standard output"));
    }
    if arguments.output.is_file() {
        let shown = arguments.output.display();
        return Err(usage(format!("`{shown}` is a file: `-o` takes a folder, or `-` for standard output")));
    }
    Ok(())
}

/// Fetches the files to where the arguments say. `status` is what went wrong before, and `prepare` looks at a file when
/// its turn comes.
pub(super) async fn all<T>(
    mut files: Vec<File<T>>,
    prepare: impl AsyncFn(T) -> anyhow::Result<Item>,
    arguments: &cli::Get,
    mut status: Status,
    output: &Output,
) -> anyhow::Result<Status> {
    if arguments.is_to_stdout() {
        if files.is_empty() && status != Status::Done {
            return Ok(status);
        }
        if files.len() != 1 || arguments.what.len() != 1 {
            return Err(one_file_only(&files));
        }
        let file = files.remove(0);
        let label = format!("`{}` ({})", file.name, file.label);
        let fetched = async { to_stdout(&prepare(file.what).await?, arguments, output).await };
        return fetched.await.context(label).map(|()| Status::Done);
    }
    if !files.is_empty() {
        let folder = &arguments.output;
        std::fs::create_dir_all(folder).with_context(|| format!("create `{}`", folder.display()))?;
    }
    let mut fetched = stream::iter(files)
        .map(async |file| {
            let label = format!("`{}` ({}) was not saved", file.name, file.label);
            let saved = async { to_folder(&prepare(file.what).await?, arguments, output).await };
            saved.await.context(label)
        })
        .buffer_unordered(FILES_IN_FLIGHT);
    while let Some(outcome) = fetched.next().await {
        note_failure(&mut status, outcome, output)?;
    }
    Ok(status)
}

fn one_file_only<T>(several: &[File<T>]) -> anyhow::Error {
    let named: Vec<_> = several.iter().take(10).map(|file| file.label.as_str()).collect();
    usage(format!("`-o -` takes one file; name one of: {}", named.join(", ")))
}

async fn to_stdout(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    vouched(item, arguments, output)?;
    let bar = output.bar(&item.name, item.size_bytes);
    let fetched = download::fetch(item, arguments.transfer.parallel, Sink::Stdout, &bar).await;
    bar.finish_and_clear();
    fetched.map(drop)
}

async fn to_folder(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    vouched(item, arguments, output)?;
    let (path, sums) = match already_here(item, arguments).await {
        Some(found) => {
            output.note(&format!("`{}` is here already", item.name));
            found
        }
        None => save(item, arguments, output).await?,
    };
    if output.is_json() {
        let mut object = item.facts.clone();
        object["path"] = Value::String(path.to_string_lossy().into_owned());
        // An object may have no receipt: what was found takes the place of what nobody said.
        if matches!(*item.source, Source::Bucket(_)) {
            object["verified_by"] = item.proof.verified_by().into();
            object["sha256"] = sums.sha256.into();
        }
        return output.object(&object);
    }
    let size = output::size(item.size_bytes);
    output.line(&format!("{}  {size}  {}", path.display(), verdict(&item.proof, &sums)))
}

/// The file that an earlier run saved, if its bytes are still those of the receipt: the same command run again fetches
/// only what is missing.
async fn already_here(item: &Item, arguments: &cli::Get) -> Option<(PathBuf, Sums)> {
    if arguments.force || !matches!(item.proof, Proof::Receipt(_)) {
        return None;
    }
    let name = names::local_name(&item.name, &item.id);
    for number in 1..=COPIES_MAX {
        let path = arguments.output.join(names::numbered(&name, number));
        // A link is not looked through.
        let found = std::fs::symlink_metadata(&path).ok()?;
        if !found.is_file() || found.len() != item.size_bytes {
            continue;
        }
        let looked_at = path.clone();
        let sums = tokio::task::spawn_blocking(move || download::sums_of(&looked_at)).await;
        if let Ok(Ok(sums)) = sums
            && item.proof.contradiction(&sums).is_none()
        {
            return Some((path, sums));
        }
    }
    None
}

/// What was found about some bytes, in words.
pub(super) fn verdict(proof: &Proof, sums: &Sums) -> String {
    let sha256 = &sums.sha256;
    match proof {
        Proof::Receipt(_) => format!("sha256 {sha256} verified"),
        Proof::Metadata(_) => format!("sha256 {sha256} verified by the object's metadata, no receipt"),
        Proof::Crc64(crc64) => {
            format!("sha256 {sha256}, crc64nvme {} verified, no receipt", crc64.to_hex())
        }
        Proof::Nothing => format!("sha256 {sha256} unverified"),
    }
}

fn vouched(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    const WHY: &str =
        "nothing vouches for these bytes: no receipt, no digest and no CRC-64/NVME of the object";
    match item.proof {
        Proof::Nothing if arguments.require_verified => Err(mismatch(format!("unverified: {WHY}"))),
        Proof::Nothing => {
            output.warn(&format!("`{}` is unverified: {WHY}", item.name));
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn save(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<(PathBuf, Sums)> {
    let folder = arguments.output.clone();
    let file = PartFile::open(&folder, &item.id)?;
    let part = file.path().to_owned();
    if file.length() > 0 {
        let kept = output::size(file.length());
        output.note(&format!("`{}`: {kept} are here from an earlier run", item.name));
    }
    let bar = output.bar(&item.name, item.size_bytes);
    let fetched = download::fetch(item, arguments.transfer.parallel, Sink::File(file), &bar).await;
    bar.finish_and_clear();
    let (sink, sums) = fetched.map_err(|error| match part.metadata() {
        Ok(kept) if kept.len() > 0 => {
            let kept = output::size(kept.len());
            error.context(format!("{kept} are kept and the same command goes on from there"))
        }
        _ => error,
    })?;
    let Sink::File(file) = sink else {
        return Err(anyhow::anyhow!("the file went astray"));
    };
    let name = names::local_name(&item.name, &item.id);
    let force = arguments.force;
    let named = tokio::task::spawn_blocking(move || file.give_name(&folder, &name, force)).await?;
    Ok((named?, sums))
}
