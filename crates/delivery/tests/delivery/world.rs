//! A sandbox, a ledger, and uploads that have just been completed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::TicketCheck;
use bucket::{Bucket, Buckets, Crc64Hasher, Payload};
use delivery::{Config, Delivery};
use desk::slack::{self, Slack};
use desk::{Comment, Credentials, Desk};
use ledger::{Completion, Destination, Ledger, NewLink, NewUpload, Room, Token, Upload, new_id, now_ms};
use sandbox::desk::{DeskOptions, Role, SeedOrganization, SeedTicket, SeedUser, Status};
use sandbox::{Listen, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tickets::{PartnerPolicy, Policy, Retention, Support, Tickets};

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// A user of the desk who is support.
pub(crate) const AGENT: u64 = 72;
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) desk: Desk,
    pub(crate) delivery: Delivery,
    pub(crate) dir: TempDir,
}

pub(crate) struct Setup {
    pub(crate) options: DeskOptions,
    pub(crate) config: Config,
    /// First comment of ticket 1001, by its requester.
    pub(crate) description: String,
}

/// Notes follow each other without a pause.
impl Default for Setup {
    fn default() -> Self {
        let config = Config { batch: Duration::ZERO, ..Config::new("https://gate.example") };
        Self { options: DeskOptions::default(), config, description: String::new() }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ticket = |id, status| SeedTicket {
            id,
            subject: "disk full".into(),
            description: setup.description.clone(),
            status,
            requester_id: 71,
            organization_id: Some(7),
            ..SeedTicket::default()
        };
        let organization =
            SeedOrganization { id: 7, notes: "Answer in English.".into(), ..Default::default() };
        let requester = SeedUser {
            id: 71,
            email: "ann@acme.example".into(),
            organization_ids: vec![7],
            ..SeedUser::default()
        };
        let agent = SeedUser {
            id: AGENT,
            email: "sam@support.example".into(),
            role: Role::Agent,
            ..SeedUser::default()
        };
        let seed = sandbox::Seed {
            buckets: vec!["shared".into(), "globex-own".into()],
            desk: sandbox::desk::Seed {
                organizations: vec![organization],
                users: vec![requester, agent],
                tickets: vec![
                    ticket(1001, Status::Open),
                    ticket(1002, Status::Closed),
                    ticket(1003, Status::Open),
                    ticket(2001, Status::Open),
                ],
                options: setup.options.clone(),
            },
        };
        let sandbox = Sandbox::start(&dir.path().join("sandbox"), Listen::any_port(), &seed).await.unwrap();
        let shared = bucket(&sandbox, "shared").await;
        let own = bucket(&sandbox, "globex-own").await;
        let buckets = Buckets::new(shared, [("globex".to_owned(), own)].into());
        let access = sandbox.desk.clone();
        let credentials =
            Credentials::Oauth { client_id: access.client_id, client_secret: access.client_secret };
        let desk = Desk::new(desk::Config::new(access.url, credentials)).unwrap();
        let ledger = open(&dir).await;
        ledger.migrate().await.unwrap();
        for (partner, organization) in [("acme", Some(7)), ("globex", None)] {
            ledger.put_partner(partner, partner, organization).await.unwrap();
        }
        let delivery = new_delivery(&sandbox, &ledger, &buckets, &desk, setup.config.clone());
        Self { sandbox, ledger, buckets, desk, delivery, dir }
    }

    /// A small file of acme that has just been completed.
    pub(crate) async fn small(&self, ticket: &str, name: &str) -> String {
        self.sent(&new_id(), "acme", ticket, name, Destination::TicketAttachment).await
    }

    /// A file of acme that is too large to be attached.
    pub(crate) async fn large(&self, ticket: &str, name: &str) -> String {
        self.sent(&new_id(), "acme", ticket, name, Destination::SupportUploader).await
    }

