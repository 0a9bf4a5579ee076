//! A clock that was a day ahead, and came back.

use std::collections::BTreeSet;

use super::*;
use crate::clock::TIMES;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Times of what happened or what somebody chose. No job waits for one of them, so they stay as they are.
const RECORDS: [(&str, &str); 34] = [
    ("partners", "created_at"),
    ("partners", "disabled_at"),
    ("contacts", "created_at"),
    ("links", "created_at"),
    ("links", "expires_at"),
    ("links", "revoked_at"),
    ("staff_tokens", "created_at"),
    ("staff_tokens", "expires_at"),
    ("staff_tokens", "revoked_at"),
    ("uploads", "created_at"),
    ("uploads", "completed_at"),
    ("uploads", "swept_at"),
    ("uploads", "expires_at"),
    ("holds", "created_at"),
    ("sessions", "created_at"),
    ("sessions", "expires_at"),
    ("asks", "created_at"),
    ("asks", "told_at"),
    ("asks", "withdrawn_at"),
    ("asks", "arrived_at"),
    ("sender_notes", "created_at"),
    ("sender_notes", "told_at"),
    ("partner_objects", "seen_at"),
    ("partner_objects", "noted_at"),
    ("partner_objects", "verified_at"),
    ("idempotency", "done_at"),
    ("jobs", "created_at"),
    ("audit", "at"),
    ("contacts", "disabled_at"),
    ("case_numbers", "seen_at"),
    ("escalations", "created_at"),
    ("escalations", "updated_at"),
    ("steps", "begun_at"),
    ("steps", "done_at"),
];

#[tokio::test]
async fn every_time_in_the_ledger_is_corrected_or_a_record() {
    let world = World::open().await;
    let columns = if world.is_shared() {
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns \
         WHERE table_schema = 'public'"
    } else {
        "SELECT CAST(tables.name AS TEXT), CAST(columns.name AS TEXT) \
         FROM sqlite_master tables, pragma_table_info(tables.name) columns WHERE tables.type = 'table'"
    };
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&world.write).await.unwrap();
    let is_time = |name: &str| {
        ["_at", "_until"].iter().any(|end| name.ends_with(end)) || ["at", "until", "deadline"].contains(&name)
    };
    let found: BTreeSet<_> = columns
        .iter()
        .map(|(table, column)| (table.as_str(), column.as_str()))
        .filter(|(table, column)| is_time(column) && !table.starts_with("_sqlx"))
        .collect();
    let corrected = TIMES.map(|(table, column, ..)| (table, column));
    let known: BTreeSet<_> = corrected.into_iter().chain(RECORDS).collect();
    assert_eq!(known.len(), corrected.len() + RECORDS.len(), "none is both");
    assert_eq!(found, known);
}

/// A row in each table with such times.
async fn fill(world: &World) {
    world.complete_one("d").await;
    world.saw_ticket("1001", None, false).await.unwrap();
    world.note_ticket_update("1001", 0).await.unwrap();
    let key = Key { hash: "h".into(), name: "a.bin".into(), length: None, digest: None, attempt: "1".into() };
    world.claim_key(&key, 0).await.unwrap();
    let opening = OpeningTicket { key_hash: "k", fields_hash: "f", link_id: &world.link.id };
    world.claim_ticket_key(&opening, 0).await.unwrap();
    world.accept_hook("h", JobKind::SeeTicket, "1001", None, "").await.unwrap();
    let escalation = NewEscalation {
        partner_id: "acme",
        ticket: "1001",
        actor: "x",
        origin: Some(Origin { name: "o", fields_hash: "" }),
        reason: "",
        actions: "",
        urgency: Urgency::TwoHours,
        emergency: false,
        hints: &[],
    };
    world.escalate(&escalation, 50).await.unwrap();
    let notes = OrganizationNotes {
        partner_id: "acme".into(),
        organization_id: 7,
        notes: String::new(),
        details: String::new(),
        fields: "{}".into(),
        fetched_at: now_ms(),
    };
    world.put_organization_notes(&notes).await.unwrap();
    let (upload_id, side_file) = (world.begun().await, world.begun().await);
    let part = Reservation {
        upload_id: &upload_id,
        epoch: 1,
        number: 1,
        offset: 0,
        size: 10,
        crc64: "c",
        deadline: 0,
        attempts_until: 0,
    };
    world.reserve_part(&part).await.unwrap();
    let binds = SideFileRecord::Binds {
        name: "b.bin",
        algorithm: "md5",
        digest: "00",
        until: 0,
        newest: None,
        since: 0,
    };
    world.begin_completing(&end(&side_file, 1, "s")).await.unwrap();
    assert_eq!(world.complete(&side_file, 1, Some(&binds)).await.unwrap(), Completed::Now);
}

