//! `wb get`: shows the notes about the partners, then downloads files by ID or by ticket.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use api::Receipt;

use super::{download_to_disk, notes};
use crate::cli;
use crate::exit::{Status, not_found};
use crate::gateway::client::{Filter, Gateway};
use crate::item::Item;
use crate::output::Output;

pub(crate) async fn run(
    gateway: &Arc<Gateway>,
    arguments: cli::Get,
    output: &Output,
) -> anyhow::Result<Status> {
    download_to_disk::check(&arguments, output)?;
    let mut status = Status::Done;
    let mut receipts = Vec::new();
    for what in &arguments.what {
        let found = resolve(gateway, what, output).await.map(|found| receipts.extend(found));
        output.note_failure(&mut status, found)?;
    }
    let mut seen = HashSet::new();
    receipts.retain(|receipt| seen.insert(receipt.id.clone()));
    let partners: BTreeSet<_> = receipts.iter().filter_map(|receipt| receipt.partner.as_deref()).collect();
    for partner in partners {
        notes::show(gateway, Some(partner), output).await;
    }
    let files = receipts.into_iter().map(|receipt| download_to_disk::Request {
        label: receipt.id.clone(),
        name: receipt.name.clone(),
        what: receipt,
    });
    let prepare = async |receipt: Receipt| Item::of_upload(gateway, &receipt, arguments.transfer.via_gateway);
    download_to_disk::all(files.collect(), prepare, &arguments, status, output).await
}

/// The receipts that an argument means. An upload ID is longer than any ticket number.
async fn resolve(gateway: &Gateway, what: &str, output: &Output) -> anyhow::Result<Vec<Receipt>> {
    if !is_ticket(what) {
        return Ok(vec![gateway.upload(what).await?]);
    }
    let filter = Filter { ticket: Some(what.to_owned()), ..Filter::default() };
    let (complete, open): (Vec<_>, Vec<_>) =
        gateway.all_uploads(&filter).await?.into_iter().partition(|receipt| receipt.proof().is_some());
    if !open.is_empty() {
        let skipped = match open.len() {
            1 => "1 upload that is not complete".to_owned(),
            count => format!("{count} uploads that are not complete"),
        };
        output.note(&format!("ticket {what}: skipped {skipped}"));
    }
    if complete.is_empty() {
        return Err(not_found(format!(
            "Ticket {what} has no files. Run `wb ls --ticket {what} --state open` to list incomplete uploads."
        )));
    }
    Ok(complete)
}

fn is_ticket(what: &str) -> bool {
    what.len() <= 20 && what.bytes().all(|byte| byte.is_ascii_digit())
}