    /// A file that has just been completed. Its content is its name.
    pub(crate) async fn sent(
        &self,
        id: &str,
        partner: &str,
        ticket: &str,
        name: &str,
        destination: Destination,
    ) -> String {
        let link = NewLink {
            partner_id: partner.into(),
            contact_id: None,
            parent_id: None,
            ticket: Some(ticket.into()),
            rights: vec![],
            max_bytes: None,
            max_open: None,
            max_unfinished_bytes: None,
            max_requests_per_minute: None,
            created_by: "operator".into(),
            expires_at: None,
        };
        let link = self.ledger.create_link(&Token::random(), &link).await.unwrap();
        let (bucket_name, bucket) = self.buckets.of_partner(partner);
        let new = NewUpload {
            id: id.into(),
            link_id: link.id,
            partner_id: partner.into(),
            ticket: ticket.into(),
            name: name.into(),
            content_type: "text/plain".into(),
            bucket: bucket_name.into(),
            object_key: format!("{ticket}/{id}/{name}"),
            length: None,
            resumable: false,
            begins_with_body: false,
            announced: String::new(),
            tus_metadata: None,
            ask: None,
        };
        self.ledger.create_upload(&new, Room { open: 10, unfinished_bytes: i64::MAX }).await.unwrap();
        let epoch = self.ledger.begin_append(id, 0, None).await.unwrap().epoch;
        let mut crc64 = Crc64Hasher::new();
        crc64.update(name.as_bytes());
        let end = Completion {
            id,
            epoch,
            size: i64::try_from(name.len()).unwrap(),
            sha256: SHA256,
            md5: None,
            crc64: &crc64.value().to_hex(),
            destination,
            checked: &["sha-256"],
            dedupe_key: id,
            claims_since: 0,
            attempts_until: now_ms(),
        };
        self.ledger.begin_completing(&end).await.unwrap();
        let payload = Payload::new(vec![name.to_owned().into()], crc64.value());
        bucket.put(&new.object_key, "text/plain", &vec![], &payload).await.unwrap();
        self.ledger.complete(id, epoch, None).await.unwrap();
        id.to_owned()
    }

