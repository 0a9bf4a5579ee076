//! The demo's secrets. Files with secrets are readable by their owner only, and are written atomically.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use ledger::{Ledger, NewLink, Right, Token};
use serde::{Deserialize, Serialize};

use super::seed::PARTNERS;

/// The demo's tokens, kept between runs so that printed links stay valid.
#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    links: BTreeMap<String, String>,
    staff_token: String,
}

impl Secrets {
    /// The folder's secrets, made at the first run and written before the ledger knows them.
    pub(super) fn of(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("secrets.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = || Token::random().reveal().to_owned();
                let links = PARTNERS.iter().map(|partner| (partner.id.to_owned(), random())).collect();
                let secrets = Self { links, staff_token: random() };
                write_private(&path, &serde_json::to_vec(&secrets)?)?;
                Ok(secrets)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    pub(super) fn link(&self, partner: &str) -> &str {
        self.links.get(partner).map_or("", String::as_str)
    }

    pub(super) fn staff_token(&self) -> &str {
        &self.staff_token
    }

    /// Makes the links, with every right, and the staff token, unless the ledger has them.
    pub(super) async fn record(&self, ledger: &Ledger) -> anyhow::Result<()> {
        for partner in &PARTNERS {
            let token = self.link(partner.id);
            if let Err(ledger::Error::NotFound) = ledger.link_by_token(token).await {
                let new = NewLink {
                    partner_id: partner.id.into(),
                    ticket: Some(partner.ticket.into()),
                    rights: Right::ALL.to_vec(),
                    created_by: "demo".into(),
                    ..NewLink::default()
                };
                ledger.create_link(&Token::from_text(token), &new).await?;
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
