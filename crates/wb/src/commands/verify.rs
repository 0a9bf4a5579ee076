//! `wb verify`: verifies a local file, or a stored one, against its receipt.
//! Without `--id` or `--receipt`, the receipt is searched by digest; one that matches only the name is a mismatch.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::Receipt;
use serde_json::Value;

use super::verify_object;
use crate::checksum::{self, FileDigests};
use crate::download::{self, Sink};
use crate::exit::{Status, mismatch, not_found, status_of, usage};
use crate::gateway::client::{Filter, Gateway};
use crate::item::Item;
use crate::output::{self, Output};
use crate::{cli, names, saved_receipts};

pub(super) struct Local<'a> {
    pub(super) path: &'a Path,
    pub(super) sums: FileDigests,
}

pub(crate) async fn run(
    connect: impl Fn() -> anyhow::Result<Arc<Gateway>>,
    arguments: cli::Verify,
    output: &Output,
) -> anyhow::Result<Status> {
    if (arguments.id.is_some() || arguments.receipt.is_some()) && arguments.what.len() > 1 {
        return Err(usage("`--id` and `--receipt` need exactly one file"));
    }
    if let Some(partner) = arguments.partner.as_deref().filter(|_| arguments.object) {
        return verify_object::run(&*connect()?, partner, &arguments.what, output).await;
    }
    let mut status = Status::Done;
    let mut gateway = None;
    for what in &arguments.what {
        let outcome = verify(what, &arguments, &connect, &mut gateway, output).await;
        output.note_failure(&mut status, outcome.with_context(|| format!("`{what}`")))?;
    }
    Ok(status)
}

async fn verify(
    what: &str,
    arguments: &cli::Verify,
    connect: &impl Fn() -> anyhow::Result<Arc<Gateway>>,
    gateway: &mut Option<Arc<Gateway>>,
    output: &Output,
) -> anyhow::Result<()> {
    let path = Path::new(what);
    let is_file = path.is_file();
    if let Some(saved) = &arguments.receipt {
        let receipts = read_receipts(saved)?;
        let local = hash(path).await?;
        let receipt = match <[Receipt; 1]>::try_from(receipts) {
            Ok([only]) => only,
            Err(several) => pick(&local, several)?,
        };
        return compare(&local, &receipt, output);
    }
    if !is_file && (arguments.id.is_some() || !is_id(what)) {
        return Err(not_found("no such file"));
    }
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => gateway.insert(connect()?),
    };
    if !is_file {
        return verify_stored(gateway, what, arguments.transfer, output).await;
    }
    let local = hash(path).await?;
    let receipt = match &arguments.id {
        Some(id) => gateway.upload(id).await?,
        None => find(gateway, &local, arguments).await?,
    };
    compare(&local, &receipt, output)
}

fn is_id(what: &str) -> bool {
    !what.is_empty() && names::plain_id(what) == what
}

pub(super) async fn hash(path: &Path) -> anyhow::Result<Local<'_>> {
    if !path.is_file() {
        return Err(not_found("no such file"));
    }
    let owned = path.to_owned();
    let sums = tokio::task::spawn_blocking(move || checksum::sums_of(&owned)).await?;
    Ok(Local { path, sums: sums.with_context(|| format!("cannot read `{}`", path.display()))? })
}

/// Reads at least one saved receipt.
fn read_receipts(path: &Path) -> anyhow::Result<Vec<Receipt>> {
    let shown = path.display();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_found(format!("`{shown}`: no such file")));
        }
        Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
    };
    let receipts = saved_receipts::parse(&String::from_utf8_lossy(&text));
    if receipts.is_empty() {
        return Err(usage(format!(
            "`{shown}` contains no receipt: expected JSON, or the text that curl printed"
        )));
    }
    Ok(receipts)
}

