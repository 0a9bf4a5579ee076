//! `wb ls`: uploads as a table, or each receipt as the gateway gave it.

use super::cell;
use crate::{
    api::{Api, Filter, next_cursor},
    cli,
    failure::{Status, not_found},
    output::Output,
    receipt::Receipt,
};

const HEADINGS: [&str; 8] =
    ["ID", "NAME", "SIZE", "TICKET", "PARTNER", "DESTINATION", "DELIVERY", "RECEIVED"];

/// The headings; a long list says the digest, too.
pub(super) fn headings(long: bool) -> Vec<&'static str> {
    HEADINGS.into_iter().chain(long.then_some("SHA256")).collect()
}

pub(crate) async fn run(api: &Api, arguments: cli::Ls, output: &Output) -> anyhow::Result<Status> {
    let filter = Filter {
        ticket: arguments.ticket,
        partner: arguments.partner,
        since: arguments.since.map(|time| time.to_string()),
        until: arguments.until.map(|time| time.to_string()),
        state: arguments.state,
    };
    if output.is_json() {
        if print_json(api, &filter, output).await? == 0 {
            check_partner(api, &filter).await?;
        }
        return Ok(Status::Done);
    }
    let uploads = api.all_uploads(&filter).await?;
    if uploads.is_empty() {
        check_partner(api, &filter).await?;
        output.note("no uploads match");
        return Ok(Status::Done);
    }
    let rows: Vec<_> = uploads.iter().map(|receipt| row(receipt, arguments.long)).collect();
    output.table(&headings(arguments.long), &rows)?;
    Ok(Status::Done)
}

/// Nothing of a partner that does not exist is no empty list: most likely its name is mistyped.
async fn check_partner(api: &Api, filter: &Filter) -> anyhow::Result<()> {
    let Some(wanted) = &filter.partner else { return Ok(()) };
    if api.partners().await?.iter().any(|partner| partner.id == *wanted) {
        return Ok(());
    }
    Err(not_found(format!("no partner has the id `{wanted}`; `wb partner` lists those there are")))
}

/// Page by page, so that a reader sees the first lines of a long list at once. Returns how many there are.
async fn print_json(api: &Api, filter: &Filter, output: &Output) -> anyhow::Result<usize> {
    let (mut cursor, mut count) = (None, 0);
    loop {
        let page = api.uploads(filter, cursor.as_deref()).await?;
        count += page.uploads.len();
        page.uploads.iter().try_for_each(|receipt| output.object(receipt))?;
        cursor = next_cursor(cursor.as_deref(), page.next_cursor)?;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

fn row(receipt: &Receipt, long: bool) -> Vec<String> {
    let mut row = vec![
        receipt.id.clone(),
        receipt.name.clone(),
        receipt.shown_size(),
        cell(receipt.ticket.as_deref()),
        cell(receipt.partner.as_deref()),
        cell(receipt.destination.as_deref()),
        // An open upload has no delivery yet; its state says more than a dash.
        cell(receipt.delivery.as_deref().or_else(|| receipt.state())),
        cell(receipt.received_at.as_deref()),
    ];
    row.extend(long.then(|| cell(receipt.sha256.as_deref())));
    row
}
