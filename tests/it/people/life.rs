//! A ticket's whole life, with the clock moved by the test: its link, its files, a word before they end, a hold, their end with
//! proof. And the audit of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tests::{Sandbox, curl, eventually, eventually_async, noise, objects, printed, sha256};

use super::comment_with;
use super::links::{after, opened_in_desk, told};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Makes everything about a ticket so many days older, here and in the desk, while no gateway runs.
async fn age(sandbox: &Sandbox, ticket: &str, days: i64) {
    let ledger = SqliteConnectOptions::new().filename(sandbox.data().join("ledger.db"));
    let mut ledger = ledger.connect().await.unwrap();
    for statement in [
        "UPDATE tickets SET closed_at = closed_at - $1, checked_at = checked_at - $1 WHERE ticket = $2",
        "UPDATE uploads SET created_at = created_at - $1, completed_at = completed_at - $1, attempts_until = attempts_until - $1, \
         updated_at = updated_at - $1 WHERE ticket = $2",
    ] {
        sqlx::query(statement).bind(days * DAY_MS).bind(ticket).execute(&mut ledger).await.unwrap();
    }
    ledger.close().await.unwrap();
    let older = json!({"ticket": ticket.parse::<u64>().unwrap(), "days": days});
    let url = format!("{}/age", sandbox.text("/faults"));
    let answer = reqwest::Client::new().post(url).json(&older).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

async fn has_status(sandbox: &Sandbox, ticket: &str, status: &str, event: &str) {
    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(json!({"ticket": {"status": status}}))).await;
    told(sandbox, ticket, event);
}

