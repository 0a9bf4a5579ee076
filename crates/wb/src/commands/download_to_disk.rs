//! Downloads files to a folder or to standard output, from a gateway or a bucket.
//! Invariant: a file gets its name only after it has been verified.

use std::path::PathBuf;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::checksum::{self, FileDigests, Proof};
use crate::download::part_file::PartFile;
use crate::download::{self, Sink};
use crate::exit::{Status, mismatch, usage};
use crate::item::Item;
use crate::output::{self, Output};
use crate::source::Source;
use crate::{cli, names};

/// Files to download at a time, which hides the pauses between small ones. Each has `--parallel` ranges.
const FILES_IN_FLIGHT: usize = 2;

/// How many copies of a name are searched for a file that is already here.
const COPIES_MAX: u32 = 20;

/// A file to download.
pub(super) struct Request<T> {
    /// An upload ID or a key, for messages.
    pub(super) label: String,
    pub(super) name: String,
    pub(super) what: T,
}

/// Checks the arguments before any request.
pub(super) fn check(arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    if arguments.is_to_stdout() && output.is_json() {
        return Err(usage("`-o -` and `--json` both write to standard output: use only one of them"));
    }
    if arguments.output.is_file() {
        let shown = arguments.output.display();
        return Err(usage(format!("`{shown}` is a file: `-o` needs a folder, or `-` for standard output")));
    }
    Ok(())
}

/// Downloads all files. `status` is the status so far; `prepare` makes an [`Item`] when a file's turn comes.
pub(super) async fn all<T>(
    mut files: Vec<Request<T>>,
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
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }
    let mut fetched = stream::iter(files)
        .map(async |file| {
            let label = format!("`{}` ({}) was not saved", file.name, file.label);
            let saved = async { to_folder(&prepare(file.what).await?, arguments, output).await };
            saved.await.context(label)
        })
        .buffer_unordered(FILES_IN_FLIGHT);
    while let Some(outcome) = fetched.next().await {
        output.note_failure(&mut status, outcome)?;
    }
    Ok(status)
}

fn one_file_only<T>(several: &[Request<T>]) -> anyhow::Error {
    let named: Vec<_> = several.iter().take(10).map(|file| file.label.as_str()).collect();
    usage(format!("`-o -` needs exactly one file; choose one of: {}", named.join(", ")))
}

async fn to_stdout(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    check_verifiable(item, arguments, output)?;
    let fetched = download::fetch(item, arguments.transfer.parallel, Sink::Stdout, output).await;
    fetched.map(drop)
}

async fn to_folder(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    check_verifiable(item, arguments, output)?;
    let (path, sums) = match already_here(item, arguments).await {
        Some(found) => {
            output.note(&format!("`{}` is already here", item.name));
            found
        }
        None => save(item, arguments, output).await?,
    };
    if output.is_json() {
        let mut object = item.facts.clone();
        object["path"] = Value::String(path.to_string_lossy().into_owned());
        // An object may have no receipt: print the computed digest.
        if matches!(*item.source, Source::Bucket(_)) {
            object["verified_by"] = item.proof.verified_by().into();
            object["sha256"] = sums.sha256.into();
        }
        return output.object(&object);
    }
    let size = output::size(item.size_bytes);
    output.line(&format!("{}  {size}  {}", path.display(), verdict(&item.proof, &sums)))
}

/// The file from an earlier run, if it still matches the receipt, so that the same command downloads only what is missing.
async fn already_here(item: &Item, arguments: &cli::Get) -> Option<(PathBuf, FileDigests)> {
    if arguments.force || !matches!(item.proof, Proof::Receipt(_)) {
        return None;
    }
    let name = names::local_name(&item.name, &item.id);
    for number in 1..=COPIES_MAX {
        let path = arguments.output.join(names::numbered(&name, number));
        // Do not follow links.
        let found = std::fs::symlink_metadata(&path).ok()?;
        if !found.is_file() || found.len() != item.size_bytes {
            continue;
        }
        let candidate = path.clone();
        let sums = tokio::task::spawn_blocking(move || checksum::sums_of(&candidate)).await;
        if let Ok(Ok(sums)) = sums
            && item.proof.mismatch(&sums).is_none()
        {
            return Some((path, sums));
        }
    }
    None
}

/// The result of a verification, in words.
pub(super) fn verdict(proof: &Proof, sums: &FileDigests) -> String {
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

fn check_verifiable(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<()> {
    const WHY: &str = "the object has no receipt, no digest and no CRC-64/NVME to compare with";
    match item.proof {
        Proof::Nothing if arguments.require_verified => Err(mismatch(format!("unverified: {WHY}"))),
        Proof::Nothing => {
            output.warn(&format!("`{}` is unverified: {WHY}", item.name));
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn save(item: &Item, arguments: &cli::Get, output: &Output) -> anyhow::Result<(PathBuf, FileDigests)> {
    let folder = arguments.output.clone();
    let file = PartFile::open(&folder, &item.id)?;
    let part = file.path().to_owned();
    if file.length() > 0 {
        let kept = output::size(file.length());
        output.note(&format!("`{}`: resuming after {kept} from an earlier run", item.name));
    }
    let fetched = download::fetch(item, arguments.transfer.parallel, Sink::File(file), output).await;
    let (sink, sums) = fetched.map_err(|error| match part.metadata() {
        Ok(kept) if kept.len() > 0 => {
            let kept = output::size(kept.len());
            error.context(format!("{kept} are kept; run the same command to resume"))
        }
        _ => error,
    })?;
    let Sink::File(file) = sink else {
        return Err(anyhow::anyhow!("the partial file is lost"));
    };
    let name = names::local_name(&item.name, &item.id);
    let force = arguments.force;
    let named = tokio::task::spawn_blocking(move || file.give_name(&folder, &name, force)).await?;
    Ok((named?, sums))
}
