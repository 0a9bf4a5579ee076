//! `wb get`: files by id or by ticket. Nothing unverified ever gets its name.

use std::{collections::HashSet, sync::Arc};

use super::{note_failure, save};
use crate::{
    api::{self, Api, Filter},
    cli,
    failure::{Status, not_found},
    output::Output,
    receipt::Receipt,
};

pub(crate) async fn run(api: &Arc<Api>, arguments: cli::Get, output: &Output) -> anyhow::Result<Status> {
    save::check(&arguments, output)?;
    let mut status = Status::Done;
    let mut receipts = Vec::new();
    for what in &arguments.what {
        let found = resolve(api, what, output).await.map(|found| receipts.extend(found));
        note_failure(&mut status, found, output)?;
    }
    let mut seen = HashSet::new();
    receipts.retain(|receipt| seen.insert(receipt.id.clone()));
    let files = receipts.into_iter().map(|receipt| save::File {
        label: receipt.id.clone(),
        name: receipt.name.clone(),
        what: receipt,
    });
    let prepare = async |receipt: Receipt| api::item(api, &receipt, arguments.transfer.via_gateway);
    save::all(files.collect(), prepare, &arguments, status, output).await
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

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
