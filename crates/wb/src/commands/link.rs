//! `wb link`: creates and revokes upload links. Only the URL goes to standard output, so that it can be captured.

use api::LinkRequest;
use serde_json::json;

use crate::cli::{self, Right};
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::Output;

pub(crate) async fn run(gateway: &Gateway, arguments: cli::Link, output: &Output) -> anyhow::Result<Status> {
    match arguments {
        cli::Link::Create(arguments) => create(gateway, arguments, output).await,
        cli::Link::Revoke { ids } => revoke(gateway, &ids, output).await,
    }
}

async fn create(gateway: &Gateway, arguments: cli::LinkCreate, output: &Output) -> anyhow::Result<Status> {
    let mut rights = vec![Right::Upload.name().to_owned()];
    for right in arguments.rights.into_iter().map(Right::name) {
        if !rights.iter().any(|known| known == right) {
            rights.push(right.to_owned());
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
    let link = gateway.create_link(&request).await?;
    if output.is_json() {
        output.object(&link)?;
        return Ok(Status::Done);
    }
    output.line(&link.url)?;
    if let Some(warning) = &link.warning {
        output.warn(warning);
    }
    let link = link.link;
    let partner = link.partner.as_deref().unwrap_or(&request.partner);
    let ticket =
        link.ticket.as_deref().map_or_else(|| "any ticket".to_owned(), |ticket| format!("ticket {ticket}"));
    let expires = link.expires_at.as_deref().unwrap_or("never");
    let rights = link.rights.join(", ");
    output.note(&format!("link {} for {partner}, {ticket}; rights: {rights}; expires: {expires}", link.id));
    Ok(Status::Done)
}

async fn revoke(gateway: &Gateway, ids: &[String], output: &Output) -> anyhow::Result<Status> {
    let mut status = Status::Done;
    for id in ids {
        let outcome = match gateway.revoke_link(id).await {
            Err(error) => Err(error),
            Ok(()) if output.is_json() => output.object(&json!({"id": id, "revoked": true})),
            Ok(()) => {
                output.note(&format!("revoked {id}"));
                Ok(())
            }
        };
        output.note_failure(&mut status, outcome)?;
    }
    Ok(status)
}
