//! `wb audit`: who did what, and when. Pages are printed as they come.

use api::AuditEntry;

use crate::cli;
use crate::exit::Status;
use crate::gateway::audit::Filter;
use crate::gateway::client::{Gateway, next_cursor};
use crate::output::{Output, Rows, cell};

const HEADINGS: [&str; 6] = ["AT", "WHO", "WHAT", "ABOUT", "TICKET", "DETAIL"];

pub(crate) async fn run(gateway: &Gateway, arguments: cli::Audit, output: &Output) -> anyhow::Result<Status> {
    let cli::Audit { ticket, partner, since } = arguments;
    // As `wb ls` accepts it. The gateway compares the number alone.
    let ticket = ticket.map(|ticket| ticket.trim_start_matches('#').to_owned());
    let filter = Filter { ticket, partner, since: since.map(|time| time.to_string()) };
    let (mut rows, mut cursor, mut is_empty) = (Rows::new(&HEADINGS), None, true);
    loop {
        let page = gateway.audit(&filter, cursor.as_deref()).await?;
        is_empty &= page.entries.is_empty();
        if output.is_json() {
            page.entries.iter().try_for_each(|entry| output.object(entry))?;
        } else {
            rows.print(&page.entries.iter().map(row).collect::<Vec<_>>())?;
        }
        cursor = next_cursor(cursor.as_deref(), page.next_cursor)?;
        if cursor.is_none() {
            break;
        }
    }
    if is_empty {
        output.note("no entries found");
    }
    Ok(Status::Done)
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let who = entry.actor_name.as_deref().or(Some(&entry.actor));
    // Seconds are enough for people.
    let at =
        entry.at.as_deref().map(|at| at.split_once('.').map_or(at.to_owned(), |(at, _)| format!("{at}Z")));
    vec![
        cell(at.as_deref()),
        cell(who),
        cell(Some(&entry.action)),
        cell(Some(&entry.subject)),
        cell(entry.ticket.as_deref()),
        cell(Some(&entry.detail)),
    ]
}
