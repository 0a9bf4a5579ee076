//! The demo's secrets. Files with secrets are readable by their owner only, and are written atomically.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use ledger::{Ledger, NewContact, NewLink, Right, Token};
use serde::{Deserialize, Serialize};

use super::seed::PARTNERS;

/// The demo's tokens, kept between runs so that printed links stay valid.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Secrets {
    links: BTreeMap<String, String>,
    staff_token: String,
    /// Links without a ticket, which open tickets.
    #[serde(default)]
    partner_links: BTreeMap<String, String>,
    /// Secrets of the partners' workflows.
    #[serde(default)]
    workflow_secrets: BTreeMap<String, String>,
    /// Signs the desk's webhooks.
    #[serde(default)]
    webhook_secret: String,
}

impl Secrets {
    /// The folder's secrets, made at the first run and written before the ledger knows them. A folder of an older version
    /// lacks some.
    pub(super) fn of(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("secrets.json");
        let mut secrets = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        if secrets.complete() {
            write_private(&path, &serde_json::to_vec(&secrets)?)?;
        }
        Ok(secrets)
    }

    /// Makes what is missing. Returns whether anything was.
    fn complete(&mut self) -> bool {
        let mut made = false;
        let mut make = |secret: &mut String| {
            if secret.is_empty() {
                Token::random().reveal().clone_into(secret);
                made = true;
            }
        };
        for partner in &PARTNERS {
            for secrets in [&mut self.links, &mut self.partner_links, &mut self.workflow_secrets] {
                make(secrets.entry(partner.id.to_owned()).or_default());
            }
        }
        make(&mut self.staff_token);
        make(&mut self.webhook_secret);
        made
    }

    pub(super) fn link(&self, partner: &str) -> &str {
        self.links.get(partner).map_or("", String::as_str)
    }

    pub(super) fn partner_link(&self, partner: &str) -> &str {
        self.partner_links.get(partner).map_or("", String::as_str)
    }

    pub(super) fn workflow_secret(&self, partner: &str) -> &str {
        self.workflow_secrets.get(partner).map_or("", String::as_str)
    }

    pub(super) fn webhook_secret(&self) -> &str {
        &self.webhook_secret
    }

    pub(super) fn staff_token(&self) -> &str {
        &self.staff_token
    }

    /// Makes the links, with every right, the contacts and the staff token, unless the ledger has them.
    pub(super) async fn record(&self, ledger: &Ledger) -> anyhow::Result<()> {
        for partner in &PARTNERS {
            let links =
                [(self.link(partner.id), Some(partner.ticket)), (self.partner_link(partner.id), None)];
            for (token, ticket) in links {
                if let Err(ledger::Error::NotFound) = ledger.link_by_token(token).await {
                    let new = NewLink {
                        partner_id: partner.id.into(),
                        ticket: ticket.map(str::to_owned),
                        rights: Right::ALL.to_vec(),
                        created_by: "demo".into(),
                        ..NewLink::default()
                    };
                    ledger.create_link(&Token::from_text(token), &new).await?;
                }
            }
            if ledger.contacts(Some(partner.id)).await?.is_empty() {
                let name = format!("{} support", partner.name);
                let new = NewContact {
                    partner_id: partner.id,
                    name: &name,
                    email: partner.contact,
                    slack_user_id: None,
                };
                ledger.put_contact(&new, "demo").await?;
            }
        }
        if let Err(ledger::Error::NotFound) = ledger.staff_token(&self.staff_token).await {
            ledger.create_staff_token(&Token::from_text(&self.staff_token), "demo", None).await?;
        }
        Ok(())
    }
}

/// Writes a file with mode 600 under a temporary name, flushes it and renames it into place.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || {
        // A leftover of a killed run may have another mode.
        let _ = std::fs::remove_file(&temporary);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}
