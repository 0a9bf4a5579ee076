//! `wb --s3 … verify`: does what is stored, or a local file, have the bytes that its receipt speaks of?

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::{
    cli,
    commands::{note_failure, save::verdict, verify},
    download::{self, Item, Proof, Sink, Sums},
    failure::{Status, mismatch, not_found, status_of, usage},
    output::{self, Output},
    s3::{self, Location, Store},
};

pub(super) async fn run(
    location: Location,
    arguments: cli::Verify,
    output: &Output,
) -> anyhow::Result<Status> {
    if arguments.receipt.is_some() {
        // A saved receipt needs no bucket, and no gateway either.
        return verify::run(|| Err(usage("`--receipt` takes a local file")), arguments, output).await;
    }
    if arguments.ticket.is_some() || arguments.partner.is_some() {
        return Err(usage("with `--s3` name what to verify: `--ticket` and `--partner` are for the gateway"));
    }
    let store = Store::open(location).await;
    if let Some(id) = &arguments.id {
        let [file] = arguments.what.as_slice() else {
            return Err(usage("`--id` takes one file"));
        };
        local(&store, Path::new(file), id, output).await.with_context(|| format!("verify `{file}`"))?;
        return Ok(Status::Done);
    }
    let (entries, missing) = s3::resolve(&store, &arguments.what).await?;
    let mut status = Status::Done;
    for error in missing {
        note_failure(&mut status, Err(error), output)?;
    }
    for entry in entries {
        let key = entry.key.clone();
        let verified = async {
            let item = s3::item(&store, entry, output).await?;
            stored(&item, &key, arguments.transfer, output).await
        };
        let verified = verified.await.with_context(|| format!("verify `{key}`"));
        note_failure(&mut status, verified, output)?;
    }
    Ok(status)
}

/// Compares a local file with what vouches for one object.
async fn local(store: &Store, path: &Path, id: &str, output: &Output) -> anyhow::Result<()> {
    let local = verify::hash(path).await?;
    let (mut entries, mut missing) = s3::resolve(store, &[id.to_owned()]).await?;
    let entry = match (entries.pop(), missing.pop()) {
        (Some(_), _) if !entries.is_empty() => return Err(usage(format!("`{id}` is more than one object"))),
        (Some(entry), _) => entry,
        (None, Some(error)) => return Err(error),
        (None, None) => return Err(not_found(format!("`{id}` is not there"))),
    };
    let item = s3::item(store, entry, output).await?;
    vouched(&item)?;
    let wrong = if local.sums.size_bytes == item.size_bytes {
        item.proof.contradiction(&local.sums)
    } else {
        let actual = local.sums.size_bytes;
        Some(format!("integrity mismatch: {} bytes are stored, the file has {actual}", item.size_bytes))
    };
    let shown = path.display().to_string();
    report(&item, &shown, wrong.is_none().then_some(&local.sums), output)?;
    wrong.map_or(Ok(()), |wrong| Err(mismatch(wrong)))
}

/// Reads an object's bytes, keeps nothing, and compares.
async fn stored(item: &Item, key: &str, transfer: cli::Transfer, output: &Output) -> anyhow::Result<()> {
    vouched(item)?;
    let bar = output.bar(&item.name, item.size_bytes);
    let fetched = download::fetch(item, transfer.parallel, Sink::Nothing, &bar).await;
    bar.finish_and_clear();
    match fetched {
        Ok((_, sums)) => report(item, key, Some(&sums), output),
        Err(error) => {
            if status_of(&error) == Status::Mismatch {
                report(item, key, None, output)?;
            }
            Err(error)
        }
    }
}

/// Without anything to compare with, saying nothing would look like a success.
fn vouched(item: &Item) -> anyhow::Result<()> {
    match item.proof {
        Proof::Nothing => Err(not_found(
            "unverified: there is nothing to compare with, no receipt, no digest and no CRC-64/NVME of the object",
        )),
        _ => Ok(()),
    }
}

/// A line of data; a mismatch is printed only for programs, people get the error.
fn report(item: &Item, what: &str, right: Option<&Sums>, output: &Output) -> anyhow::Result<()> {
    // A local file is verified against an object, which is named then.
    let against = item.facts["key"].as_str().filter(|key| *key != what);
    if output.is_json() {
        let mut object = item.facts.clone();
        object["verified"] = right.is_some().into();
        object["verified_by"] = right.and_then(|_| item.proof.verified_by()).into();
        if against.is_some() {
            object["path"] = Value::String(what.to_owned());
        }
        return output.object(&object);
    }
    let Some(sums) = right else {
        return Ok(());
    };
    let against = against.map(|key| format!(", as `{key}`")).unwrap_or_default();
    output.line(&format!(
        "{what}  {}  {}{against}",
        output::size(item.size_bytes),
        verdict(&item.proof, sums)
    ))
}
