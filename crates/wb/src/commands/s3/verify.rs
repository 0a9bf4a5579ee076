//! `wb --s3 … verify`: verifies stored objects, or a local file against an object.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::checksum::{FileDigests, Proof};
use crate::cli;
use crate::commands::download_to_disk::verdict;
use crate::commands::verify;
use crate::download::{self, Sink};
use crate::exit::{Status, mismatch, not_found, status_of, usage};
use crate::item::Item;
use crate::output::{self, Output};
use crate::s3::location::Location;
use crate::s3::resolve::resolve;
use crate::s3::store::Store;

pub(super) async fn run(
    location: Location,
    arguments: cli::Verify,
    output: &Output,
) -> anyhow::Result<Status> {
    if arguments.receipt.is_some() {
        // A saved receipt needs neither a bucket nor a gateway.
        return verify::run(|| Err(usage("`--receipt` needs a local file")), arguments, output).await;
    }
    if arguments.ticket.is_some() || arguments.partner.is_some() {
        return Err(usage("`--ticket` and `--partner` do not work with `--s3`: name what to verify"));
    }
    if arguments.object {
        return Err(usage("`--object` needs the gateway: run it without `--s3`"));
    }
    let store = Store::open(location).await;
    if let Some(id) = &arguments.id {
        let [file] = arguments.what.as_slice() else {
            return Err(usage("`--id` needs exactly one file"));
        };
        local(&store, Path::new(file), id, output).await.with_context(|| format!("`{file}`"))?;
        return Ok(Status::Done);
    }
    let (entries, missing) = resolve(&store, &arguments.what).await?;
    let mut status = Status::Done;
    for error in missing {
        output.note_failure(&mut status, Err(error))?;
    }
    for entry in entries {
        let key = entry.key.clone();
        let verified = async {
            let item = Item::of_object(&store, entry, output).await?;
            stored(&item, &key, arguments.transfer, output).await
        };
        let verified = verified.await.with_context(|| format!("`{key}`"));
        output.note_failure(&mut status, verified)?;
    }
    Ok(status)
}

/// Compares a local file with an object's receipt or checksum.
async fn local(store: &Store, path: &Path, id: &str, output: &Output) -> anyhow::Result<()> {
    let local = verify::hash(path).await?;
    let (mut entries, mut missing) = resolve(store, &[id.to_owned()]).await?;
    let entry = match (entries.pop(), missing.pop()) {
        (Some(_), _) if !entries.is_empty() => {
            return Err(usage(format!("`{id}` matches more than one object")));
        }
        (Some(entry), _) => entry,
        (None, Some(error)) => return Err(error),
        (None, None) => return Err(not_found(format!("`{id}` matches no object"))),
    };
    let item = Item::of_object(store, entry, output).await?;
    check_verifiable(&item)?;
    let wrong = if local.sums.size_bytes == item.size_bytes {
        item.proof.mismatch(&local.sums)
    } else {
        let actual = local.sums.size_bytes;
        Some(format!("integrity mismatch: {} bytes are stored, the file has {actual}", item.size_bytes))
    };
    let shown = path.display().to_string();
    report(&item, &shown, wrong.is_none().then_some(&local.sums), output)?;
    wrong.map_or(Ok(()), |wrong| Err(mismatch(wrong)))
}

/// Downloads an object without keeping it, and verifies it.
async fn stored(item: &Item, key: &str, transfer: cli::Transfer, output: &Output) -> anyhow::Result<()> {
    check_verifiable(item)?;
    let fetched = download::fetch(item, transfer.parallel, Sink::Nothing, output).await;
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

/// Without anything to compare with, silence would look like success.
fn check_verifiable(item: &Item) -> anyhow::Result<()> {
    match item.proof {
        Proof::Nothing => Err(not_found(
            "unverified: the object has no receipt, no digest and no CRC-64/NVME to compare with",
        )),
        _ => Ok(()),
    }
}

/// Prints the result. A mismatch is printed only as JSON; people see the error.
fn report(item: &Item, what: &str, right: Option<&FileDigests>, output: &Output) -> anyhow::Result<()> {
    // For a local file, name the object as well.
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
