//! Jobs and tickets: what is due, who works on it, and what is recorded when it is done.

use sqlx::{AssertSqlSafe, Executor as _};

use super::*;

fn soon() -> i64 {
    now_ms() + 60_000
}

impl World {
    async fn claim(&self, kind: JobKind) -> Option<ClaimedJobs> {
        self.claim_jobs(kind, soon()).await.unwrap()
    }

    /// How many jobs of this kind wait, due or not.
    pub(super) async fn waiting(&self, kind: JobKind) -> i64 {
        let counts = self.job_counts().await.unwrap();
        counts.iter().find(|(name, ..)| name == kind.name()).map_or(0, |(_, count, _)| *count)
    }

    async fn run(&self, statement: &str) {
        self.write.0.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))).await.unwrap();
    }
}

fn subjects(claimed: Option<ClaimedJobs>) -> Vec<String> {
    claimed.map_or_else(Vec::new, |claimed| claimed.jobs.into_iter().map(|job| job.subject).collect())
}

#[tokio::test]
async fn delivered_upload_gets_new_receipt() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    let first = world.claim(JobKind::Receipt).await.unwrap().jobs.remove(0);
    assert_eq!((&first.subject, first.ticket.as_deref(), first.attempts), (&id, Some("1001"), 0));
    assert!(world.claim(JobKind::Receipt).await.is_none(), "it is taken");
    world.set_desk_token(&id, Some(("token", 99))).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().desk_token, Some(("token".into(), 99)));
    world
        .delivered(&id, Delivery::Undeliverable, Destination::SupportUploader, Some("the ticket is closed"))
        .await
        .unwrap();
    let upload = world.upload(&id).await.unwrap();
    assert_eq!(upload.delivery, Some(Delivery::Undeliverable));
    assert_eq!(upload.destination, Some(Destination::SupportUploader));
    assert_eq!(upload.delivery_detail.as_deref(), Some("the ticket is closed"));
    assert_eq!(upload.desk_token, None);
    assert_eq!(world.waiting(JobKind::Deliver).await, 0);
    let second = world.claim(JobKind::Receipt).await.expect("a new receipt").jobs.remove(0);
    assert_ne!(first.id, second.id);
    world.finish_job(&first.id).await.unwrap();
    assert_eq!(world.waiting(JobKind::Receipt).await, 1, "the older worker does not end the newer job");
    world.finish_job(&second.id).await.unwrap();
    assert!(world.job_counts().await.unwrap().is_empty());
    world.delivered(&id, Delivery::Done, Destination::TicketAttachment, None).await.unwrap();
    assert_eq!(world.upload(&id).await.unwrap().delivery_detail, None);
    assert!(world.claim(JobKind::Receipt).await.is_some());
}

#[tokio::test]
async fn removed_upload_gets_no_receipt() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.remove(&id, "staff:1").await.unwrap();
    world.delivered(&id, Delivery::Done, Destination::TicketAttachment, None).await.unwrap();
    assert!(world.job_counts().await.unwrap().is_empty());
    assert_eq!(world.state(&id).await, State::Removed);
}

#[tokio::test]
async fn expired_lease_is_taken_again() {
    let world = World::open().await;
    world.complete_one("d").await;
    for kind in [JobKind::Receipt, JobKind::Deliver] {
        let past = now_ms() - 1;
        let first = world.claim_jobs(kind, past).await.unwrap().unwrap();
        let again = world.claim(kind).await.unwrap();
        assert_eq!(again.held, first.held);
        assert!(!world.move_lease(&first.held, past, soon()).await.unwrap(), "it is another worker's now");
    }
}

#[tokio::test]
async fn jobs_are_postponed() {
    let world = World::open().await;
    for dedupe_key in ["a", "b"] {
        world.complete_one(dedupe_key).await;
    }
    let until = soon();
    let claimed = world.claim_jobs(JobKind::Deliver, until).await.unwrap().unwrap();
    assert_eq!((claimed.jobs.len(), &claimed.held), (2, &Held::Ticket("1001".into())));
    world.postpone(&claimed.jobs, soon(), Some("the desk is down")).await.unwrap();
    assert!(world.move_lease(&claimed.held, until, 0).await.unwrap());
    assert!(world.claim(JobKind::Deliver).await.is_none());
    world.postpone(&claimed.jobs, now_ms() - 1, None).await.unwrap();
    let attempts: Vec<_> =
        world.claim(JobKind::Deliver).await.unwrap().jobs.into_iter().map(|job| job.attempts).collect();
    assert_eq!(attempts, [1, 1], "waiting is not a failed attempt");
}

