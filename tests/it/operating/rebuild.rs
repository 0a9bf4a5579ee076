//! The ledger is lost, or restored from an old backup. `sweep --adopt` rebuilds it from files, receipts and tickets, and adds
//! no note to a ticket that already has one.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::{
    Gateway, Postgres, Sandbox, World, ask, break_off, comments_naming, curl, eventually_async, noise,
    object, objects, printed, program, sha256,
};

/// A gateway on an empty ledger. The database, where it is one, lives as long as the second.
fn on_an_empty_ledger(sandbox: &Sandbox) -> (Gateway, Option<Postgres>) {
    let postgres = sandbox.postgres().and_then(|_| Postgres::from_environment());
    let url = match &postgres {
        Some(postgres) => postgres.url(),
        None => format!("sqlite:{}", sandbox.data().join("empty.db").display()),
    };
    let gateway = sandbox.gateway_with(|config| {
        config["ledger"].as_table_mut().unwrap().insert("url".into(), url.into());
    });
    (gateway, postgres)
}

async fn put(bucket: &bucket::Bucket, key: &str, bytes: &[u8]) {
    let mut crc64 = bucket::Crc64Hasher::new();
    crc64.update(bytes);
    let payload = bucket::Payload::new(vec![bytes.to_vec().into()], crc64.value());
    bucket.put(key, "application/json", &vec![], &payload).await.unwrap();
}

fn key(receipt: &Value) -> String {
    let text = |field: &str| receipt[field].as_str().unwrap();
    format!("{}/{}/{}", text("ticket"), text("id"), text("name"))
}

fn id(receipt: &Value) -> &str {
    receipt["id"].as_str().unwrap()
}

/// Waits until the receipt in the bucket tells so of the delivery.
async fn until_written(bucket: &bucket::Bucket, receipt: &Value, delivery: &str) {
    let key = format!("{}.receipt.json", key(receipt));
    eventually_async(&format!("{key} says {delivery}"), async || {
        let there = objects(bucket).await.contains(&key);
        let said: Value =
            serde_json::from_slice(&if there { object(bucket, &key).await } else { vec![] }).ok()?;
        (said["delivery"] == delivery).then_some(())
    })
    .await;
}

/// `wb` with a token of the new ledger.
fn wb(sandbox: &Sandbox, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("wb"));
    let output =
        sandbox.shell_environment(command.args(arguments)).env("WEIGHBRIDGE_TOKEN", token).output().unwrap();
    assert!(output.status.success(), "wb {arguments:?}: {}", printed(&output));
    output
}

