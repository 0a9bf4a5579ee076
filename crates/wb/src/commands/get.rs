//! `wb get`: files by id or by ticket. Nothing unverified ever gets its name.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::note_failure;
use crate::{
    api::{Api, Filter},
    cli,
    download::{self, Sink},
    failure::{Status, not_found, usage},
    names,
    output::{self, Output},
    receipt::Receipt,
};

/// Files fetched at a time: hides the pauses between small ones. Each has `--parallel` ranges of its own.
const FILES_IN_FLIGHT: usize = 2;

pub(crate) async fn run(api: &Arc<Api>, arguments: cli::Get, output: &Output) -> anyhow::Result<Status> {
    let to_stdout = arguments.output == Path::new("-");
    if to_stdout && output.is_json() {
        return Err(usage("`-o -` and `--json` both want standard output"));
    }
    let mut status = Status::Done;
    let mut receipts = Vec::new();
    for what in &arguments.what {
        let found = resolve(api, what, output).await.map(|found| receipts.extend(found));
        note_failure(&mut status, found, output)?;
    }
    let mut seen = HashSet::new();
    receipts.retain(|receipt| seen.insert(receipt.id.clone()));
    if to_stdout {
        let receipt = match receipts.as_slice() {
            [receipt] if arguments.what.len() == 1 => receipt,
            [] if status != Status::Done => return Ok(status),
            several => return Err(one_file_only(several)),
        };
        let bar = output.bar(&receipt.name, receipt.size.unwrap_or(0));
        let fetched = download::fetch(api, receipt, arguments.transfer, Sink::Stdout, &bar).await;
        bar.finish_and_clear();
        fetched.with_context(|| format!("`{}` ({})", receipt.name, receipt.id))?;
        return Ok(Status::Done);
    }
    if !receipts.is_empty() {
        let folder = &arguments.output;
        std::fs::create_dir_all(folder).with_context(|| format!("create `{}`", folder.display()))?;
    }
    let mut fetched = stream::iter(&receipts)
        .map(|receipt| fetch_file(api, receipt, &arguments, output))
        .buffer_unordered(FILES_IN_FLIGHT);
    while let Some(outcome) = fetched.next().await {
        note_failure(&mut status, outcome, output)?;
    }
    Ok(status)
}

/// The receipts an argument stands for. Ids are longer than any ticket number and not all digits.
async fn resolve(api: &Api, what: &str, output: &Output) -> anyhow::Result<Vec<Receipt>> {
    if !is_ticket(what) {
        return Ok(vec![api.upload(what).await?]);
    }
    let filter = Filter { ticket: Some(what.to_owned()), ..Filter::default() };
    let (complete, open): (Vec<_>, Vec<_>) =
        api.all_uploads(&filter).await?.into_iter().partition(|receipt| receipt.proof().is_some());
    if !open.is_empty() {
        output.note(&format!("ticket {what}: {} not complete yet, skipped", count(open.len(), "upload")));
    }
    if complete.is_empty() {
        return Err(not_found(format!("ticket {what} has no files here")));
    }
    Ok(complete)
}

fn is_ticket(what: &str) -> bool {
    what.len() <= 20 && what.bytes().all(|byte| byte.is_ascii_digit())
}

fn one_file_only(several: &[Receipt]) -> anyhow::Error {
    let named: Vec<_> = several.iter().take(10).map(|receipt| receipt.id.as_str()).collect();
    usage(format!("`-o -` takes one file; name one of: {}", named.join(", ")))
}

async fn fetch_file(
    api: &Arc<Api>,
    receipt: &Receipt,
    arguments: &cli::Get,
    output: &Output,
) -> anyhow::Result<()> {
    let path = save(api, receipt, arguments, output)
        .await
        .with_context(|| format!("`{}` ({}) was not saved", receipt.name, receipt.id))?;
    if !output.is_json() {
        let size = output::size(receipt.size.unwrap_or(0));
        let sha256 = receipt.sha256.as_deref().unwrap_or_default();
        return output.line(&format!("{}  {size}  sha256 {sha256} verified", path.display()));
    }
    let mut object = serde_json::to_value(receipt)?;
    object["path"] = Value::String(path.to_string_lossy().into_owned());
    output.object(&object)
}

async fn save(
    api: &Arc<Api>,
    receipt: &Receipt,
    arguments: &cli::Get,
    output: &Output,
) -> anyhow::Result<PathBuf> {
    let file = download::unfinished_file(&arguments.output, &receipt.id)?;
    let bar = output.bar(&receipt.name, receipt.size.unwrap_or(0));
    let sink = download::fetch(api, receipt, arguments.transfer, Sink::File(file), &bar).await;
    bar.finish_and_clear();
    let Sink::File(file) = sink? else {
        return Err(anyhow::anyhow!("the file went astray"));
    };
    let name = names::local_name(&receipt.name, &receipt.id);
    let (folder, force) = (arguments.output.clone(), arguments.force);
    tokio::task::spawn_blocking(move || download::give_name(file, &folder, &name, force)).await?
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
