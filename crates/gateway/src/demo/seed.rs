//! The two partners of the demo, with their organisations, people and tickets.

use sandbox::Seed;
use sandbox::desk::{self, Role, SeedOrganization, SeedTicket, SeedUser, Status};
use serde_json::Value;

/// A partner of the demo.
pub(super) struct Partner {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) organization_id: u64,
    /// The ticket its link is bound to.
    pub(super) ticket: &'static str,
    /// Its own bucket, if it has one.
    pub(super) bucket: Option<&'static str>,
    /// The address of its contact, who is a user of its organisation in the desk.
    pub(super) contact: &'static str,
    /// Its channel in the Slack sink.
    pub(super) slack_channel: &'static str,
}

/// The channel of support's leaders in the Slack sink.
pub(super) const LEADERS_CHANNEL: &str = "C0LEADERS";

pub(super) const SUPPORT_UPLOADER_BUCKET: &str = "support-uploader";

pub(super) const PARTNERS: [Partner; 2] = [
    Partner {
        id: "acme",
        name: "Acme",
        organization_id: 101,
        ticket: "1001",
        bucket: None,
        contact: "support@acme.example",
        slack_channel: "C0ACME",
    },
    Partner {
        id: "globex",
        name: "Globex",
        organization_id: 102,
        ticket: "2001",
        bucket: Some("globex-uploads"),
        contact: "support@globex.example",
        slack_channel: "C0GLOBEX",
    },
];

/// The form partner tickets go through.
const PARTNER_FORM: u64 = 360_001_172_559;

/// Everything the embedded services begin with.
pub(super) fn seed() -> Seed {
    let buckets = PARTNERS.iter().filter_map(|partner| partner.bucket).chain([SUPPORT_UPLOADER_BUCKET]);
    let organizations = PARTNERS.iter().map(|partner| SeedOrganization {
        id: partner.organization_id,
        name: partner.name.into(),
        notes: format!(
            "{} is an alliance partner. Tier 1 is theirs; answer in the ticket, never in chat.",
            partner.name
        ),
        details: "Escalations come through the escalation form.".into(),
        organization_fields: [("account_type".to_owned(), Value::from("alliance_partner"))].into(),
        ..SeedOrganization::default()
    });
    let users = PARTNERS.iter().map(|partner| SeedUser {
        id: partner.organization_id * 10,
        name: format!("{} support", partner.name),
        email: partner.contact.into(),
        organization_ids: vec![partner.organization_id],
        ..SeedUser::default()
    });
    // Of support: the gateway reads in their comments which files they ask for.
    let agent = SeedUser {
        id: 9001,
        name: "Sam Support".into(),
        email: "sam@support.example".into(),
        role: Role::Agent,
        ..SeedUser::default()
    };
    let ticket = |id: u64, partner: &Partner, status: Status| SeedTicket {
        id,
        subject: format!("[Customer] - [T{id}] - [Slow after the upgrade]"),
        description: "Since the upgrade every page takes ten seconds.".into(),
        status,
        requester_id: partner.organization_id * 10,
        organization_id: Some(partner.organization_id),
        ticket_form_id: Some(PARTNER_FORM),
        ..SeedTicket::default()
    };
    let [acme, globex] = &PARTNERS;
    let tickets = vec![
        ticket(1001, acme, Status::Open),
        ticket(1002, acme, Status::Open),
        ticket(1003, acme, Status::Closed),
        ticket(2001, globex, Status::Open),
        ticket(2002, globex, Status::Open),
    ];
    Seed {
        buckets: buckets.map(str::to_owned).collect(),
        desk: desk::Seed {
            organizations: organizations.collect(),
            users: users.chain([agent]).collect(),
            tickets,
            ..desk::Seed::default()
        },
    }
}