/// What was found of one kind, by key.
fn keys<'a>(found: &'a [Value], what: &str) -> Vec<&'a str> {
    found.iter().filter(|one| one["found"] == what).map(|one| one["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lost_ledger_is_rebuilt_from_receipts() {
    let World { mut gateway, sandbox } = World::start();
    let (shared, own) = (sandbox.bucket(None).await, sandbox.bucket(Some("globex")).await);
    let mut sent = Vec::new();
    for (partner, bucket) in [("acme", &shared), ("globex", &own)] {
        for (name, size) in [("Größe b.log", 1_000), ("large.bin", 20_500_000)] {
            let bytes = noise(size, 1);
            let receipt = sandbox.sent(&sandbox.link(partner), name, &bytes);
            until_written(bucket, &receipt, "done").await;
            let now = sandbox.staff(&format!("/uploads/{}", id(&receipt)), &[]).json();
            sent.push((now, bytes));
        }
    }
    // Objects without a receipt, and receipts that must not be believed.
    let another = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut forged = sent[2].0.clone();
    forged["id"] = another.into();
    let at = |ticket: &str, name: &str| format!("{ticket}/{another}/{name}");
    put(&own, "own/file.bin", b"theirs").await;
    put(&own, &at("2001", "bare.log.receipt.json"), b"{}").await;
    for (ticket, name, changes) in [
        ("2001", "size.log", json!({"size": 7})),
        ("1001", "acme.log", json!({"partner": "acme"})),
        ("1001", "note.log", json!({"delivery": "pending"})),
        ("1001", "told.log", json!({"delivery": "done"})),
        ("1001", "lost.log", json!({"delivery": "undeliverable"})),
        ("424242", "none.log", json!({"delivery": "done"})),
        ("2001", "gone.log", json!({})),
    ] {
        let mut receipt = forged.clone();
        (receipt["ticket"], receipt["name"], receipt["size"]) = (ticket.into(), name.into(), 6.into());
        receipt.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        put(&own, &format!("{}.receipt.json", at(ticket, name)), receipt.to_string().as_bytes()).await;
        if name != "gone.log" {
            put(&own, &at(ticket, name), b"forged").await;
        }
    }
    gateway.kill();

    let (gateway, _postgres) = on_an_empty_ledger(&sandbox);
    let token = gateway.admin_ok(&["token", "create", "--name", "ada"]).trim().to_owned();
    let listed = |ticket: &str| sandbox.staff_as(&token, &format!("/uploads?ticket={ticket}"), &[]).json();
    for arguments in [&["--adopt", "--dry-run"][..], &["--adopt"]] {
        assert_eq!(listed("1001")["uploads"], json!([]), "before {arguments:?}");
        let before = requests(&sandbox).await;
        let mut found = gateway.sweep_with(arguments);
        assert_eq!(requests(&sandbox).await - before, 3, "of each ticket in a partner's own bucket once");
        let sum = found.pop().unwrap();
        assert_eq!(
            (&sum["adopted"], &sum["known"], &sum["failed"]),
            (&json!(4), &json!(0), &json!(0)),
            "{sum}"
        );
        assert_eq!((&sum["refused"], &sum["unverified"]), (&json!(7), &json!(2)), "{found:?}");
        assert_eq!(keys(&found, "other-size"), [at("2001", "size.log")]);
        assert_eq!(keys(&found, "other-partner"), [at("1001", "acme.log")]);
        let others =
            [("1001", "lost.log"), ("1001", "note.log"), ("1001", "told.log"), ("424242", "none.log")];
        assert_eq!(keys(&found, "other-ticket"), others.map(|(ticket, name)| at(ticket, name)));
        assert_eq!(keys(&found, "no-object"), [at("2001", "gone.log.receipt.json")]);
        assert_eq!(keys(&found, "unverified").len(), 2);
        let adopted = keys(&found, "adopted");
        assert!(sent.iter().all(|(receipt, _)| adopted.contains(&key(receipt).as_str())), "{adopted:?}");
    }
    let again = gateway.sweep_with(&["--adopt"]).pop().unwrap();
    assert_eq!((&again["adopted"], &again["known"]), (&json!(0), &json!(4)), "{again}");
    for (receipt, bytes) in &sent {
        let now = sandbox.staff_as(&token, &format!("/uploads/{}", id(receipt)), &[]).json();
        assert_eq!(&now, receipt, "the same receipt");
        fetched(&sandbox, &token, receipt, bytes);
    }
    let shown =
        String::from_utf8(wb(&sandbox, &token, &["--json", "ls", "--ticket", "2001"]).stdout).unwrap();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    // The next note on each ticket is the next file's, and nothing else's.
    for (partner, ticket, bucket) in [("acme", "1001", &shared), ("globex", "2001", &own)] {
        let link = gateway.make_link(&["--partner", partner, "--ticket", ticket]);
        until_written(bucket, &sandbox.sent(&link, "next.log", partner.as_bytes()), "done").await;
        let comments = sandbox.comments(ticket).await;
        for (receipt, _) in sent.iter().filter(|(receipt, _)| receipt["ticket"] == ticket) {
            assert_eq!(comments_naming(&comments, id(receipt)), 1, "{comments:?}");
        }
        assert_eq!(comments_naming(&comments, another), 0);
    }
}

/// How often the desk was asked for a ticket.
async fn requests(sandbox: &Sandbox) -> u64 {
    sandbox.faults().await["calls"]["desk"]["ShowTicket"].as_u64().unwrap_or(0)
}

fn fetched(sandbox: &Sandbox, token: &str, receipt: &Value, bytes: &[u8]) {
    wb(sandbox, token, &["verify", id(receipt)]);
    let folder = sandbox.scratch().join("fetched").join(id(receipt));
    wb(sandbox, token, &["get", id(receipt), "-o", folder.to_str().unwrap()]);
    let path = folder.join(Path::new(receipt["name"].as_str().unwrap()));
    assert_eq!(sha256(&std::fs::read(&path).unwrap()), sha256(bytes), "{}", path.display());
}

/// Of two deliveries that their receipts call pending one was made: its receipt was not written any more.
#[tokio::test]
async fn notes_are_written_only_where_missing() {
    let World { mut gateway, sandbox } = World::start();
    let (shared, own) = (sandbox.bucket(None).await, sandbox.bucket(Some("globex")).await);
    let told = sandbox.sent(&sandbox.link("acme"), "told.log", b"told");
    until_written(&shared, &told, "done").await;
    let down = json!({"service": "desk", "operation": "*", "fault": "status", "status": 503, "times": 0});
    sandbox.fault(down).await;
    let untold = sandbox.sent(&sandbox.link("globex"), "untold.log", b"untold");
    until_written(&own, &untold, "pending").await;
    gateway.kill();
    let receipt_key = format!("{}.receipt.json", key(&told));
    let written = String::from_utf8(object(&shared, &receipt_key).await).unwrap();
    put(&shared, &receipt_key, written.replace("\"done\"", "\"pending\"").as_bytes()).await;

    let (gateway, _postgres) = on_an_empty_ledger(&sandbox);
    // Whose ticket it is cannot be asked: later.
    let output = gateway.admin(&["sweep", "--adopt"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("run this again"), "{}", printed(&output));
    sandbox.clear_faults().await;
    // Nor is a desk that asks to be left alone for a moment one that knows no such ticket.
    let limited = json!({"service": "desk", "operation": "ShowTicket", "fault": "status", "status": 429,
        "retry_after": 1, "times": 1});
    sandbox.fault(limited).await;
    let sum = gateway.sweep_with(&["--adopt"]).pop().unwrap();
    assert_eq!((&sum["adopted"], &sum["known"]), (&json!(1), &json!(1)), "{sum}");
    for (bucket, receipt) in [(&shared, &told), (&own, &untold)] {
        until_written(bucket, receipt, "done").await;
        let comments = sandbox.comments(receipt["ticket"].as_str().unwrap()).await;
        assert_eq!(comments_naming(&comments, id(receipt)), 1, "{comments:?}");
    }
}

/// The backup does not know that an upload was finished, nor of one that came afterwards.
#[tokio::test]
async fn restored_ledger_catches_up_with_the_buckets() {
    let World { mut gateway, sandbox } = World::start_with_file();
    let (link, bucket) = (sandbox.link("acme"), sandbox.bucket(None).await);
    let (bytes, later) = (noise(9_000_000, 1), noise(5_000, 2));
    let address = format!("{link}/half.bin");
    break_off("PUT", &address, &[], bytes.len(), &bytes[..1_000]);
    tests::until_offset(&address, &[], 1_000);
    assert!(gateway.terminate().success());
    let ledger = sandbox.data().join("ledger.db");
    let backup = std::fs::read(&ledger).unwrap();
    gateway.restart();
    let done = ask("PUT", &address, &["Upload-Offset: 1000"], &bytes[1_000..]).is(201).json();
    let after = sandbox.sent(&link, "after.log", &later);
    until_written(&bucket, &done, "done").await;
    until_written(&bucket, &after, "done").await;
    assert!(gateway.terminate().success());
    std::fs::write(&ledger, backup).unwrap();
    for log in ["ledger.db-wal", "ledger.db-shm"] {
        assert!(!sandbox.data().join(log).exists(), "a log of another ledger");
    }
    gateway.restart();
    // Even when told to delete it, it keeps an object with a receipt.
    sandbox.give_up_unfinished("");
    assert_eq!(gateway.admin(&["sweep"]).status.code(), Some(1));
    assert!(object(&bucket, &key(&done)).await == bytes);
    let sum = gateway.sweep_with(&["--adopt"]).pop().unwrap();
    assert_eq!((&sum["adopted"], &sum["failed"]), (&json!(2), &json!(0)), "{sum}");
    assert_eq!(curl(&[done_at(&link, &done).as_str()]).json()["sha256"], sha256(&bytes));
    // A sender that tries again on its link, which this ledger knows, is answered with the first receipt.
    assert_eq!(sandbox.sent(&link, "after.log", &later)["id"], after["id"]);
    for receipt in [&done, &after] {
        assert_eq!(comments_naming(&sandbox.comments("1001").await, id(receipt)), 1);
    }
}

fn done_at(link: &str, receipt: &Value) -> String {
    format!("{link}/uploads/{}", id(receipt))
}
