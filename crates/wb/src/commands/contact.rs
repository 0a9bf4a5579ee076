//! `wb contact`: lists, adds and disables the people of a partner who may open tickets.

use api::Contact;
use serde_json::json;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::{Output, cell};

pub(crate) async fn run(
    gateway: &Gateway,
    arguments: &cli::Contact,
    output: &Output,
) -> anyhow::Result<Status> {
    match arguments {
        cli::Contact::List { partner } => list(gateway, partner, output).await?,
        cli::Contact::Add(arguments) => add(gateway, arguments, output).await?,
        cli::Contact::Disable { partner, ids } => {
            return output.each(ids, "disabled", async |id| gateway.disable_contact(partner, id).await).await;
        }
    }
    Ok(Status::Done)
}

async fn list(gateway: &Gateway, partner: &str, output: &Output) -> anyhow::Result<()> {
    let contacts = gateway.contacts(partner).await?;
    if output.is_json() {
        return contacts.iter().try_for_each(|contact| output.object(contact));
    }
    if contacts.is_empty() {
        output.note("no contacts");
        return Ok(());
    }
    let rows: Vec<_> = contacts.iter().map(row).collect();
    output.table(&["ID", "NAME", "EMAIL", "SLACK", "DISABLED"], &rows)
}

fn row(contact: &Contact) -> Vec<String> {
    vec![
        contact.id.clone(),
        cell(Some(&contact.name)),
        cell(Some(&contact.email)),
        cell(contact.slack_user_id.as_deref()),
        cell(contact.disabled_at.as_deref()),
    ]
}

async fn add(gateway: &Gateway, arguments: &cli::ContactAdd, output: &Output) -> anyhow::Result<()> {
    let mut body = json!({"name": arguments.name, "email": arguments.email});
    if let Some(slack_user_id) = &arguments.slack_user_id {
        body["slack_user_id"] = slack_user_id.as_str().into();
    }
    let contact = gateway.add_contact(&arguments.partner, &body).await?;
    if output.is_json() {
        return output.object(&contact);
    }
    output.line(&format!("{}  {}  {}", contact.id, contact.name, contact.email))
}