fn expiries(sandbox: &Sandbox, ticket: &str) -> BTreeSet<Option<String>> {
    sandbox.listed(ticket).iter().map(|upload| upload["expires_at"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_ticket_from_its_link_to_the_proof_that_its_files_are_gone() {
    let sandbox = Sandbox::start_with_file();
    let mut gateway = sandbox.gateway_with(|config| {
        config.insert(
            "retention".into(),
            toml::toml! { grace = "30d"
            minimum = "1d"
            check_every = "1s" }
            .into(),
        );
        config["limits"].as_table_mut().map(|limits| limits.insert("drain_notice".into(), "0s".into()));
    });
    let ticket = opened_in_desk(&sandbox).await;
    told(&sandbox, &ticket, "created");
    let link = after(&sandbox, &ticket, 1).await.remove(0);
    let (small, large) = (noise(1_000, 1), noise(21_000_000, 2));
    let sent = [sandbox.sent(&link, "a.log", &small), sandbox.sent(&link, "core.bin", &large)];
    let ids = sent.map(|receipt| receipt["id"].as_str().unwrap().to_owned());
    eventually("both are on the ticket", || {
        sandbox.listed(&ticket).iter().all(|upload| upload["delivery"] == "done").then_some(())
    });

    // Solved, open again, and solved: one word about the files.
    for (status, event) in [("solved", "s1"), ("open", "o1"), ("solved", "s2")] {
        has_status(&sandbox, &ticket, status, event).await;
        comment_with(&sandbox, &ticket, "files-end: solved").await;
    }
    assert_eq!(expiries(&sandbox, &ticket), [None].into(), "the ticket decides");
    has_status(&sandbox, &ticket, "closed", "c1").await;
    let times = eventually("the closing is noticed", || {
        let times = expiries(&sandbox, &ticket);
        times.iter().all(Option::is_some).then_some(times)
    });
    let in_days =
        |time: &str| (ledger::parse_rfc3339(time).unwrap() - ledger::now_ms() + DAY_MS / 2) / DAY_MS;
    assert!(times.iter().flatten().all(|time| in_days(time) == 30), "{times:?}");
    assert_eq!(sandbox.send(&link, "late.log", b"late").problem(), "/problems/ticket-closed");

    // A hold comes in time.
    let held = sandbox.wb(&["hold", "add", &format!("#{ticket}"), "--reason", "A lawsuit"]);
    assert!(printed(&held).contains("A lawsuit"), "{held:?}");
    gateway.kill();
    age(&sandbox, &ticket, 33).await;
    gateway.restart();
    eventually("the time is over", || {
        expiries(&sandbox, &ticket).iter().flatten().all(|time| in_days(time) < 0).then_some(())
    });
    let removed = sandbox.wb(&["rm", "--yes", &ids[0]]);
    assert_eq!(removed.status.code(), Some(1), "{removed:?}");
    assert!(String::from_utf8_lossy(&removed.stderr).contains("has a hold"), "{removed:?}");
    assert_eq!(
        sandbox.staff(&format!("/uploads/{}", ids[0]), &["-X", "DELETE"]).problem(),
        "/problems/on-hold"
    );
    assert_eq!(sandbox.listed(&ticket).len(), 2);
    let content = sandbox.staff(&format!("/uploads/{}/content?via=gateway", ids[1]), &["-o", "/dev/null"]);
    assert_eq!(content.status, 200, "a held file is there: {content:?}");

    // Lifted, the files end: from every list, from the bucket, with proof.
    assert_eq!(sandbox.wb(&["hold", "show", &ticket]).status.code(), Some(0));
    assert_eq!(sandbox.wb(&["hold", "lift", &ticket]).status.code(), Some(0));
    assert_eq!(sandbox.wb(&["hold", "show", &ticket]).status.code(), Some(3));
    eventually("the files end", || sandbox.listed(&ticket).is_empty().then_some(()));
    let bucket = sandbox.bucket(None).await;
    let proofs = eventually_async("the bucket has agreed", async || {
        gateway.sweep();
        let proofs = entries(&sandbox, &ticket, "upload.delete");
        (proofs.len() == 2).then_some(proofs)
    })
    .await;
    for ((id, bytes), proof) in ids.iter().zip([&small, &large]).zip(&proofs) {
        assert_eq!(proof["subject"], *id);
        let said: Value = serde_json::from_str(proof["detail"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&said["sha256"], &said["size"], &said["listed"]),
            (&json!(sha256(bytes)), &json!(bytes.len()), &json!(false))
        );
        assert!(said["key"].as_str().unwrap().contains(&format!("{ticket}/{id}/")), "{said}");
    }
    assert!(
        objects(&bucket).await.iter().all(|key| !ids.iter().any(|id| key.contains(id))),
        "nothing is left"
    );
    assert_eq!(sandbox.staff(&format!("/uploads/{}/content", ids[0]), &[]).status, 410);
    assert_eq!(curl(&[&format!("{link}/uploads/{}", ids[0])]).status, 410, "its sender is told");

    the_audit_tells_it(&sandbox, &ticket);
    for action in ["upload.expire", "upload.delete"] {
        assert_eq!(entries(&sandbox, &ticket, action).len(), 2, "once each");
    }
    assert_eq!(after(&sandbox, &ticket, 1).await.len(), 1, "one comment with a link");
}

fn entries(sandbox: &Sandbox, ticket: &str, action: &str) -> Vec<Value> {
    let audit = sandbox.staff(&format!("/audit?ticket={ticket}"), &[]).json();
    audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).cloned().collect()
}

/// As a table and as JSON lines, in the order in which it happened.
fn the_audit_tells_it(sandbox: &Sandbox, ticket: &str) {
    let shown = |arguments: &[&str]| String::from_utf8(sandbox.wb(arguments).stdout).unwrap();
    let text = shown(&["audit", "--ticket", ticket]);
    let lines = shown(&["audit", "--ticket", ticket, "--json"]);
    let actions: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(text.lines().count(), actions.len() + 1, "{text}");
    let mut order = Vec::new();
    for action in &actions {
        if !order.contains(action) && action != "ticket.list" {
            order.push(action.clone());
        }
    }
    let expected = [
        "link.create",
        "upload.complete",
        "ticket.hold",
        "upload.read",
        "ticket.lift",
        "upload.expire",
        "upload.delete",
    ];
    assert_eq!(order, expected, "{text}");
}
