//! Files end with their ticket: after the grace, once, with a word before; and never too early.

use std::time::Duration;

use delivery::{Config, Delivery, retention};
use ledger::{AuditFilter, Error, JobKind, State, now_ms};
use serde_json::json;
use tickets::{Policy, Retention};
use tokio_util::sync::CancellationToken;

use crate::world::{RETENTION, World, new_tickets, policy};

pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl World {
    pub(crate) async fn desk_says(&self, ticket: &str, change: serde_json::Value) {
        let access = &self.sandbox.desk;
        let url = format!("{}/api/v2/tickets/{ticket}", access.url.trim_end_matches("/api/v2"));
        let request = reqwest::Client::new().put(url).header("authorization", &access.authorization);
        let answer = request.json(&json!({ "ticket": change })).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    pub(crate) async fn seen(&self, ticket: &str) {
        let id = ledger::new_id();
        self.ledger.accept_hook(&id, JobKind::SeeTicket, ticket, Some(ticket), "").await.unwrap();
        self.finished(JobKind::SeeTicket).await;
        self.finished(JobKind::WarnFiles).await;
    }

    /// A ticket with a file that was delivered: their IDs.
    pub(crate) async fn with_file(&self) -> (String, String) {
        let ticket = self.open_ticket("Slow", None).await;
        let id = self.small(&ticket, "core.log").await;
        self.settle(&id).await;
        (ticket, id)
    }

    /// [`World::with_file`], whose ticket was closed so many days ago.
    pub(crate) async fn closed(&self, days: i64) -> (String, String) {
        let (ticket, id) = self.with_file().await;
        self.desk_says(&ticket, json!({"status": "closed"})).await;
        self.seen(&ticket).await;
        self.closed_days_ago(&ticket, days).await;
        (ticket, id)
    }

    /// The ticket was closed so many days ago, and nothing has happened since.
    pub(crate) async fn closed_days_ago(&self, ticket: &str, days: i64) {
        let by = Duration::from_secs(u64::try_from(days).unwrap() * 86_400);
        self.sandbox.desk_state().age(ticket.parse().unwrap(), by).unwrap();
        self.ledger.closed_later(ticket, now_ms() - days * DAY_MS).await.unwrap();
    }

    /// Looks at the times of all files, and works on what follows, several times.
    pub(crate) async fn look(&self, kept: Retention) {
        let stop = CancellationToken::new();
        let tickets = new_tickets(&self.ledger, &self.desk, policy(kept));
        let every = Duration::from_millis(20);
        let looking = tokio::spawn(retention(self.ledger.clone(), tickets, every, stop.clone()));
        for _ in 0..10 {
            tokio::time::sleep(every).await;
            self.delivery.pass().await.unwrap();
        }
        stop.cancel();
        looking.await.unwrap();
        self.delivery.pass().await.unwrap();
    }

    /// The same with a gateway that has another configuration.
    fn with_policy(self, policy: Policy) -> Self {
        let config = Config { batch: Duration::ZERO, ..Config::new("https://gate.example") };
        let tickets = new_tickets(&self.ledger, &self.desk, policy);
        let (ledger, buckets, desk) = (self.ledger.clone(), self.buckets.clone(), self.desk.clone());
        Self { delivery: Delivery::new(ledger, buckets, desk, tickets, None, config), ..self }
    }

    pub(crate) async fn state(&self, id: &str) -> State {
        self.ledger.upload(id).await.unwrap().state
    }

    pub(crate) async fn expirations(&self, id: &str) -> usize {
        let entries = self.ledger.audit(&AuditFilter::about(id)).await.unwrap();
        entries.iter().filter(|entry| entry.action == "upload.expire").count()
    }

    pub(crate) async fn told(&self, ticket: &str, marker: &str) -> usize {
        let notes = self.notes(ticket).await;
        notes
            .iter()
            .filter(|note| note.body.lines().any(|line| line == marker))
            .inspect(|note| assert!(!note.public))
            .count()
    }
}

#[tokio::test]
async fn files_end_once_after_the_grace() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    for status in ["solved", "open", "solved"] {
        world.desk_says(&ticket, json!({"status": status})).await;
        world.seen(&ticket).await;
    }
    assert_eq!(world.told(&ticket, "files-end: solved").await, 1, "solved twice");
    let note = world.notes(&ticket).await.into_iter().find(|note| note.body.contains("files-end")).unwrap();
    assert!(note.body.contains("deleted 10 days after the ticket is closed"), "{}", note.body);

    world.desk_says(&ticket, json!({"status": "closed"})).await;
    world.seen(&ticket).await;
    world.look(RETENTION).await;
    let closed_at = world.ledger.ticket(&ticket).await.unwrap().unwrap().closed_at.unwrap();
    let upload = world.ledger.upload(&id).await.unwrap();
    assert_eq!((upload.expires_at, upload.state), (Some(closed_at + 10 * DAY_MS), State::Complete));

    world.closed_days_ago(&ticket, 9).await;
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete, "a day is left");
    world.closed_days_ago(&ticket, 11).await;
    world.look(RETENTION).await;
    assert_eq!((world.state(&id).await, world.expirations(&id).await), (State::Removed, 1));
    let audit = world.ledger.audit(&AuditFilter::about(&id)).await.unwrap();
    let entry = audit.iter().find(|entry| entry.action == "upload.expire").unwrap();
    assert!(
        entry.detail.starts_with("its ticket was closed at ") && entry.ticket.as_deref() == Some(&ticket),
        "{entry:?}"
    );
}

