//! Admin commands: partners, links, tokens, audit. They work on the ledger itself, also while the gateway runs.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use access::{LinkError, LinkMaker, is_partner_id};
use anyhow::{Context as _, bail};
use api::LinkRequest;
use clap::{Args, Subcommand};
use desk::Desk;
use ledger::{AuditFilter, Ledger, Token};
use serde_json::json;

use super::known::{known, name};
use super::{contact, partner_check, sweep};
use crate::config::{Config, parse_duration, parse_size};
use crate::output::{print, say};
use crate::startup;
use crate::to_api;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Manage organisations that send files.
    #[command(subcommand)]
    Partner(PartnerCommand),
    /// Manage people of partners.
    #[command(subcommand)]
    Contact(contact::ContactCommand),
    /// Manage upload links.
    #[command(subcommand)]
    Link(LinkCommand),
    /// Manage tokens of support staff.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Clear what ended uploads left in the buckets, and list objects that are not in this ledger.
    Sweep {
        /// Change nothing: only show what would be done.
        #[arg(long)]
        dry_run: bool,
        /// First restore complete uploads that are missing in this ledger, from the receipts beside them.
        #[arg(long)]
        adopt: bool,
    },
    /// Print the audit, oldest first, one JSON object per line.
    Audit(AuditArguments),
}

#[derive(Subcommand)]
pub(crate) enum PartnerCommand {
    /// Add a partner that uses the shared bucket, or rename it. Partners with a bucket are in the configuration.
    Add {
        /// Short name: lower-case letters, digits, `-`.
        id: String,
        /// Name for people.
        #[arg(long, value_parser = name)]
        name: Option<String>,
        /// The organisation's id in the desk.
        #[arg(long)]
        organization_id: Option<i64>,
    },
    /// List partners, one JSON object per line.
    List,
    /// Say what is still missing before a partner's first ticket and file.
    Check { id: String },
    /// Stop all links of a partner immediately.
    Disable { id: String },
    /// Let a partner's links work again.
    Enable { id: String },
}

#[derive(Subcommand)]
pub(crate) enum LinkCommand {
    /// Make an upload link and print its address, which is shown only once.
    Create(NewLink),
    /// List links, one JSON object per line.
    List {
        #[arg(long)]
        partner: Option<String>,
    },
    /// Let a link work for another life from now, at the same address.
    Renew {
        id: String,
        /// How long the link works, for example 48h or 7d.
        #[arg(long, value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Revoke a link immediately.
    Revoke { id: String },
}

#[derive(Args)]
pub(crate) struct NewLink {
    #[arg(long)]
    partner: String,
    /// Bind the link to a ticket. Otherwise each upload names its ticket.
    #[arg(long)]
    ticket: Option<String>,
    /// Rights besides `upload`: list, remove, open-ticket, escalate.
    #[arg(long, value_delimiter = ',')]
    rights: Vec<String>,
    /// How long the link works, for example 48h or 7d.
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Largest file, in bytes or for example 20GB.
    #[arg(long, value_parser = size)]
    max_bytes: Option<u64>,
    /// Most open uploads at a time.
    #[arg(long)]
    max_open: Option<u64>,
    /// Most bytes of unfinished uploads, in total.
    #[arg(long, value_parser = size)]
    max_unfinished_bytes: Option<u64>,
    /// Most requests per minute.
    #[arg(long)]
    max_requests_per_minute: Option<u64>,
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a staff member and print it. It is shown only once.
    Create {
        /// Name of the staff member.
        #[arg(long, value_parser = name)]
        name: String,
        /// How long the token works, for example 90d. Without this it never expires.
        #[arg(long, value_parser = duration)]
        expires: Option<Duration>,
    },
    /// List tokens, without the secrets, one JSON object per line.
    List,
    /// Revoke a token immediately.
    Revoke { id: String },
}

#[derive(Args)]
pub(crate) struct AuditArguments {
    /// Only entries about this: the id of an upload, a link or a token, or a partner's short name.
    #[arg(long)]
    subject: Option<String>,
    /// Only entries about this ticket.
    #[arg(long)]
    ticket: Option<String>,
    /// Only entries about this partner, its links and its uploads.
    #[arg(long)]
    partner: Option<String>,
    /// Only entries from this time on, RFC 3339.
    #[arg(long, value_parser = time)]
    since: Option<i64>,
}

/// Audit lines read at a time.
const AUDIT_PAGE: i64 = 1_000;

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text, "48h").map_err(|(what, fix)| format!("{what}; {}", fix.replace('"', "")))
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text, "20000000").map_err(|(what, fix)| format!("{what}; {}", fix.replace('"', "")))
}

fn time(text: &str) -> Result<i64, String> {
    ledger::parse_rfc3339(text).ok_or_else(|| "use a time such as 2026-11-22T00:00:00Z (RFC 3339)".to_owned())
}

