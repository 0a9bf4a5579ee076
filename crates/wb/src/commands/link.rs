//! `wb link`: creates and revokes upload links. Only the URL goes to standard output, so that it can be captured.

use api::LinkRequest;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::Output;

pub(crate) async fn run(gateway: &Gateway, arguments: cli::Link, output: &Output) -> anyhow::Result<Status> {
    match arguments {
        cli::Link::Create(arguments) => create(gateway, arguments, output).await,
        cli::Link::Revoke { ids } => {
            output.each(&ids, "revoked", async |id| gateway.revoke_link(id).await).await
        }
    }
}

async fn create(gateway: &Gateway, arguments: cli::LinkCreate, output: &Output) -> anyhow::Result<Status> {
    let mut rights = vec!["upload".to_owned()];
    for right in arguments.rights {
        if !rights.contains(&right) {
            rights.push(right);
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
