//! Objects that a partner puts into its own bucket with its own tools: found, noted once, and read.

use bucket::{Bucket, Crc64Hasher, Payload};
use desk::Comment;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use ledger::{JobKind, NewLink, PartnerObject, SeenObject, Token};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::world::{World, open};

/// Of `a`.
const SHA256: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

impl World {
    /// Globex has tickets, and a bucket of its own.
    async fn with_globex() -> Self {
        let world = Self::new().await;
        world.ledger.put_partner("globex", "globex", Some(7)).await.unwrap();
        world
    }

    fn own_bucket(&self) -> &Bucket {
        self.buckets.of_partner("globex").1
    }

    async fn put(&self, key: &str, content: &str) {
        let mut crc64 = Crc64Hasher::new();
        crc64.update(content.as_bytes());
        let payload = Payload::new(vec![content.to_owned().into()], crc64.value());
        self.own_bucket().put(key, "text/plain", &vec![], &payload).await.unwrap();
    }

    async fn look_into(&self, pages: usize) {
        delivery::look_into_buckets(&self.ledger, &self.buckets, &self.desk, pages).await;
    }

    /// Looks, and works until nothing is left to do.
    async fn look_and_work(&self) {
        self.look_into(20).await;
        self.finished(JobKind::NoteObjects).await;
        self.look_into(20).await;
        self.finished(JobKind::ReadObject).await;
    }

    async fn object_notes(&self, ticket: &str) -> Vec<Comment> {
        let mut notes = self.notes(ticket).await;
        notes.retain(|note| note.body.contains("\npartner-objects: "));
        notes
    }

    /// How often the notes on the ticket name this key.
    async fn named(&self, ticket: &str, key: &str) -> usize {
        let line = format!("- `s3://globex-own/{key}`, ");
        let notes = self.object_notes(ticket).await;
        notes.iter().flat_map(|note| note.body.lines()).filter(|found| found.starts_with(&line)).count()
    }

    async fn object(&self, key: &str) -> PartnerObject {
        self.ledger.partner_object("globex", key).await.unwrap().unwrap()
    }

    /// The calls of the bucket so far, by name.
    async fn s3_calls(&self) -> Value {
        let report = reqwest::get(&self.sandbox.faults_url).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice::<Value>(&report).unwrap()["calls"]["s3"].clone()
    }
}

#[tokio::test]
async fn each_object_for_a_ticket_is_noted_once_and_read() {
    let world = World::with_globex().await;
    let keys =
        ["2001/a.log", "2001-b.tar", "1002/closed.log", "9999/missing.log", "logs/2001/c.log", "2001x"];
    for key in keys {
        world.put(key, "a").await;
    }
    for _ in 0..3 {
        world.look_and_work().await;
    }
    let notes = world.object_notes("2001").await;
    assert_eq!((notes.len(), notes[0].public), (1, false));
    for part in ["**2 files found in the partner's bucket**", "wb partner globex --objects", "`, 1 byte\n"] {
        assert!(notes[0].body.contains(part), "{part}: {}", notes[0].body);
    }
    for key in keys {
        assert_eq!(
            world.named("2001", key).await,
            usize::from(key.starts_with("2001/") || key.starts_with("2001-"))
        );
    }
    assert_eq!(world.object("2001/a.log").await.sha256.as_deref(), Some(SHA256));
    assert_eq!(world.object("1002/closed.log").await.sha256, None, "nobody waits for it");

    // A new one is on a note of its own. One that was replaced is not noted again, but read again.
    world.put("2001/new.log", "a").await;
    world.put("2001/a.log", "bb").await;
    world.look_and_work().await;
    assert_eq!((world.object_notes("2001").await.len(), world.named("2001", "2001/new.log").await), (2, 1));
    assert_eq!(world.named("2001", "2001/a.log").await, 1);
    let replaced = world.object("2001/a.log").await;
    assert!(replaced.sha256.is_some_and(|sha256| sha256 != SHA256) && replaced.size_bytes == 2);

    // A ticket that exists later, and one of somebody else.
    world.ledger.saw_ticket("9999", Some(7), false).await.unwrap();
    world.look_into(20).await;
    assert_eq!(world.waiting(JobKind::NoteObjects).await, 1);
    world.ledger.put_partner("globex", "globex", Some(8)).await.unwrap();
    world.put("2001/other.log", "a").await;
    world.look_and_work().await;
    assert_eq!(world.named("2001", "2001/other.log").await, 0);
}

#[tokio::test]
async fn tickets_of_a_partner_without_an_organization_are_those_of_its_links() {
    let world = World::new().await;
    let link = NewLink { partner_id: "globex".into(), ticket: Some("2001".into()), ..NewLink::default() };
    world.ledger.create_link(&Token::random(), &link).await.unwrap();
    world.put("2001/a.log", "a").await;
    world.put("1001/a.log", "a").await;
    world.look_and_work().await;
    assert_eq!((world.named("2001", "2001/a.log").await, world.object_notes("1001").await.len()), (1, 0));
}

