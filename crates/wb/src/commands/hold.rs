//! `wb hold`: keeps the files of a ticket until the hold is lifted.

use api::Hold;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::{Output, cell};

pub(crate) async fn run(gateway: &Gateway, arguments: &cli::Hold, output: &Output) -> anyhow::Result<Status> {
    match arguments {
        cli::Hold::Add { ticket, reason } => print(&gateway.set_hold(number(ticket), reason).await?, output)?,
        cli::Hold::Show { ticket } => print(&gateway.hold(number(ticket)).await?, output)?,
        cli::Hold::Lift { ticket } => {
            let tickets = [number(ticket).to_owned()];
            return output.each(&tickets, "lifted", async |ticket| gateway.lift_hold(ticket).await).await;
        }
    }
    Ok(Status::Done)
}

/// As `wb ls` accepts it.
fn number(ticket: &str) -> &str {
    ticket.trim_start_matches('#')
}

fn print(hold: &Hold, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(hold);
    }
    let since = cell(hold.created_at.as_deref());
    output.line(&format!(
        "ticket {}  held since {since} by {}: {}",
        hold.ticket,
        cell(Some(&hold.created_by)),
        hold.reason
    ))
}
