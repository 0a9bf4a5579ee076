//! `wb link`: creates, lists, renews and revokes upload links. Only the URL goes to standard output, so that it can be captured.

use api::{Link, LinkRequest};

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::{Output, cell};

pub(crate) async fn run(gateway: &Gateway, arguments: cli::Link, output: &Output) -> anyhow::Result<Status> {
    match arguments {
        cli::Link::Create(arguments) => create(gateway, arguments, output).await,
        cli::Link::List { partner, ticket } => {
            // As `wb ls` accepts it.
            let ticket = ticket.map(|ticket| ticket.trim_start_matches('#').to_owned());
            list(gateway, partner.as_deref(), ticket.as_deref(), output).await
        }
        cli::Link::Renew { ids, expires } => {
            let mut status = Status::Done;
            for id in &ids {
                let renewed = gateway.renew_link(id, expires).await.and_then(|link| print(&link, output));
                output.note_failure(&mut status, renewed)?;
            }
            Ok(status)
        }
        cli::Link::Revoke { ids } => {
            output.each(&ids, "revoked", async |id| gateway.revoke_link(id).await).await
        }
    }
}

fn print(link: &Link, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(link);
    }
    output.line(&format!(
        "{}  works until {}",
        link.id,
        link.expires_at.as_deref().unwrap_or("it is revoked")
    ))
}

async fn list(
    gateway: &Gateway,
    partner: Option<&str>,
    ticket: Option<&str>,
    output: &Output,
) -> anyhow::Result<Status> {
    let mut links = gateway.links(partner).await?;
    links.retain(|link| ticket.is_none() || link.ticket.as_deref() == ticket);
    if output.is_json() {
        links.iter().try_for_each(|link| output.object(link))?;
    } else if links.is_empty() {
        output.note("no links found");
    } else {
        let rows: Vec<_> = links.iter().map(row).collect();
        output.table(&["ID", "PARTNER", "TICKET", "RIGHTS", "EXPIRES", "CREATED BY"], &rows)?;
    }
    Ok(Status::Done)
}

fn row(link: &Link) -> Vec<String> {
    let expires = match &link.revoked_at {
        Some(_) => "revoked".to_owned(),
        None => link.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
    };
    vec![
        link.id.clone(),
        cell(link.partner.as_deref()),
        cell(link.ticket.as_deref()),
        link.rights.join(","),
        expires,
        cell(link.created_by.as_deref()),
    ]
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