#[tokio::test]
async fn a_reopened_ticket_keeps_its_files() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    // Its closing was seen, and its reopening was not.
    world.ledger.saw_ticket(&ticket, Some(7), true).await.unwrap();
    world.ledger.closed_later(&ticket, now_ms() - 11 * DAY_MS).await.unwrap();
    world.look(RETENTION).await;
    let upload = world.ledger.upload(&id).await.unwrap();
    assert_eq!((upload.state, upload.expires_at), (State::Complete, None));
    assert!(!world.ledger.ticket(&ticket).await.unwrap().unwrap().closed);
    // When it is closed again, its time begins again.
    world.desk_says(&ticket, json!({"status": "closed"})).await;
    world.seen(&ticket).await;
    world.look(RETENTION).await;
    assert!(world.ledger.upload(&id).await.unwrap().expires_at.unwrap() > now_ms() + 9 * DAY_MS);
}

#[tokio::test]
async fn an_open_follow_up_keeps_the_files() {
    let world = World::new().await;
    let (ticket, id) = world.closed(11).await;
    let access = &world.sandbox.desk;
    let url = format!("{}/api/v2/tickets", access.url.trim_end_matches("/api/v2"));
    let new = json!({"ticket": {"subject": "Again", "requester_id": 71, "comment": {"body": "b"},
        "via_followup_source_id": ticket.parse::<u64>().unwrap()}});
    let request = reqwest::Client::new().post(url).header("authorization", &access.authorization).json(&new);
    let made: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let follow_up = made["ticket"]["id"].to_string();
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete);
    // The follow-up is closed, and then its grace is over, too.
    world.desk_says(&follow_up, json!({"status": "closed"})).await;
    world.seen(&follow_up).await;
    world.ledger.saw_ticket(&follow_up, Some(7), true).await.unwrap();
    for (closed_days_ago, state) in [(5, State::Complete), (11, State::Removed)] {
        world.closed_days_ago(&follow_up, closed_days_ago).await;
        world.closed_days_ago(&ticket, 20).await;
        world.look(RETENTION).await;
        assert_eq!(world.state(&id).await, state, "closed {closed_days_ago} days ago");
    }
}

