//! `wb ls`: lists uploads as a table below the notes about their partner, or as the gateway's receipts.

use api::Receipt;

use super::{ask, notes};
use crate::cli;
use crate::exit::Status;
use crate::gateway::client::{Filter, Gateway, next_cursor};
use crate::output::{Output, cell, upload_size};

const HEADINGS: [&str; 8] =
    ["ID", "NAME", "SIZE", "TICKET", "PARTNER", "DESTINATION", "DELIVERY", "RECEIVED"];

pub(super) fn headings(long: bool) -> Vec<&'static str> {
    HEADINGS.into_iter().chain(long.then_some("SHA256")).collect()
}

pub(crate) async fn run(gateway: &Gateway, arguments: cli::Ls, output: &Output) -> anyhow::Result<Status> {
    let filter = Filter {
        ticket: arguments.ticket,
        partner: arguments.partner,
        since: arguments.since.map(|time| time.to_string()),
        until: arguments.until.map(|time| time.to_string()),
        state: arguments.state,
    };
    if output.is_json() {
        if print_json(gateway, &filter, output).await? == 0 {
            gateway.check_partner(filter.partner.as_deref()).await?;
        }
        return Ok(Status::Done);
    }
    let uploads = gateway.all_uploads(&filter).await?;
    ask::note_missing(gateway, filter.ticket.as_deref(), output).await;
    if uploads.is_empty() {
        gateway.check_partner(filter.partner.as_deref()).await?;
        notes::show(gateway, filter.partner.as_deref(), output).await;
        output.note("no uploads found");
        return Ok(Status::Done);
    }
    if filter.partner.is_some() || filter.ticket.is_some() {
        notes::show(gateway, only_partner(&uploads), output).await;
    }
    let rows: Vec<_> = uploads.iter().map(|receipt| row(receipt, arguments.long)).collect();
    output.table(&headings(arguments.long), &rows)?;
    Ok(Status::Done)
}

/// The partner that all uploads belong to.
fn only_partner(uploads: &[Receipt]) -> Option<&str> {
    let first = uploads.first()?.partner.as_deref()?;
    uploads.iter().all(|receipt| receipt.partner.as_deref() == Some(first)).then_some(first)
}

/// Prints page by page, so that the first lines of a long list appear at once. Returns their number.
async fn print_json(gateway: &Gateway, filter: &Filter, output: &Output) -> anyhow::Result<usize> {
    let (mut cursor, mut count) = (None, 0);
    loop {
        let page = gateway.uploads(filter, cursor.as_deref()).await?;
        count += page.uploads.len();
        page.uploads.iter().try_for_each(|receipt| output.object(receipt))?;
        cursor = next_cursor(cursor.as_deref(), page.next_cursor)?;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

fn row(receipt: &Receipt, long: bool) -> Vec<String> {
    let state = receipt.progress.as_ref().map(|progress| progress.state.as_str());
    let mut row = vec![
        receipt.id.clone(),
        receipt.name.clone(),
        upload_size(receipt),
        cell(receipt.ticket.as_deref()),
        cell(receipt.partner.as_deref()),
        cell(receipt.destination.as_deref()),
        // An incomplete upload has no delivery yet, so its state is shown.
        cell(receipt.delivery.as_deref().or(state)),
        cell(receipt.received_at.as_deref()),
    ];
    row.extend(long.then(|| cell(receipt.sha256.as_deref())));
    row
}