/// Searches the gateway's receipts.
async fn find(gateway: &Gateway, local: &Local<'_>, arguments: &cli::Verify) -> anyhow::Result<Receipt> {
    let filter =
        Filter { ticket: arguments.ticket.clone(), partner: arguments.partner.clone(), ..Filter::default() };
    pick(local, gateway.all_uploads(&filter).await?)
}

/// The receipt with the file's digest, else the newest of its name.
fn pick(local: &Local<'_>, receipts: Vec<Receipt>) -> anyhow::Result<Receipt> {
    let proof = (local.sums.size_bytes, local.sums.sha256.as_str());
    if let Some(same) = receipts.iter().find(|receipt| receipt.proof() == Some(proof)) {
        return Ok(same.clone());
    }
    receipts
        .into_iter()
        .filter(|receipt| receipt.proof().is_some() && has_name(local.path, receipt))
        .max_by(|a, b| a.received_at.cmp(&b.received_at))
        .ok_or_else(|| {
            not_found("No receipt matches this file's digest or name. Run `wb ls`, and name the upload with `--id`.")
        })
}

/// Whether the file has the name that `wb get` gives it, numbered or not.
fn has_name(path: &Path, receipt: &Receipt) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let expected = names::local_name(&receipt.name, &receipt.id);
    (1..=9).any(|number| names::numbered(&expected, number) == name)
}

fn compare(local: &Local<'_>, receipt: &Receipt, output: &Output) -> anyhow::Result<()> {
    let Some(proof) = receipt.proof() else {
        return Err(not_found(format!("upload {} is not complete, so it has no digest yet", receipt.id)));
    };
    let verified = proof.0 == local.sums.size_bytes && proof.1.eq_ignore_ascii_case(&local.sums.sha256);
    report(receipt, Some(local.path), verified, output)?;
    if verified {
        return Ok(());
    }
    let (size_bytes, sha256) = proof;
    Err(mismatch(format!(
        "integrity mismatch with upload {}: the receipt says {size_bytes} bytes, SHA-256 {sha256}; the file has {} bytes, SHA-256 {}",
        receipt.id, local.sums.size_bytes, local.sums.sha256
    )))
}

async fn verify_stored(
    gateway: &Arc<Gateway>,
    id: &str,
    transfer: cli::Transfer,
    output: &Output,
) -> anyhow::Result<()> {
    let receipt = gateway.upload(id).await?;
    let item = Item::of_upload(gateway, &receipt, transfer.via_gateway)?;
    let fetched = download::fetch(&item, transfer.parallel, Sink::Nothing, output).await;
    match fetched {
        Ok(_) => report(&receipt, None, true, output),
        Err(error) if status_of(&error) == Status::Mismatch => {
            report(&receipt, None, false, output)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Prints the result. A mismatch is printed only as JSON; people see the error.
fn report(receipt: &Receipt, path: Option<&Path>, verified: bool, output: &Output) -> anyhow::Result<()> {
    let same_name = path.is_none_or(|path| has_name(path, receipt));
    if output.is_json() {
        let mut object = serde_json::to_value(receipt)?;
        object["verified"] = Value::Bool(verified);
        if let Some(path) = path {
            object["path"] = Value::String(path.to_string_lossy().into_owned());
            object["same_name"] = Value::Bool(same_name);
        }
        return output.object(&object);
    }
    if !verified {
        return Ok(());
    }
    let what = path.map_or_else(|| "stored bytes".to_owned(), |path| path.display().to_string());
    let (size, sha256) =
        receipt.proof().map_or_else(Default::default, |(size, sha)| (output::size(size), sha));
    let ticket = receipt.ticket.as_deref().map(|ticket| format!(", ticket {ticket}")).unwrap_or_default();
    let name = if same_name { "`" } else { "which arrived under another name: `" };
    let (id, named) = (&receipt.id, &receipt.name);
    output.line(&format!("{what}  {size}  sha256 {sha256} verified, upload {id}{ticket}, {name}{named}`"))
}