#[tokio::test]
async fn a_hold_keeps_everything_until_it_is_lifted() {
    let world = World::new().await;
    let (ticket, id) = world.closed(11).await;
    world.ledger.set_hold(&ticket, "a lawsuit", "staff:1").await.unwrap();
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete);
    assert!(matches!(world.ledger.remove(&id, "staff:1").await, Err(Error::Conflict(_))));
    // One that was due before the hold came.
    let upload = world.ledger.upload(&id).await.unwrap();
    assert!(upload.expires_at.unwrap() < now_ms() && !world.ledger.expire(&upload, "x").await.unwrap());
    world.ledger.lift_hold(&ticket, "staff:1").await.unwrap();
    assert!(matches!(world.ledger.lift_hold(&ticket, "staff:1").await, Err(Error::NotFound)));
    world.look(RETENTION).await;
    assert_eq!((world.state(&id).await, world.expirations(&id).await), (State::Removed, 1));
}

#[tokio::test]
async fn a_silent_desk_keeps_every_file() {
    let world = World::new().await;
    let (ticket, id) = world.closed(11).await;
    for fault in [
        json!({"fault": "reset"}),
        json!({"fault": "corrupt"}),
        json!({"fault": "status", "status": 404}),
        json!({"fault": "status", "status": 500}),
        json!({"fault": "status", "status": 401}),
    ] {
        let mut rule = json!({"service": "desk", "operation": "ShowTicket", "times": 0});
        rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        if fault["status"] == 404 {
            // A proxy that knows nothing of a desk.
            rule["operation"] = "*".into();
        }
        world.sandbox.faults().clear();
        world.fault(rule);
        world.look(RETENTION).await;
        assert_eq!(world.state(&id).await, State::Complete, "{fault}");
    }
    world.sandbox.faults().clear();
    world.finished(JobKind::ExpireFiles).await;
    assert_eq!(
        (world.state(&id).await, world.expirations(&id).await),
        (State::Removed, 1),
        "ticket {ticket}"
    );
}

/// The longest time counts for open tickets, too: each file is named on the ticket first, some days before it ends.
#[tokio::test]
async fn the_maximum_ends_files_of_open_tickets() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    let days = |days: u64| Retention { maximum: Duration::from_secs(days * 86_400), ..RETENTION };
    let named = async |world: &World, id: &str| {
        let notes = world.notes(&ticket).await;
        let names = |line: &str| line.starts_with("files-end: ") && line.contains(id);
        notes.iter().filter(|note| note.body.lines().any(names)).inspect(|note| assert!(!note.public)).count()
    };
    world.look(days(6)).await;
    assert_eq!(named(&world, &id).await, 0, "it is told five days before");
    // Shorter all at once: it is due, and not told yet.
    let short = Retention { maximum: Duration::from_millis(1), grace: Duration::ZERO, ..RETENTION };
    let world = world.with_policy(policy(short));
    for _ in 0..2 {
        world.look(short).await;
        world.finished(JobKind::WarnFiles).await;
    }
    assert_eq!(
        (named(&world, &id).await, world.state(&id).await),
        (1, State::Complete),
        "told, and not deleted with it"
    );
    let note = world.notes(&ticket).await.into_iter().find(|note| note.body.contains("files-end")).unwrap();
    assert!(note.body.contains("core.log"), "{}", note.body);
    // Another file is named on its own.
    let second = world.small(&ticket, "later.log").await;
    world.settle(&second).await;
    world.look(short).await;
    world.finished(JobKind::WarnFiles).await;
    assert_eq!((named(&world, &id).await, named(&world, &second).await), (1, 1));
    // The time between the word and the end is over.
    let world = world.with_policy(Policy { warn_before: Duration::ZERO, ..policy(short) });
    world.look(short).await;
    let ends = [(&id, State::Removed, 1), (&second, State::Removed, 1)];
    for (id, state, times) in ends {
        assert_eq!((world.state(id).await, world.expirations(id).await), (state, times));
    }
}

/// A desk that refuses the note keeps the files: nobody was told.
#[tokio::test]
async fn files_of_an_open_ticket_that_was_not_told_stay() {
    let world = World::new().await;
    let (_, id) = world.with_file().await;
    let short = Retention { maximum: Duration::from_millis(1), grace: Duration::ZERO, ..RETENTION };
    let world = world.with_policy(Policy { warn_before: Duration::ZERO, ..policy(short) });
    let refuses =
        json!({"service": "desk", "operation": "UpdateTicket", "times": 0, "fault": "status", "status": 422});
    world.fault(refuses);
    world.look(short).await;
    assert_eq!(world.state(&id).await, State::Complete);
    assert!(world.calls("UpdateTicket").await > 0, "it was tried");
}

