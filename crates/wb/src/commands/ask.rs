//! `wb ask`: asks for files on a ticket, lists what it waits for, or no longer asks for something.

use api::Ask;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::{Output, cell};

pub(crate) async fn run(gateway: &Gateway, arguments: &cli::Ask, output: &Output) -> anyhow::Result<Status> {
    // As `wb ls` accepts it.
    let ticket = arguments.ticket.trim_start_matches('#');
    if !arguments.withdraw.is_empty() {
        let withdraw = async |id: &str| gateway.withdraw_ask(ticket, id).await;
        return output.each(&arguments.withdraw, "withdrawn", withdraw).await;
    }
    let asks = match arguments.wanted.as_slice() {
        [] => gateway.asks(ticket).await?,
        wanted => gateway.ask(ticket, wanted).await?,
    };
    print(&asks, output)?;
    Ok(Status::Done)
}

fn print(asks: &[Ask], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return asks.iter().try_for_each(|ask| output.object(ask));
    }
    if asks.is_empty() {
        output.note("nothing is asked for on this ticket");
        return Ok(());
    }
    let row = |ask: &Ask| {
        let state = if ask.upload_id.is_some() { "arrived" } else { "missing" };
        vec![
            ask.id.clone(),
            ask.wanted.clone(),
            state.to_owned(),
            cell(ask.upload_id.as_deref()),
            cell(ask.created_at.as_deref()),
        ]
    };
    let rows: Vec<_> = asks.iter().map(row).collect();
    output.table(&["ID", "WANTED", "STATE", "UPLOAD", "ASKED"], &rows)
}

/// Says what a ticket waits for, if a person reads along. Never fails a listing.
pub(super) async fn note_missing(gateway: &Gateway, ticket: Option<&str>, output: &Output) {
    let Some(ticket) = ticket.filter(|_| output.is_for_people()) else { return };
    let Ok(asks) = gateway.asks(ticket.trim_start_matches('#')).await else { return };
    let missing: Vec<_> =
        asks.iter().filter(|ask| ask.upload_id.is_none()).map(|ask| ask.wanted.as_str()).collect();
    if !missing.is_empty() {
        output.note(&format!("asked for and missing: {}", missing.join("; ")));
    }
}