#[tokio::test]
async fn each_time_that_is_too_far_ahead_is_corrected() {
    let world = World::open().await;
    fill(&world).await;
    assert_eq!(world.correct_future_times().await.unwrap(), 0, "all are right");
    for (table, column, max_ahead, ahead) in TIMES {
        let write = format!("UPDATE {table} SET {column} = $1");
        let read = format!("SELECT MIN({column}), MAX({column}) FROM {table}");
        let now = now_ms();
        // As far ahead as a correct clock may write it, and a day.
        for (written, is_right) in [(now + max_ahead, true), (now + DAY_MS, false)] {
            let set = sqlx::query(sqlx::AssertSqlSafe(write.clone())).bind(written);
            let rows = set.execute(&world.write).await.unwrap().rows_affected();
            assert!(rows > 0, "{table} has no row");
            let corrected = world.correct_future_times().await.unwrap();
            assert_eq!(corrected, if is_right { 0 } else { rows }, "{table}.{column}");
            let query = sqlx::query_as(sqlx::AssertSqlSafe(read.clone()));
            let (least, most): (i64, i64) = query.fetch_one(&world.write).await.unwrap();
            let expected = if is_right { written..=written } else { now + ahead..=now_ms() + ahead };
            assert!(least == most && expected.contains(&least), "{table}.{column}: {}", least - now);
        }
    }
}

/// Everything it postponed is due soon, and correct times stay as they are.
#[tokio::test]
async fn times_of_a_clock_a_day_ahead_are_corrected() {
    let world = World::open().await;
    let id = world.complete_one("d").await;
    world.create().await;
    let now = now_ms();
    let deliveries = world.claim_jobs(JobKind::Deliver, now + DAY_MS).await.unwrap().unwrap().jobs;
    world.postpone(&deliveries, now + DAY_MS, Some("the desk was down")).await.unwrap();
    world.claim_jobs(JobKind::Receipt, now + DAY_MS).await.unwrap().unwrap();
    world.extend_attempts(&id, 1, now + DAY_MS).await.unwrap_err();
    world.attempt_receipt(&id, now + DAY_MS).await.unwrap();
    for kind in [JobKind::Deliver, JobKind::Receipt] {
        assert!(world.claim_jobs(kind, now + 60_000).await.unwrap().is_none());
    }
    assert_eq!(world.correct_future_times().await.unwrap(), 4);
    for kind in [JobKind::Deliver, JobKind::Receipt] {
        assert_eq!(world.claim_jobs(kind, now + 60_000).await.unwrap().unwrap().jobs.len(), 1);
    }
    assert!(world.upload(&id).await.unwrap().attempts_until < now + DAY_MS / 24);
    // A job that waits for minutes, and a lease of seconds, are as they should be.
    world.postpone(&deliveries, now_ms() + 300_000, None).await.unwrap();
    assert_eq!(world.correct_future_times().await.unwrap(), 0);
    assert!(world.claim_jobs(JobKind::Deliver, now + 60_000).await.unwrap().is_none());
}
