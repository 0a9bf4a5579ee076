//! `partner check`: what an operator still has to arrange before a partner's first ticket and file.

use std::process::ExitCode;

use anyhow::Context as _;
use desk::Desk;
use ledger::{Ledger, Partner};
use tickets::Missing;

use crate::config::Config;
use crate::output::say;
use crate::startup;

/// Prints a line for each thing. Exit code 1 if something is missing.
pub(super) async fn run(id: &str, ledger: &Ledger, config: &Config) -> anyhow::Result<ExitCode> {
    let partner = match ledger.partner(id).await {
        Err(ledger::Error::NotFound) => {
            anyhow::bail!("no partner is called `{id}`: add it to the configuration, or with `partner add`")
        }
        partner => partner?,
    };
    let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
    let mut lines = vec![organization(&partner, &desk).await];
    lines.extend(contacts(&partner, ledger, &desk, config).await?);
    lines.push(bucket(&partner, config).await);
    lines.extend(slack(&partner, config));
    lines.push(ask(&partner, config));
    let mut code = ExitCode::SUCCESS;
    for line in lines {
        match line {
            Ok(what) => say(&format!("ok       {what}"))?,
            Err(what) => {
                code = ExitCode::FAILURE;
                say(&format!("missing  {what}"))?;
            }
        }
    }
    Ok(code)
}

/// What is arranged, or what is missing and how to arrange it.
type Line = Result<String, String>;

async fn organization(partner: &Partner, desk: &Desk) -> Line {
    let Some(id) = partner.organization_id.and_then(|id| u64::try_from(id).ok()) else {
        return Err(format!(
            "organisation: set `organization_id` in `[partners.{id}]`, or with `weighbridge partner add {id} --organization-id N`",
            id = partner.id
        ));
    };
    match desk.organization(id).await {
        Ok(found) => Ok(format!("organisation: {} ({id})", found.name.escape_debug())),
        Err(desk::Error::NotFound) => Err(format!("organisation: the desk has none with the id {id}")),
        Err(error) => Err(format!("organisation: {error}")),
    }
}

async fn contacts(
    partner: &Partner,
    ledger: &Ledger,
    desk: &Desk,
    config: &Config,
) -> anyhow::Result<Vec<Line>> {
    let tickets = startup::tickets(config, ledger, desk);
    let contacts = ledger.contacts(Some(&partner.id)).await?;
    let mut lines = Vec::new();
    for contact in contacts.iter().filter(|contact| contact.disabled_at.is_none()) {
        let email = contact.email.escape_debug();
        lines.push(match tickets.missing(partner, contact).await {
            Ok(None) => Ok(format!("contact: {email}")),
            Ok(Some(Missing::User)) => Err(format!("contact: the desk has no active user {email}; add one")),
            Ok(Some(Missing::Membership)) => Err(format!(
                "contact: {email} is not a member of the organisation; add the membership in the desk"
            )),
            Ok(Some(Missing::Organization | Missing::Contact)) => {
                Err(format!("contact: {email} cannot be checked without an organisation"))
            }
            Err(error) => Err(format!("contact: {email} was not checked: {error}")),
        });
    }
    if lines.is_empty() {
        lines.push(Err(format!(
            "contact: add one with `weighbridge contact add --partner {} --name NAME --email ADDRESS`",
            partner.id
        )));
    }
    Ok(lines)
}

async fn bucket(partner: &Partner, config: &Config) -> Line {
    let buckets = startup::open_buckets(config).await;
    let (name, bucket) = buckets.of_partner(&partner.id);
    match bucket.probe().await {
        Ok(()) if name == partner.id => Ok(format!("bucket: its own, {}", bucket.name())),
        Ok(()) => Ok(format!("bucket: none of its own; large files go to {}", bucket.name())),
        Err(error) => Err(format!("bucket: {} does not answer: {error}", bucket.name())),
    }
}

fn slack(partner: &Partner, config: &Config) -> Vec<Line> {
    let channel = config.partners.get(&partner.id).and_then(|known| known.policy.slack_channel.as_deref());
    vec![match (&config.slack, channel) {
        (None, _) => Ok("Slack: not set up, so escalations reach the ticket alone".into()),
        (Some(_), None) => Err(format!("Slack: set `slack_channel` in `[partners.{}]`", partner.id)),
        (Some(_), Some(channel)) => Ok(format!("Slack: channel {channel}")),
    }]
}

fn ask(partner: &Partner, config: &Config) -> Line {
    let own = config.partners.get(&partner.id).and_then(|known| known.policy.ask.as_deref());
    match own.or(config.support.ask.as_deref()) {
        Some(ask) => Ok(format!("whom to ask: {}", ask.escape_debug())),
        None => Err(format!("whom to ask: set `ask` in `[partners.{}]` or in `[support]`", partner.id)),
    }
}
