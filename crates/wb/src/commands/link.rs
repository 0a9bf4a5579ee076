//! `wb link`: a link's URL alone goes to standard output, so that it can be pasted or captured.

use serde_json::json;

use super::note_failure;
use crate::{
    api::Api,
    cli::{self, Right},
    failure::Status,
    output::Output,
    receipt::LinkRequest,
};

pub(crate) async fn run(api: &Api, arguments: cli::Link, output: &Output) -> anyhow::Result<Status> {
    match arguments {
        cli::Link::Create(arguments) => create(api, arguments, output).await,
        cli::Link::Revoke { ids } => revoke(api, &ids, output).await,
    }
}

async fn create(api: &Api, arguments: cli::LinkCreate, output: &Output) -> anyhow::Result<Status> {
    let mut rights = vec![Right::Upload.name()];
    for right in arguments.rights {
        if !rights.contains(&right.name()) {
            rights.push(right.name());
        }
    }
    let request = LinkRequest {
        partner: arguments.partner,
        ticket: arguments.ticket,
        rights,
        expires_in_s: arguments.expires,
        max_bytes: arguments.max_bytes,
        max_open: arguments.max_open,
        max_unfinished_bytes: arguments.max_unfinished_bytes,
        max_requests_per_minute: arguments.max_requests_per_minute,
    };
    let link = api.create_link(&request).await?;
    if output.is_json() {
        output.object(&link)?;
        return Ok(Status::Done);
    }
    output.line(&link.url)?;
    if let Some(warning) = link.extra.get("warning").and_then(|warning| warning.as_str()) {
        output.warn(warning);
    }
    let partner = link.partner.as_deref().unwrap_or(&request.partner);
    let ticket =
        link.ticket.as_deref().map_or_else(|| "any ticket".to_owned(), |ticket| format!("ticket {ticket}"));
    let expires = link.expires_at.as_deref().unwrap_or("never");
    let rights = link.rights.join(", ");
    output.note(&format!("link {} for {partner}, {ticket}; rights: {rights}; expires: {expires}", link.id));
    Ok(Status::Done)
}

async fn revoke(api: &Api, ids: &[String], output: &Output) -> anyhow::Result<Status> {
    let mut status = Status::Done;
    for id in ids {
        let outcome = match api.revoke_link(id).await {
            Err(error) => Err(error),
            Ok(()) if output.is_json() => output.object(&json!({"id": id, "revoked": true})),
            Ok(()) => {
                output.note(&format!("revoked {id}"));
                Ok(())
            }
        };
        note_failure(&mut status, outcome, output)?;
    }
    Ok(status)
}
