//! The desk's state: one plain value, written as a whole.
//!
//! Invariant: an attachment is named by exactly one upload token or one comment, never by both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds since the epoch: Zendesk shows no finer time anywhere.
pub(super) type Seconds = i64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Asks; sees public comments only.
    #[default]
    EndUser,
    Agent,
    Admin,
}

/// A ticket's status. `Closed` is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not looked at yet.
    New,
    /// Support's turn.
    #[default]
    Open,
    /// The requester's turn.
    Pending,
    /// A third party's turn.
    Hold,
    /// Answered; can be opened again.
    Solved,
    /// Final: no update, ever.
    Closed,
}

impl Status {
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_value(Value::from(text)).ok()
    }
}

/// A ticket's value for one custom field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomField {
    pub id: u64,
    /// Its value: text, number, flag, or null.
    pub value: Value,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The last id given out, for everything but tickets.
    pub last_id: u64,
    /// How many changes of tickets there were.
    #[serde(default)]
    pub last_change: u64,
    pub organizations: BTreeMap<u64, Organization>,
    pub users: BTreeMap<u64, User>,
    pub tickets: BTreeMap<u64, Ticket>,
    /// By content token, the secret part of a `content_url`.
    pub attachments: BTreeMap<String, Attachment>,
    /// Not consumed yet, by upload token.
    pub uploads: BTreeMap<String, Upload>,
    /// OAuth access tokens, by SHA-256, with the second they expire.
    pub access_tokens: BTreeMap<String, Seconds>,
    /// By `Idempotency-Key`.
    pub replays: BTreeMap<String, Replay>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SeedOrganization {
    pub id: u64,
    pub name: String,
    pub notes: String,
    pub details: String,
    /// Custom fields, such as `account_type`.
    pub organization_fields: BTreeMap<String, Value>,
    /// An id in some other system.
    pub external_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Organization {
    #[serde(flatten)]
    pub seed: SeedOrganization,
    pub created_at: Seconds,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SeedUser {
    pub id: u64,
    pub name: String,
    pub email: String,
    pub role: Role,
    /// Where they belong; the first is the default.
    pub organization_ids: Vec<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    #[serde(flatten)]
    pub seed: SeedUser,
    pub created_at: Seconds,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ticket {
    pub id: u64,
    pub subject: String,
    pub status: Status,
    pub requester_id: u64,
    pub submitter_id: u64,
    pub assignee_id: Option<u64>,
    pub organization_id: Option<u64>,
    pub ticket_form_id: Option<u64>,
    pub priority: Option<String>,
    pub kind: Option<String>,
    pub external_id: Option<String>,
    pub followup_source_id: Option<u64>,
    #[serde(default)]
    pub followup_ids: Vec<u64>,
    pub tags: Vec<String>,
    pub custom_fields: Vec<CustomField>,
    pub deleted: bool,
    pub created_at: Seconds,
    /// Rises with every update, so that it is a sound `updated_stamp`.
    pub updated_at: Seconds,
    /// Which of all changes was its last: the order of the stream of changes.
    #[serde(default)]
    pub change: u64,
    /// Oldest first. The first is the description.
    pub comments: Vec<Comment>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Comment {
    pub id: u64,
    pub author_id: u64,
    pub body: String,
    pub public: bool,
    /// Content tokens.
    pub attachments: Vec<String>,
    pub created_at: Seconds,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub id: u64,
    /// The name of the file with the bytes, in the desk's own folder.
    pub file: String,
    pub file_name: String,
    pub content_type: String,
    pub size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    /// Content tokens, in the order they came.
    pub attachments: Vec<String>,
    pub expires_at: Seconds,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Replay {
    pub request_sha256: String,
    pub ticket_id: u64,
    pub expires_at: Seconds,
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The ticket, unless it is unknown or deleted.
    pub(super) fn ticket(&self, id: u64) -> Option<&Ticket> {
        self.tickets.get(&id).filter(|ticket| !ticket.deleted)
    }

    /// Records a change of a ticket. Real stamps have whole seconds and so miss a second update within one; ours never does,
    /// at the price of running ahead of the clock during a burst.
    pub(super) fn touch(&mut self, id: u64, now: Seconds) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.updated_at = now.max(ticket.updated_at + 1);
        }
        self.changed(id);
    }

    /// Moves a ticket to the end of the stream of changes.
    pub(super) fn changed(&mut self, id: u64) {
        self.last_change += 1;
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.change = self.last_change;
        }
    }

    /// Removes what has expired and returns the files that nothing names any more.
    pub(super) fn expire(&mut self, now: Seconds) -> Vec<String> {
        self.access_tokens.retain(|_, expires_at| *expires_at > now);
        self.replays.retain(|_, replay| replay.expires_at > now);
        let mut files = Vec::new();
        let attachments = &mut self.attachments;
        self.uploads.retain(|_, upload| {
            let live = upload.expires_at > now;
            if !live {
                files.extend(
                    upload.attachments.iter().filter_map(|token| Some(attachments.remove(token)?.file)),
                );
            }
            live
        });
        files
    }
}