#[tokio::test]
async fn ticket_has_one_worker() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.mark_mismatch(&id, "md5 00 ef").await.unwrap();
    assert!(world.ticket("1001").await.unwrap().is_none());
    let other = world.another().await;
    let until = soon();
    let (one, two) = tokio::join!(
        world.claim_jobs(JobKind::Deliver, until),
        other.claim_jobs(JobKind::MismatchComment, until)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.is_some() != two.is_some(), "jobs of all kinds share the ticket");
    let held = one.or(two).unwrap().held;
    world.saw_ticket("1001", Some(7), false).await.unwrap();
    assert!(world.claim(JobKind::Deliver).await.is_none(), "seeing the ticket does not end the lease");
    world.note_ticket_update("1001", 0).await.unwrap();
    assert!(!world.move_lease(&held, until - 1, 0).await.unwrap(), "another worker's lease");
    assert!(world.move_lease(&held, until, soon() + 1).await.unwrap());
    assert!(world.claim(JobKind::Deliver).await.is_none(), "held until then");
    let ticket = world.ticket("1001").await.unwrap().unwrap();
    assert_eq!((ticket.organization_id, ticket.closed), (Some(7), false));
    let updates = world.ticket_updates("1001", 0).await.unwrap();
    assert_eq!(updates, [ticket.last_note_at]);
    world.note_ticket_update("1001", soon()).await.unwrap();
    assert!(world.ticket_updates("1001", 0).await.unwrap().is_empty(), "old ones are forgotten");
}

async fn queue_job(ledger: &Ledger, kind: JobKind, subject: &str, ticket: Option<&str>, payload: &str) {
    let mut tx = ledger.begin().await.unwrap();
    crate::jobs::queue_about(&mut tx, kind, subject, ticket, payload).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn job_needs_no_upload() {
    let world = World::open().await;
    // Kinds that a real caller must not use: those that came after migration 9 have the same table.
    queue_job(&world, JobKind::Receipt, "policy-1", None, "first").await;
    queue_job(&world, JobKind::Receipt, "policy-1", None, "second").await;
    queue_job(&world, JobKind::Deliver, "escalation-1", Some("1001"), "urgent").await;
    assert_eq!((world.waiting(JobKind::Receipt).await, world.waiting(JobKind::Deliver).await), (1, 1));
    let alone = world.claim(JobKind::Receipt).await.unwrap().jobs.remove(0);
    assert_eq!((alone.subject.as_str(), alone.ticket, alone.payload.as_str()), ("policy-1", None, "second"));
    let by_ticket = world.claim(JobKind::Deliver).await.unwrap();
    assert_eq!(by_ticket.held, Held::Ticket("1001".into()));
    assert_eq!(subjects(Some(by_ticket)), ["escalation-1"]);
}

/// How a gateway before migration 9 queues a job.
fn older_insert(kind: &str, upload_id: &str) -> String {
    format!(
        "INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at) \
         VALUES ('{}', '{kind}', '{upload_id}', '1001', 0, 0, 0, 0) ON CONFLICT (kind, upload_id) \
         DO UPDATE SET id = excluded.id, run_at = excluded.run_at, lease_until = 0",
        new_id()
    )
}

#[tokio::test]
async fn older_gateway_shares_the_jobs_table() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    for (kind, name) in [(JobKind::Receipt, "receipt"), (JobKind::Deliver, "deliver")] {
        world.run(&older_insert(name, &id)).await;
        assert_eq!(world.waiting(kind).await, 1, "both gateways replace one job");
        assert_eq!(subjects(world.claim(kind).await), std::slice::from_ref(&id));
    }
    // An older gateway sees our leases.
    let receipts = sqlx::query_scalar::<_, i64>(
        "SELECT COUNT(*) FROM jobs WHERE kind = 'receipt' AND run_at <= $1 AND lease_until < $1",
    );
    assert_eq!(receipts.bind(now_ms()).fetch_one(&world.read).await.unwrap(), 0);
    let tickets = sqlx::query_scalar::<_, i64>(
        "SELECT COUNT(*) FROM jobs WHERE kind IN ('deliver', 'mark') AND run_at <= $1 AND NOT EXISTS \
         (SELECT 1 FROM tickets WHERE tickets.ticket = jobs.ticket AND tickets.lease_until > $1)",
    );
    assert_eq!(tickets.bind(now_ms()).fetch_one(&world.read).await.unwrap(), 0);
}

#[tokio::test]
async fn waiting_jobs_survive_the_migration() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    let tables = include_str!("../../migrations/0001_ledger.sql");
    let (_, tables) = tables.split_once("CREATE TABLE jobs").unwrap();
    let (table, _) = tables.split_once("CREATE TABLE tickets").unwrap();
    world.run("DROP TABLE jobs").await;
    world.run(&format!("CREATE TABLE jobs{table}")).await;
    world.run("DELETE FROM _sqlx_migrations WHERE version = 9").await;
    world.run(&older_insert("deliver", &id)).await;
    world.run(&older_insert("receipt", &id)).await;
    let newer = world.another().await;
    newer.migrate().await.unwrap();
    for kind in [JobKind::Deliver, JobKind::Receipt] {
        let claimed = newer.claim_jobs(kind, soon()).await.unwrap();
        assert_eq!(subjects(claimed), std::slice::from_ref(&id), "{kind:?}");
    }
    queue_job(&newer, JobKind::Receipt, "policy-1", None, "").await;
}