/// What an operator has taken back does not count any more.
#[tokio::test]
async fn a_longer_retention_keeps_what_was_due() {
    let world = World::new().await;
    let (ticket, id) = world.closed(11).await;
    let forever =
        json!({"service": "desk", "operation": "ShowTicket", "times": 0, "fault": "status", "status": 503});
    world.fault(forever);
    world.look(RETENTION).await;
    assert!(world.ledger.upload(&id).await.unwrap().expires_at.unwrap() < now_ms(), "it is due");
    world.sandbox.faults().clear();
    // The gateway starts with another configuration. The job waits since before.
    let long = Retention { grace: Duration::from_secs(30 * 86_400), ..RETENTION };
    let world = world.with_policy(policy(long));
    world.ledger.queue_expired().await.unwrap();
    world.finished(JobKind::ExpireFiles).await;
    assert_eq!(world.state(&id).await, State::Complete, "ticket {ticket}");
    let world = world.with_policy(Policy::default());
    world.ledger.queue_expired().await.unwrap();
    world.finished(JobKind::ExpireFiles).await;
    assert_eq!(world.state(&id).await, State::Complete, "without a retention");
}

/// Reopened between the recording of its time and the deletion, however that became known.
#[tokio::test]
async fn a_reopening_that_is_seen_meanwhile_keeps_the_files() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    world.ledger.saw_ticket(&ticket, Some(7), true).await.unwrap();
    world.ledger.set_expiry(&[(id.clone(), Some(now_ms() - 1))]).await.unwrap();
    world.ledger.queue_expired().await.unwrap();
    world.ledger.saw_ticket(&ticket, Some(7), false).await.unwrap();
    assert_eq!(world.ledger.upload(&id).await.unwrap().expires_at, None);
    // Another gateway records a time that it computed before.
    world.ledger.set_expiry(&[(id.clone(), Some(now_ms() - 1))]).await.unwrap();
    world.finished(JobKind::ExpireFiles).await;
    assert_eq!(world.state(&id).await, State::Complete);
}

/// What continues elsewhere is kept to its longest time.
#[tokio::test]
async fn a_merged_ticket_keeps_its_files() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    world.desk_says(&ticket, json!({"status": "closed", "tags": ["closed_by_merge"]})).await;
    world.seen(&ticket).await;
    world.closed_days_ago(&ticket, 30).await;
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete);
    let short = Retention { maximum: Duration::from_millis(1), grace: Duration::ZERO, ..RETENTION };
    let world = world.with_policy(policy(short));
    world.look(short).await;
    assert_eq!((world.state(&id).await, world.expirations(&id).await), (State::Removed, 1));
}

/// A closing that was seen long ago, and another since then that was not.
#[tokio::test]
async fn the_last_change_of_a_closed_ticket_counts() {
    let world = World::new().await;
    let (ticket, id) = world.with_file().await;
    world.desk_says(&ticket, json!({"status": "closed"})).await;
    world.seen(&ticket).await;
    world.ledger.closed_later(&ticket, now_ms() - 11 * DAY_MS).await.unwrap();
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete);
    let closed_at = world.ledger.ticket(&ticket).await.unwrap().unwrap().closed_at.unwrap();
    assert!(closed_at > now_ms() - DAY_MS);
}

#[tokio::test]
async fn a_file_that_is_not_delivered_yet_stays() {
    let world = World::new().await;
    let ticket = world.open_ticket("Slow", None).await;
    let refused =
        json!({"service": "desk", "operation": "UpdateTicket", "times": 0, "fault": "status", "status": 503});
    world.fault(refused);
    let id = world.small(&ticket, "late.log").await;
    world.ledger.saw_ticket(&ticket, Some(7), true).await.unwrap();
    world.ledger.closed_later(&ticket, now_ms() - 11 * DAY_MS).await.unwrap();
    world.look(RETENTION).await;
    assert_eq!(world.state(&id).await, State::Complete);
}
