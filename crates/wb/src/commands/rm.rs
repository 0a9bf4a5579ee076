//! `wb rm`: shows the uploads, asks once, then removes them. If an ID is unknown, nothing is removed.

use crate::cli;
use crate::exit::{Status, failed};
use crate::gateway::client::Gateway;
use crate::output::{Output, upload_size};

pub(crate) async fn run(gateway: &Gateway, arguments: &cli::Rm, output: &Output) -> anyhow::Result<Status> {
    if !arguments.yes && !confirmed(gateway, &arguments.ids, output).await? {
        return Err(failed("nothing was removed"));
    }
    output.each(&arguments.ids, "removed", async |id| gateway.remove_upload(id).await).await
}

async fn confirmed(gateway: &Gateway, ids: &[String], output: &Output) -> anyhow::Result<bool> {
    for id in ids {
        let receipt = gateway.upload(id).await?;
        let state = if receipt.size.is_some() { "" } else { ", not complete" };
        let size = format!("{}{state}", upload_size(&receipt));
        let ticket = receipt.ticket.as_deref().unwrap_or("none");
        output.note(&format!("{}  {}  {size}  ticket {ticket}", receipt.id, receipt.name));
    }
    let question = match ids {
        [_] => "Remove this upload permanently?".to_owned(),
        several => format!("Remove these {} uploads permanently?", several.len()),
    };
    output.ask(&question)
}
