//! What follows a ticket's life when something comes between two steps: a crash, a reopening, a desk that fails, hooks that are
//! repeated, late, out of order or lost. Always one link, one warning and one deletion.

use std::time::Duration;

use delivery::{poll, retention};
use futures_util::future::join_all;
use ledger::{JobKind, State, now_ms};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::retention::DAY_MS;
use crate::world::{RETENTION, World, new_delivery, new_tickets, open, policy};

const FORM: Option<u64> = Some(360_001_172_559);

impl World {
    /// Runs a worker until the fault is due, and then it dies.
    pub(crate) async fn dies_at(&self, rule: serde_json::Value) {
        self.sandbox.faults().clear();
        self.fault(rule);
        let config =
            delivery::Config { batch: Duration::ZERO, ..delivery::Config::new("https://gate.example") };
        let dying = new_delivery(&self.sandbox, &open(&self.dir).await, &self.buckets, &self.desk, config);
        let running = tokio::spawn(async move { dying.pass().await });
        self.until_hit().await;
        running.abort();
        self.sandbox.faults().clear();
        self.ledger.release_claims().await.unwrap();
    }

    /// Records times and queues jobs, and works on none.
    async fn look_alone(&self) {
        let stop = CancellationToken::new();
        let tickets = new_tickets(&self.ledger, &self.desk, policy(RETENTION));
        let looking =
            tokio::spawn(retention(self.ledger.clone(), tickets, Duration::from_millis(20), stop.clone()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
        looking.await.unwrap();
    }

    async fn links_on(&self, ticket: &str) -> usize {
        self.notes(ticket).await.iter().filter(|note| note.body.contains("upload-link: ")).count()
    }
}

#[tokio::test]
async fn a_crash_leaves_one_warning() {
    let world = World::new().await;
    for (operation, when) in [
        ("ShowTicket", "before"),
        ("ListComments", "after"),
        ("UpdateTicket", "before"),
        ("UpdateTicket", "after"),
    ] {
        let (ticket, _) = world.with_file().await;
        world.ledger.queue_solved(&ticket).await.unwrap();
        world
            .dies_at(json!({"service": "desk", "operation": operation, "fault": "delay", "when": when, "delay_ms": 20_000}))
            .await;
        world.desk_says(&ticket, json!({"status": "solved"})).await;
        world.seen(&ticket).await;
        assert_eq!(world.told(&ticket, "files-end: solved").await, 1, "{operation} {when}");
    }
}

#[tokio::test]
async fn a_crash_leaves_one_deletion() {
    let world = World::new().await;
    for when in ["before", "after"] {
        let (ticket, id) = world.closed(11).await;
        world.look_alone().await;
        assert_eq!(world.state(&id).await, State::Complete);
        world
            .dies_at(json!({"service": "desk", "operation": "ShowTicket", "fault": "delay", "when": when, "delay_ms": 20_000}))
            .await;
        assert_eq!(world.state(&id).await, State::Complete, "{when}");
        world.finished(JobKind::ExpireFiles).await;
        world.look(RETENTION).await;
        assert_eq!(
            (world.state(&id).await, world.expirations(&id).await),
            (State::Removed, 1),
            "{ticket} {when}"
        );
    }
}

/// The desk can fail in any way between any two calls of the job.
#[tokio::test]
async fn every_fault_leaves_one_warning() {
    join_all(["ShowTicket", "ListComments", "UpdateTicket"].map(async |operation| {
        let world = World::new().await;
        for fault in [
            json!({"fault": "reset"}),
            json!({"fault": "lost-answer"}),
            json!({"fault": "status", "status": 500}),
            json!({"fault": "status", "status": 409}),
            json!({"fault": "status", "status": 429, "retry_after": 1}),
        ] {
            let (ticket, _) = world.with_file().await;
            world.sandbox.faults().clear();
            let mut rule = json!({"service": "desk", "operation": operation, "times": 2});
            rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
            let case = rule.to_string();
            world.fault(rule);
            world.ledger.queue_solved(&ticket).await.unwrap();
            world.finished(JobKind::WarnFiles).await;
            world.sandbox.faults().clear();
            assert_eq!(world.told(&ticket, "files-end: solved").await, 1, "{case}");
        }
    }))
    .await;
}

/// Reopened after each step of its end, and the reopening seen or lost. Then it is closed for good.
#[tokio::test]
async fn a_ticket_that_is_reopened_between_two_steps_keeps_its_files() {
    for step in 0..4 {
        for is_seen in [true, false] {
            let world = World::new().await;
            let (ticket, id) = world.with_file().await;
            world.desk_says(&ticket, json!({"status": "solved"})).await;
            world.seen(&ticket).await;
            if step >= 1 {
                world.ledger.saw_ticket(&ticket, Some(7), true).await.unwrap();
            }
            if step >= 2 {
                world.ledger.closed_later(&ticket, now_ms() - 11 * DAY_MS).await.unwrap();
            }
            if step >= 3 {
                world.look_alone().await;
                assert!(world.ledger.upload(&id).await.unwrap().expires_at.unwrap() < now_ms());
            }
            world.desk_says(&ticket, json!({"status": "open"})).await;
            if is_seen {
                world.seen(&ticket).await;
            }
            world.look(RETENTION).await;
            let case = format!("step {step}, seen {is_seen}");
            assert_eq!(
                (world.state(&id).await, world.expirations(&id).await),
                (State::Complete, 0),
                "{case}"
            );
            for status in ["solved", "closed"] {
                world.desk_says(&ticket, json!({"status": status})).await;
                world.seen(&ticket).await;
            }
            world.look(RETENTION).await;
            assert_eq!(world.state(&id).await, State::Complete, "its time begins again: {case}");
            world.closed_days_ago(&ticket, 11).await;
            world.look(RETENTION).await;
            assert_eq!((world.state(&id).await, world.expirations(&id).await), (State::Removed, 1), "{case}");
            assert_eq!(world.told(&ticket, "files-end: solved").await, 1, "{case}");
        }
    }
}

/// While the desk is down or slow, hooks come twice, late and in any order, or not at all. Polling runs beside them.
#[tokio::test]
async fn hooks_in_any_order_while_the_desk_fails_do_everything_once() {
    join_all(
        [
            json!({"fault": "status", "status": 503, "times": 6}),
            json!({"fault": "delay", "when": "before", "delay_ms": 300, "times": 6}),
            json!({"fault": "lost-answer", "times": 4}),
        ]
        .map(async |fault| {
            for hooks in [&["1", "1", "2", "2"][..], &["2", "1", "2", "1"], &["2"], &[]] {
                let world = World::new().await;
                let stop = CancellationToken::new();
                let polling = tokio::spawn(poll(
                    world.ledger.clone(),
                    world.desk.clone(),
                    Duration::from_millis(100),
                    stop.clone(),
                ));
                while world.ledger.cursor("tickets").await.unwrap().is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let ticket = world.open_ticket("Slow", FORM).await;
                let id = world.small(&ticket, "core.log").await;
                let mut rule = json!({"service": "desk", "operation": "*"});
                rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
                let case = format!("{rule} {hooks:?}");
                world.settle(&id).await;
                // In the desk everything has happened before the first hook comes.
                world.desk_says(&ticket, json!({"status": "solved"})).await;
                world.fault(rule);
                for event in hooks {
                    world
                        .ledger
                        .accept_hook(event, JobKind::SeeTicket, &ticket, Some(&ticket), "")
                        .await
                        .unwrap();
                    world.delivery.pass().await.unwrap();
                }
                for _ in 0..600 {
                    world.delivery.pass().await.unwrap();
                    let told = world.ledger.step(&ticket, "warn-solved").await.unwrap();
                    let is_told = told.is_some_and(|step| step.done_at.is_some());
                    if is_told && world.ledger.has_working_link(&ticket, "acme", &[]).await.unwrap() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                world.finished(JobKind::PostLink).await;
                world.sandbox.faults().clear();
                world.desk_says(&ticket, json!({"status": "closed"})).await;
                world.seen(&ticket).await;
                stop.cancel();
                polling.await.unwrap();
                for event in hooks {
                    world
                        .ledger
                        .accept_hook(event, JobKind::SeeTicket, &ticket, Some(&ticket), "")
                        .await
                        .unwrap();
                }
                world.closed_days_ago(&ticket, 11).await;
                world.look(RETENTION).await;
                let told = world.told(&ticket, "files-end: solved").await;
                assert_eq!((world.links_on(&ticket).await, told), (1, 1), "{case}");
                assert_eq!(
                    (world.state(&id).await, world.expirations(&id).await),
                    (State::Removed, 1),
                    "{case}"
                );
            }
        }),
    )
    .await;
}
