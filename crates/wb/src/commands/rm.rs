//! `wb rm`: shows what would go, asks once, then removes. Nothing is removed when one of the ids is unknown.

use serde_json::json;

use super::note_failure;
use crate::{
    api::Api,
    cli,
    failure::{Status, failed},
    output::Output,
};

pub(crate) async fn run(api: &Api, arguments: &cli::Rm, output: &Output) -> anyhow::Result<Status> {
    if !arguments.yes && !agreed(api, &arguments.ids, output).await? {
        return Err(failed("nothing was removed"));
    }
    let mut status = Status::Done;
    for id in &arguments.ids {
        let outcome = match api.remove_upload(id).await {
            Err(error) => Err(error),
            Ok(()) if output.is_json() => output.object(&json!({"id": id, "removed": true})),
            Ok(()) => {
                output.note(&format!("removed {id}"));
                Ok(())
            }
        };
        note_failure(&mut status, outcome, output)?;
    }
    Ok(status)
}

async fn agreed(api: &Api, ids: &[String], output: &Output) -> anyhow::Result<bool> {
    for id in ids {
        let receipt = api.upload(id).await?;
        let state = if receipt.size.is_some() { "" } else { ", not complete" };
        let size = format!("{}{state}", receipt.shown_size());
        let ticket = receipt.ticket.as_deref().unwrap_or("none");
        output.note(&format!("{}  {}  {size}  ticket {ticket}", receipt.id, receipt.name));
    }
    let question = match ids {
        [_] => "Remove this upload for good?".to_owned(),
        several => format!("Remove these {} uploads for good?", several.len()),
    };
    output.ask(&question)
}
