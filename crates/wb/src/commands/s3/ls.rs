//! `wb --s3 … ls`: lists a bucket, page by page, so that its size does not matter.
//! Receipts are read only if their content is needed: without them, a bucket of 20,000 files takes 20 requests.

use api::Receipt;
use bucket::layout;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::cli;
use crate::commands::ls::headings;
use crate::exit::{Status, usage};
use crate::output::{self, Output, Rows, cell};
use crate::s3::entry::Entry;
use crate::s3::store::Store;

/// Receipts to read at a time; each is below 2 kB.
const RECEIPTS_IN_FLIGHT: usize = 32;

pub(super) async fn run(store: &Store, arguments: cli::Ls, output: &Output) -> anyhow::Result<Status> {
    let under = match arguments.ticket.as_deref() {
        Some(ticket) if ticket.is_empty() || ticket.contains('/') => {
            return Err(usage(format!("`{ticket}` is not a ticket number")));
        }
        Some(ticket) => layout::ticket_prefix(store.prefix(), ticket),
        None => store.prefix().to_owned(),
    };
    let reads_receipts = arguments.long
        || arguments.ticket.is_some()
        || arguments.partner.is_some()
        || arguments.state.is_some();
    let mut rows = Rows::new(&headings(arguments.long));
    let mut is_empty = true;
    let mut listing = store.listing(under.clone());
    while let Some(page) = listing.page().await? {
        let files: Vec<(Entry, Option<Receipt>)> =
            stream::iter(page.into_iter().filter(|e| in_time(e, &arguments)))
                .map(async |mut entry| {
                    let receipt =
                        if reads_receipts { store.receipt(&mut entry, output).await? } else { None };
                    anyhow::Ok((entry, receipt))
                })
                .buffered(RECEIPTS_IN_FLIGHT)
                .try_filter(|(entry, receipt)| {
                    std::future::ready(matches(entry, receipt.as_ref(), &arguments))
                })
                .try_collect()
                .await?;
        is_empty &= files.is_empty();
        if output.is_json() {
            files.iter().try_for_each(|(entry, receipt)| output.object(&entry.facts(receipt.as_ref())?))?;
        } else {
            let page: Vec<_> =
                files.iter().map(|(entry, receipt)| row(entry, receipt.as_ref(), &arguments)).collect();
            rows.print(&page)?;
        }
    }
    if is_empty {
        output.note(&format!("no files found under `s3://{}/{under}`", store.name()));
    }
    Ok(Status::Done)
}

/// Compares the time of the object, which is known without its receipt.
fn in_time(entry: &Entry, arguments: &cli::Ls) -> bool {
    arguments.since.is_none_or(|since| entry.last_modified >= since)
        && arguments.until.is_none_or(|until| entry.last_modified <= until)
}

fn matches(entry: &Entry, receipt: Option<&Receipt>, arguments: &cli::Ls) -> bool {
    let partner = receipt.and_then(|receipt| receipt.partner.as_deref());
    arguments.partner.as_deref().is_none_or(|wanted| partner == Some(wanted))
        && arguments.state.as_deref().is_none_or(|wanted| state(entry, receipt) == Some(wanted))
}

/// `None` if there is a receipt that was not read.
fn state<'a>(entry: &Entry, receipt: Option<&'a Receipt>) -> Option<&'a str> {
    if !entry.has_valid_receipt(receipt) {
        return Some("unverified");
    }
    receipt?.delivery.as_deref()
}

fn row(entry: &Entry, receipt: Option<&Receipt>, arguments: &cli::Ls) -> Vec<String> {
    let key = entry.file_key();
    let received = receipt.and_then(|receipt| receipt.received_at.clone());
    let mut row = vec![
        cell(key.map(|key| key.upload_id)),
        // An object without an ID is named by its key.
        key.map_or(entry.key.as_str(), |key| key.name).to_owned(),
        output::size(entry.size_bytes),
        cell(key.map(|key| key.ticket)),
        cell(receipt.and_then(|receipt| receipt.partner.as_deref())),
        cell(receipt.and_then(|receipt| receipt.destination.as_deref())),
        cell(state(entry, receipt)),
        received.unwrap_or_else(|| entry.last_modified.to_string()),
    ];
    row.extend(arguments.long.then(|| cell(receipt.and_then(|receipt| receipt.sha256.as_deref()))));
    row
}
