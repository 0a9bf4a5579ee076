//! The initial content of a desk. Applied at every start; existing IDs stay as they are.

use super::model::{
    Comment, CustomField, Organization, Role, Seconds, SeedOrganization, SeedUser, State, Status, Ticket,
    User,
};

/// Ids given out later start above this, far from any seeded one.
const FIRST_ID: u64 = 360_000_000_000;

/// Organizations, users and tickets to start with.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    pub organizations: Vec<SeedOrganization>,
    pub users: Vec<SeedUser>,
    /// Their tickets; a requester that does not exist is an error.
    pub tickets: Vec<SeedTicket>,
    /// How this desk is set up; not kept between starts.
    pub options: DeskOptions,
}

/// How a desk is set up. Kept nowhere: the next start may choose others.
#[derive(Clone, Debug)]
pub struct DeskOptions {
    /// A larger upload is answered 413. Zendesk: 50 MB.
    pub max_attachment_bytes: u64,
    /// Extensions without dot, lower case; an upload with one is answered 422 (Zendesk: "allowed file types").
    pub refused_extensions: Vec<String>,
    /// Account-wide calls in a minute. Zendesk's largest plan has 2,500; the default is far more because test suites poll.
    pub requests_per_minute: u32,
    /// Updates of one ticket by one user in ten minutes. Zendesk: 30.
    pub updates_per_ticket: usize,
}

impl Default for DeskOptions {
    fn default() -> Self {
        Self {
            max_attachment_bytes: 50_000_000,
            refused_extensions: Vec::new(),
            requests_per_minute: 60_000,
            updates_per_ticket: 30,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct SeedTicket {
    pub id: u64,
    pub subject: String,
    pub description: String,
    /// Its status; `Open` by default.
    pub status: Status,
    pub requester_id: u64,
    pub organization_id: Option<u64>,
    pub ticket_form_id: Option<u64>,
    pub tags: Vec<String>,
    /// An id in some other system.
    pub external_id: Option<String>,
    pub custom_fields: Vec<CustomField>,
}

impl Seed {
    /// Adds what is missing, with the desk's own agent.
    pub(super) fn apply(&self, state: &mut State, agent_email: &str, now: Seconds) -> anyhow::Result<()> {
        state.last_id = state.last_id.max(FIRST_ID);
        for seed in &self.organizations {
            let made = || Organization { seed: seed.clone(), created_at: now };
            state.organizations.entry(seed.id).or_insert_with(made);
        }
        for seed in &self.users {
            state.users.entry(seed.id).or_insert_with(|| User { seed: seed.clone(), created_at: now });
        }
        if !state.users.values().any(|user| user.seed.email == agent_email) {
            let id = state.next_id();
            let seed = SeedUser {
                id,
                name: "Upload gateway".to_owned(),
                email: agent_email.to_owned(),
                role: Role::Admin,
                organization_ids: Vec::new(),
            };
            state.users.insert(id, User { seed, created_at: now });
        }
        for seed in &self.tickets {
            anyhow::ensure!(
                state.users.contains_key(&seed.requester_id),
                "ticket {} has the unknown requester {}",
                seed.id,
                seed.requester_id
            );
            if !state.tickets.contains_key(&seed.id) {
                let comment_id = state.next_id();
                state.tickets.insert(seed.id, seed.ticket(comment_id, now));
                state.changed(seed.id);
            }
        }
        Ok(())
    }
}

impl SeedTicket {
    fn ticket(&self, comment_id: u64, now: Seconds) -> Ticket {
        let seed = self.clone();
        let description = Comment {
            id: comment_id,
            author_id: seed.requester_id,
            body: if seed.description.is_empty() { seed.subject.clone() } else { seed.description },
            public: true,
            attachments: Vec::new(),
            created_at: now,
        };
        Ticket {
            id: seed.id,
            subject: seed.subject,
            status: seed.status,
            requester_id: seed.requester_id,
            submitter_id: seed.requester_id,
            organization_id: seed.organization_id,
            ticket_form_id: seed.ticket_form_id,
            external_id: seed.external_id,
            tags: seed.tags,
            custom_fields: seed.custom_fields,
            created_at: now,
            updated_at: now,
            comments: vec![description],
            ..Ticket::default()
        }
    }
}