#[tokio::test]
async fn every_fault_leaves_one_note() {
    let calls = [
        ("desk", "ShowTicket"),
        ("desk", "ListComments"),
        ("desk", "UpdateTicket"),
        ("s3", "ListObjectsV2"),
        ("s3", "GetObject"),
    ];
    join_all(calls.map(async |(service, operation)| {
        let world = World::with_globex().await;
        for (n, fault) in [
            json!({"fault": "reset"}),
            json!({"fault": "lost-answer"}),
            json!({"fault": "status", "status": 500}),
            json!({"fault": "status", "status": 429, "retry_after": 1}),
        ]
        .into_iter()
        .enumerate()
        {
            let key = format!("2001/{n}");
            world.put(&key, "a").await;
            let mut rule = json!({"service": service, "operation": operation, "times": 2});
            rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
            let case = rule.to_string();
            world.fault(rule);
            world.look_and_work().await;
            world.look_and_work().await;
            assert_eq!(world.named("2001", &key).await, 1, "{case}");
            assert_eq!(world.object(&key).await.sha256.as_deref(), Some(SHA256), "{case}");
            world.sandbox.faults().clear();
        }
    }))
    .await;
}

/// The process dies while the note is on its way, which arrives nevertheless; before it is sent; or while it reads.
#[tokio::test]
async fn a_crash_leaves_one_note() {
    let world = World::with_globex().await;
    for (n, (service, operation, when)) in [
        ("desk", "UpdateTicket", "after"),
        ("desk", "UpdateTicket", "before"),
        ("desk", "ListComments", "after"),
        ("s3", "GetObject", "before"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("2001/{n}");
        world.put(&key, "a").await;
        world.look_into(20).await;
        if service == "s3" {
            world.finished(JobKind::NoteObjects).await;
            world.look_into(20).await;
        }
        world.dies_at(json!({"service": service, "operation": operation, "fault": "delay", "when": when, "delay_ms": 20_000})).await;
        // Another one comes before the retry.
        world.put(&format!("2001/later-{n}"), "a").await;
        world.look_and_work().await;
        world.look_and_work().await;
        for key in [key, format!("2001/later-{n}")] {
            assert_eq!(world.named("2001", &key).await, 1, "{operation} {when} {key}");
            assert_eq!(world.object(&key).await.sha256.as_deref(), Some(SHA256), "{operation} {when} {key}");
        }
    }
}

#[tokio::test]
async fn a_large_bucket_is_listed_a_few_pages_at_a_time_across_restarts() {
    let world = World::with_globex().await;
    let keys = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}{n:05}")).collect::<Vec<_>>();
    // Those before and behind the numbers cost nothing.
    let all = [keys("-", 300), keys("2001/", 2_300), keys("x", 300)].concat();
    stream::iter(&all).for_each_concurrent(16, async |key| world.put(key, "a").await).await;
    let before = world.s3_calls().await;
    let mut looks = 0;
    while world.ledger.partner_objects("globex").await.unwrap() < 2_300 {
        let ledger = open(&world.dir).await;
        delivery::look_into_buckets(&ledger, &world.buckets, &world.desk, 1).await;
        looks += 1;
        assert!(looks <= 3, "each page is listed once");
    }
    world.finished(JobKind::NoteObjects).await;
    let notes = world.object_notes("2001").await;
    let counted: u64 = notes
        .iter()
        .filter_map(|note| note.body.strip_prefix("**")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(counted, 2_300, "{notes:?}");
    let after = world.s3_calls().await;
    let more = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
    assert_eq!((more("ListObjectsV2"), looks), (3, 3));
    let changing: BTreeSet<_> = after.as_object().unwrap().keys().filter(|name| more(name) > 0).collect();
    assert!(
        changing.iter().all(|name| ["ListObjectsV2", "GetObject"].contains(&name.as_str())),
        "nothing is changed: {changing:?}"
    );
}

#[tokio::test]
async fn an_object_that_cannot_be_read_says_why_and_does_not_hold_up_others() {
    let world = World::with_globex().await;
    for key in ["big/gone", "big/changed", "big/good"] {
        world.put(key, "a").await;
        let listed = world.own_bucket().head(key).await.unwrap().unwrap();
        let seen = SeenObject { key: key.into(), ticket: None, size_bytes: 1, etag: listed.etag.unwrap() };
        world.ledger.want_object("globex", &seen, "staff:1").await.unwrap();
    }
    world.own_bucket().delete("big/gone").await.unwrap();
    world.put("big/changed", "bb").await;
    world.finished(JobKind::ReadObject).await;
    assert_eq!(world.object("big/gone").await.problem.as_deref(), Some("the object is gone"));
    let changed = world.object("big/changed").await;
    assert!(changed.sha256.is_some_and(|sha256| sha256 != SHA256) && changed.size_bytes == 2);
    assert_eq!(world.object("big/good").await.sha256.as_deref(), Some(SHA256));
}
