//! What support should know about a partner: the notes about its organisation in the desk, and the operator's own file.
//! Invariant: nothing of it reaches a partner. What the desk said is kept with its date, and counts while the desk is away.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ledger::{OrganizationNotes, Partner};

use crate::Tickets;

/// Notes of this age are read again.
const FRESH_MS: i64 = 10 * 60 * 1000;
const DESK_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of the operator's file that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Notes about a partner, for support only.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    pub organization: Option<OrganizationNotes>,
    /// Why the desk's notes are missing or old.
    pub problem: Option<String>,
    /// The text of the operator's file.
    pub operator: Option<String>,
}

impl Notes {
    pub fn is_empty(&self) -> bool {
        let of_desk = self.organization.as_ref();
        self.operator.is_none()
            && of_desk.is_none_or(|notes| notes.notes.is_empty() && notes.details.is_empty())
    }
}

impl Tickets {
    /// The notes about a partner. Asks the desk if they are old.
    pub async fn notes(&self, partner: &Partner) -> ledger::Result<Notes> {
        let mut notes = Notes {
            operator: self.0.policy.partner(&partner.id).notes_file.and_then(|path| read(&path)),
            ..Notes::default()
        };
        let Some(organization_id) = partner.organization_id else {
            notes.problem = Some("the partner has no organization_id".into());
            return Ok(notes);
        };
        let known = self.0.ledger.organization_notes(&partner.id).await?;
        let known = known.filter(|known| known.organization_id == organization_id);
        if known.as_ref().is_some_and(|known| ledger::now_ms() - known.fetched_at < FRESH_MS) {
            notes.organization = known;
            return Ok(notes);
        }
        match self.fetch(partner, organization_id).await {
            Ok(fetched) => {
                self.0.ledger.put_organization_notes(&fetched).await?;
                notes.organization = Some(fetched);
            }
            Err(error) => {
                notes.problem = Some(error.to_string());
                notes.organization = known;
            }
        }
        Ok(notes)
    }

    async fn fetch(&self, partner: &Partner, organization_id: i64) -> Result<OrganizationNotes, desk::Error> {
        let id = u64::try_from(organization_id).map_err(|_| desk::Error::NotFound)?;
        let ask = tokio::time::timeout(DESK_TIMEOUT, self.0.desk.organization(id)).await;
        let found = ask.unwrap_or_else(|_| Err(crate::contacts::desk_silent()))?;
        Ok(OrganizationNotes {
            partner_id: partner.id.clone(),
            organization_id,
            notes: found.notes,
            details: found.details,
            fields: serde_json::to_string(&found.fields).unwrap_or_default(),
            fetched_at: ledger::now_ms(),
        })
    }
}

/// The text of a small file; none if it is empty or cannot be read.
fn read(path: &Path) -> Option<String> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match read() {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(error) => {
            tracing::warn!(error = %error, path = %path.display(), "cannot read the notes of a partner");
            None
        }
    }
}
