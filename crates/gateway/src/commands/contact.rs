//! `contact`: the people of partners who may open tickets.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use ledger::{Ledger, NewContact};

use super::known::{known, name};
use crate::output::print;
use crate::to_api;

#[derive(Subcommand)]
pub(crate) enum ContactCommand {
    /// Add a person of a partner, or change the one with this address.
    Add {
        #[arg(long)]
        partner: String,
        #[arg(long, value_parser = name)]
        name: String,
        #[arg(long)]
        email: String,
        /// The person's ID in Slack, such as U0123456789.
        #[arg(long)]
        slack_user_id: Option<String>,
    },
    /// List contacts, one JSON object per line.
    List {
        #[arg(long)]
        partner: Option<String>,
    },
    /// Let a contact open no more tickets.
    Disable { id: String },
}

pub(super) async fn run(command: ContactCommand, ledger: &Ledger) -> anyhow::Result<ExitCode> {
    match command {
        ContactCommand::Add { partner, name, email, slack_user_id } => {
            known(ledger.partner(&partner).await.map(drop), &partner)?;
            let email = email.trim();
            if !tickets::is_email(email) {
                bail!("`{}` is not an e-mail address", email.escape_debug());
            }
            let slack_user_id = slack_user_id.as_deref();
            let new = NewContact { partner_id: &partner, name: &name, email, slack_user_id };
            print(&to_api::contact(&ledger.put_contact(&new, "operator").await?))?;
        }
        ContactCommand::List { partner } => {
            for contact in ledger.contacts(partner.as_deref()).await? {
                print(&to_api::contact(&contact))?;
            }
        }
        ContactCommand::Disable { id } => known(ledger.disable_contact(&id, None, "operator").await, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}