    /// Works until the delivery of this upload has ended.
    pub(crate) async fn settle(&self, id: &str) -> Upload {
        let began = Instant::now();
        loop {
            self.delivery.pass().await.unwrap();
            let upload = self.ledger.upload(id).await.unwrap();
            if upload.delivery != Some(ledger::Delivery::Pending) {
                return upload;
            }
            assert!(began.elapsed() < DEADLINE, "{} is never settled", upload.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until another task has delivered all of these.
    pub(crate) async fn settled(&self, ids: &[String]) {
        let began = Instant::now();
        for id in ids {
            while self.ledger.upload(id).await.unwrap().delivery == Some(ledger::Delivery::Pending) {
                assert!(began.elapsed() < DEADLINE, "{id} is never settled");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Our comments on a ticket, oldest first.
    pub(crate) async fn notes(&self, ticket: &str) -> Vec<Comment> {
        let me = self.desk.me().await.unwrap();
        let mut notes = self.desk.comments_since(ticket, 0).await.unwrap();
        notes.retain(|comment| comment.author_id == me);
        notes.reverse();
        notes
    }

    /// The comments with this upload's marker.
    pub(crate) async fn notes_of(&self, ticket: &str, id: &str) -> Vec<Comment> {
        let mut notes = self.notes(ticket).await;
        notes.retain(|note| marks(note, id));
        notes
    }

    pub(crate) fn fault(&self, rule: Value) {
        self.sandbox.faults().add(serde_json::from_value(rule).unwrap()).unwrap();
    }

    /// Waits until the only fault rule has been applied.
    pub(crate) async fn until_hit(&self) {
        let began = Instant::now();
        loop {
            let report = reqwest::get(&self.sandbox.faults_url).await.unwrap().bytes().await.unwrap();
            let report: Value = serde_json::from_slice(&report).unwrap();
            if report["rules"][0]["hit"] == 1 {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "the fault is never due");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often the desk received this call.
    pub(crate) async fn calls(&self, operation: &str) -> u64 {
        let report = reqwest::get(&self.sandbox.faults_url).await.unwrap().bytes().await.unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        report["calls"]["desk"][operation].as_u64().unwrap_or(0)
    }

    /// The contents of the attachments.
    pub(crate) async fn content(&self, comment: &Comment) -> Vec<String> {
        let mut contents = Vec::new();
        for attachment in &comment.attachments {
            let request = reqwest::Client::new().get(&attachment.content_url);
            let request = request.header("authorization", &self.sandbox.desk.authorization);
            contents.push(request.send().await.unwrap().text().await.unwrap());
        }
        contents
    }

    /// The receipt beside an upload's object, if there is one.
    pub(crate) async fn receipt(&self, upload: &Upload) -> Option<Value> {
        let bucket = self.buckets.named(&upload.bucket).unwrap();
        let key = format!("{}.receipt.json", upload.object_key);
        bucket.head(&key).await.unwrap()?;
        let mut body = Box::pin(bucket.read(&key, None).await.unwrap().stream());
        let mut text = Vec::new();
        while let Some(bytes) = futures_util::StreamExt::next(&mut body).await {
            text.extend_from_slice(&bytes.unwrap());
        }
        Some(serde_json::from_slice(&text).unwrap())
    }
}

pub(crate) fn marks(note: &Comment, id: &str) -> bool {
    note.body.lines().any(|line| line.trim() == format!("ref: {id}"))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const RETENTION: Retention =
    Retention { grace: DAY.saturating_mul(10), minimum: Duration::ZERO, maximum: DAY.saturating_mul(100) };

/// Keeps files that long, and warns five days before.
pub(crate) fn policy(retention: Retention) -> Policy {
    Policy { retention: Some(retention), warn_before: DAY * 5, ..Policy::default() }
}

pub(crate) fn new_tickets(ledger: &Ledger, desk: &Desk, policy: Policy) -> Tickets {
    let check = Arc::new(TicketCheck::new(ledger.clone(), desk.clone(), 600));
    Tickets::new(ledger.clone(), desk.clone(), check, policy)
}

pub(crate) fn new_delivery(
    sandbox: &Sandbox,
    ledger: &Ledger,
    buckets: &Buckets,
    desk: &Desk,
    config: Config,
) -> Delivery {
    let partner =
        |channel: &str| PartnerPolicy { slack_channel: Some(channel.into()), ..PartnerPolicy::default() };
    let support = Support {
        leaders_channel: Some("C0LEADERS".into()),
        form_page: Some("https://desk.example/form".into()),
        ..Support::default()
    };
    let policy =
        Policy { partners: [("acme".to_owned(), partner("C0ACME"))].into(), support, ..policy(RETENTION) };
    let tickets = new_tickets(ledger, desk, policy);
    let access = &sandbox.slack;
    let mut slack = slack::Config::new(&access.bot_token, &access.signing_secret);
    slack.api_url = format!("{}/api", access.url);
    let slack = Slack::new(slack).unwrap();
    Delivery::new(ledger.clone(), buckets.clone(), desk.clone(), tickets, Some(slack), config)
}

pub(crate) async fn open(dir: &TempDir) -> Ledger {
    Ledger::open(&format!("sqlite:{}", dir.path().join("ledger.db").display())).await.unwrap()
}

async fn bucket(sandbox: &Sandbox, name: &str) -> Bucket {
    let access = &sandbox.s3;
    Bucket::new(bucket::Config {
        bucket: name.into(),
        prefix: String::new(),
        endpoint: Some(access.endpoint.clone()),
        public_endpoint: None,
        region: access.region.clone(),
        path_style: true,
        credentials: bucket::Credentials::Static {
            access_key_id: access.access_key_id.clone(),
            secret_access_key: access.secret_access_key.clone(),
        },
        expected_owner: None,
        kms_key: None,
    })
    .await
}