pub(crate) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    let ledger = startup::open_ledger(config).await?;
    let code = match command {
        Command::Partner(command) => partner(command, &ledger, config).await?,
        Command::Contact(command) => contact::run(command, &ledger).await?,
        Command::Link(command) => link(command, &ledger, config).await?,
        Command::Token(command) => token(command, &ledger).await?,
        Command::Sweep { dry_run, adopt } => Box::pin(sweep::run(dry_run, adopt, &ledger, config)).await?,
        Command::Audit(arguments) => audit(arguments, &ledger).await?,
    };
    ledger.close().await;
    Ok(code)
}

async fn partner(command: PartnerCommand, ledger: &Ledger, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        PartnerCommand::Add { id, name, organization_id } => {
            if !is_partner_id(&id) || id == bucket::SUPPORT_UPLOADER {
                bail!("`{id}` is not a short name: use 1 to 63 lower-case letters, digits and `-`");
            }
            if config.partners.contains_key(&id) {
                bail!("`{id}` is in the configuration: change it there");
            }
            // Options that are not given stay as they are.
            let (known_name, known_organization) = match ledger.partner(&id).await {
                Ok(known) => (known.name, known.organization_id),
                Err(ledger::Error::NotFound) => (id.clone(), None),
                Err(error) => return Err(error.into()),
            };
            let name = name.unwrap_or(known_name);
            let partner = ledger.put_partner(&id, &name, organization_id.or(known_organization)).await?;
            ledger.record("operator", "partner.put", &id, &partner.name).await?;
            print(&to_api::partner(&partner, false))?;
        }
        PartnerCommand::List => {
            for partner in ledger.partners().await? {
                print(&to_api::partner(&partner, false))?;
            }
        }
        PartnerCommand::Check { id } => return partner_check::run(&id, ledger, config).await,
        PartnerCommand::Disable { id } => {
            known(ledger.set_partner_disabled(&id, Some(ledger::now_ms())).await, &id)?
        }
        PartnerCommand::Enable { id } => known(ledger.set_partner_disabled(&id, None).await, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn link(command: LinkCommand, ledger: &Ledger, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        LinkCommand::Create(new) => {
            let request = LinkRequest {
                partner: new.partner,
                ticket: new.ticket,
                rights: new.rights,
                expires_in_s: new.expires.map(|lasts| lasts.as_secs()),
                max_bytes: new.max_bytes,
                max_open: new.max_open,
                max_unfinished_bytes: new.max_unfinished_bytes,
                max_requests_per_minute: new.max_requests_per_minute,
            };
            create_link(&request, ledger, config).await?;
        }
        LinkCommand::List { partner } => {
            for link in ledger.links(partner.as_deref()).await? {
                print(&to_api::link(&link))?;
            }
        }
        LinkCommand::Renew { id, expires } => {
            let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
            let maker = LinkMaker { ledger, desk: &desk, default_expiry: config.limits.link_expiry };
            match maker.renew(&id, expires.map(|lasts| lasts.as_secs()), "operator").await {
                Err(LinkError::Ledger(error)) => known(Err(error), &id)?,
                renewed => print(&to_api::link(&renewed?))?,
            }
        }
        LinkCommand::Revoke { id } => known(ledger.revoke_link(&id, "operator").await, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Only the address goes to standard output, so that scripts can capture it.
async fn create_link(request: &LinkRequest, ledger: &Ledger, config: &Config) -> anyhow::Result<()> {
    let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
    let maker = LinkMaker { ledger, desk: &desk, default_expiry: config.limits.link_expiry };
    let made = maker.make(request, "operator").await?;
    if let Some(warning) = made.warning {
        writeln!(std::io::stderr(), "weighbridge: warning: {warning}")?;
    }
    let base = config.server.base_url(config.server.listen);
    Ok(say(&format!("{base}/u/{}", made.token.reveal()))?)
}

async fn token(command: TokenCommand, ledger: &Ledger) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create { name, expires } => {
            let lasts = expires.map(|lasts| i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX));
            let token = Token::random();
            let until = lasts.map(|lasts| ledger::now_ms().saturating_add(lasts));
            ledger.create_staff_token(&token, &name, until).await?;
            say(token.reveal())?;
        }
        TokenCommand::List => {
            for token in ledger.staff_tokens().await? {
                print(&json!({
                    "id": token.id, "name": token.name, "created_at": ledger::rfc3339(token.created_at),
                    "expires_at": token.expires_at.map(ledger::rfc3339),
                    "revoked_at": token.revoked_at.map(ledger::rfc3339),
                }))?;
            }
        }
        TokenCommand::Revoke { id } => known(ledger.revoke_staff_token(&id).await, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn audit(arguments: AuditArguments, ledger: &Ledger) -> anyhow::Result<ExitCode> {
    let AuditArguments { subject, ticket, partner: partner_id, since } = arguments;
    let mut filter =
        AuditFilter { subject, ticket, partner_id, since, after: String::new(), limit: AUDIT_PAGE };
    loop {
        let page = ledger.audit(&filter).await?;
        let Some(last) = page.last() else { return Ok(ExitCode::SUCCESS) };
        filter.after.clone_from(&last.id);
        for entry in &page {
            print(&to_api::audit_entry(entry))?;
        }
    }
}
