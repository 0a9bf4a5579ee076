//! The desk fails in every way it can. The sender never notices, and each file ends up in exactly one comment.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{
    Gateway, Sandbox, comments_naming, eventually_async, noise, object, objects, sha256, side_by_side,
};

/// No sender waits for the desk: far below the shortest of its timeouts.
const AT_ONCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Case {
    partner: &'static str,
    bytes: usize,
    rules: Vec<Value>,
    /// Whether the rules are cleared only after they were hit some times.
    healed_after: Option<u64>,
    /// How long the desk asked to be left alone, at least.
    waits: Duration,
    destination: &'static str,
}

const SMALL: usize = 40_000;
const LARGE: usize = 20_000_001;

/// A small file of `acme`, which is attached to the ticket whatever fails.
fn attached(rules: Vec<Value>) -> Case {
    Case {
        partner: "acme",
        bytes: SMALL,
        rules,
        healed_after: None,
        waits: Duration::ZERO,
        destination: "ticket-attachment",
    }
}

/// A large file of `acme`, which gets a note whatever fails.
fn noted(rules: Vec<Value>) -> Case {
    Case { bytes: LARGE, destination: "support-uploader", ..attached(rules) }
}

fn status(operation: &str, status: u16, times: u64) -> Value {
    json!({"service": "desk", "operation": operation, "fault": "status", "status": status, "times": times})
}

fn fault(operation: &str, fault: &str, times: u64) -> Value {
    json!({"service": "desk", "operation": operation, "fault": fault, "times": times})
}

fn limited(operation: &str) -> Case {
    let mut rule = status(operation, 429, 1);
    rule["retry_after"] = 3.into();
    Case { waits: Duration::from_secs(3), ..attached(vec![rule]) }
}

fn cases() -> Vec<Case> {
    let slow =
        || json!({"service": "desk", "operation": "*", "fault": "delay", "delay_ms": 700, "times": 12});
    let mut cases = vec![
        attached(vec![status("*", 503, 3)]),
        noted(vec![status("*", 503, 3)]),
        attached(vec![fault("*", "reset", 3)]),
        attached(vec![slow()]),
        noted(vec![slow()]),
        // Only an operator can fix it: the job waits, and continues when the credentials are right again.
        Case { healed_after: Some(3), ..attached(vec![status("*", 401, 0)]) },
        Case { healed_after: Some(3), ..noted(vec![status("Token", 401, 0)]) },
        limited("ShowTicket"),
        limited("CreateUpload"),
        limited("UpdateTicket"),
        attached(vec![status("UpdateTicket", 409, 4)]),
        noted(vec![status("UpdateTicket", 409, 1)]),
        attached(vec![status("UpdateTicket", 500, 1), fault("CreateUpload", "lost-answer", 1)]),
        noted(vec![fault("UpdateTicket", "lost-answer", 2)]),
    ];
    for operation in ["Token", "Me", "ShowTicket", "ListComments", "CreateUpload", "UpdateTicket"] {
        cases.push(attached(vec![status(operation, 401, 1)]));
        cases.push(attached(vec![fault(operation, "lost-answer", 1)]));
        cases.push(attached(vec![fault(operation, "corrupt", 1)]));
    }
    // The desk refuses the file itself, so the note says where it is.
    for refusal in [413, 422] {
        cases.push(Case {
            destination: "support-uploader",
            ..attached(vec![status("CreateUpload", refusal, 0)])
        });
        let refused = attached(vec![status("CreateUpload", refusal, 0)]);
        cases.push(Case { partner: "globex", destination: "partner-bucket", ..refused });
    }
    cases
}

/// Waits until the ticket was told, or never will be; answers the upload as support sees it.
async fn settled(sandbox: &Sandbox, id: &str) -> Value {
    eventually_async("the delivery is finished", async || {
        let upload = sandbox.staff(&format!("/uploads/{id}"), &[]).json();
        (upload["delivery"] != "pending").then_some(upload)
    })
    .await
}

async fn check(case: &Case) {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let (ticket, link) = sandbox.open_ticket_and_link(&gateway, case.partner).await;
    for rule in &case.rules {
        sandbox.fault(rule.clone()).await;
    }
    let bytes = noise(case.bytes, 3);
    let begun = Instant::now();
    let receipt = sandbox.sent(&link, "trace.log", &bytes);
    assert!(begun.elapsed() < AT_ONCE, "the sender waited {:?}", begun.elapsed());
    let id = receipt["id"].as_str().unwrap();
    if let Some(times) = case.healed_after {
        sandbox.fault_hit(times).await;
        assert_eq!(sandbox.listed(&ticket)[0]["delivery"], "pending");
        sandbox.clear_faults().await;
    }
    let upload = settled(&sandbox, id).await;
    assert!(begun.elapsed() >= case.waits, "it did not wait as the desk asked: {:?}", begun.elapsed());
    if case.healed_after.is_none() {
        let faults = sandbox.faults().await;
        let hits = faults["rules"].as_array().unwrap();
        assert!(hits.iter().all(|rule| rule["hit"].as_u64() > Some(0)), "the fault was not met: {faults}");
    }
    assert_eq!(
        (&upload["delivery"], &upload["destination"]),
        (&json!("done"), &json!(case.destination)),
        "{upload}"
    );
    let comments = sandbox.comments(&ticket).await;
    assert_eq!(comments_naming(&comments, id), 1, "{comments:#?}");
    assert_eq!(comments.len(), 2, "the description and one note: {comments:#?}");
    let attachments = sandbox.attachments(&ticket).await;
    let attached = case.destination == "ticket-attachment";
    assert_eq!(attachments.len(), usize::from(attached));
    assert!(attachments.iter().all(|(name, sent)| name == "trace.log" && *sent == bytes));
    // The receipt is the current truth for the sender and in the bucket, too.
    let shown = tests::curl(&[&format!("{link}/uploads/{id}")]).json();
    assert_eq!(
        (&shown["delivery"], &shown["destination"]),
        (&json!("done"), &json!(case.destination)),
        "{shown}"
    );
    let bucket = sandbox.bucket(Some(case.partner).filter(|partner| *partner == "globex")).await;
    let key = format!("{ticket}/{id}/trace.log");
    assert!(object(&bucket, &key).await == bytes, "the original has other bytes");
    eventually_async("the receipt in the bucket says the same", async || {
        let key = format!("{key}.receipt.json");
        let there = objects(&bucket).await.contains(&key);
        let written: Value =
            if there { serde_json::from_slice(&object(&bucket, &key).await).unwrap() } else { Value::Null };
        (written["destination"] == case.destination && written["delivery"] == "done").then_some(())
    })
    .await;
}

#[test]
fn desk_faults_never_reach_the_sender() {
    side_by_side(8, &cases(), check);
}

#[tokio::test]
async fn closed_ticket_refuses_the_next_file() {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let bucket = sandbox.bucket(None).await;
    let (ticket, link) = sandbox.open_ticket_and_link(&gateway, "acme").await;
    let close = json!({"ticket": {"status": "closed"}});
    let closed = sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(close)).await;
    assert_eq!(closed["ticket"]["status"], "closed");
    // A bound link does not ask the desk, so the first file is accepted.
    let bytes = noise(SMALL, 4);
    let id = sandbox.sent(&link, "late.log", &bytes)["id"].as_str().unwrap().to_owned();
    let upload = settled(&sandbox, &id).await;
    assert_eq!(upload["delivery"], "undeliverable");
    assert_eq!(upload["destination"], "support-uploader", "it is not on the ticket");
    assert!(upload["delivery_detail"].as_str().unwrap().contains("closed"), "{upload}");
    assert!(
        object(&bucket, &format!("{ticket}/{id}/late.log")).await == bytes,
        "the file stays in its bucket"
    );
    let audit = gateway.admin_ok(&["audit", "--subject", &id]);
    assert!(audit.contains("upload.undeliverable"), "{audit}");
    let metrics = reqwest::get(sandbox.text("/metrics")).await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("weighbridge_uploads{state=\"complete\",delivery=\"undeliverable\"} 1"),
        "{metrics}"
    );

    let next = sandbox.send(&link, "next.log", &bytes);
    assert_eq!((next.status, next.problem().as_str()), (409, "/problems/ticket-closed"), "{next:?}");
    assert!(next.json()["detail"].as_str().unwrap().contains("follow-up"), "it says what to do");
    assert_eq!(sandbox.listed(&ticket).len(), 1);
}

#[tokio::test]
async fn missing_ticket_makes_a_file_undeliverable() {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let (ticket, link) = sandbox.open_ticket_and_link(&gateway, "globex").await;
    sandbox.desk("DELETE", &format!("/tickets/{ticket}"), None).await;
    let id = sandbox.sent(&link, "a.log", b"a")["id"].as_str().unwrap().to_owned();
    let upload = settled(&sandbox, &id).await;
    assert_eq!(
        (&upload["delivery"], &upload["destination"]),
        (&json!("undeliverable"), &json!("partner-bucket"))
    );
}

#[tokio::test]
async fn files_sent_together_share_a_comment() {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let (ticket, link) = sandbox.open_ticket_and_link(&gateway, "acme").await;
    let begun = Instant::now();
    let mut ids = Vec::new();
    for number in 0..6 {
        let receipt = sandbox.sent(&link, &format!("{number}.log"), &noise(1_000 + number, 5));
        ids.push(receipt["id"].as_str().unwrap().to_owned());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "too slow a machine for this test");
    for id in &ids {
        assert_eq!(settled(&sandbox, id).await["destination"], "ticket-attachment");
    }
    let comments = sandbox.comments(&ticket).await;
    assert!(ids.iter().all(|id| comments_naming(&comments, id) == 1), "{comments:#?}");
    assert!(comments.len() <= 1 + 2, "{} notes for files within 10 s", comments.len() - 1);
    assert_eq!(sandbox.attachments(&ticket).await.len(), ids.len());
}

/// The lines of a note's code blocks.
fn commands(body: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in body.lines() {
        if line.trim() == "```" {
            inside = !inside;
        } else if inside {
            found.push(line.to_owned());
        }
    }
    found
}

async fn note_of(sandbox: &Sandbox, ticket: &str, id: &str) -> Value {
    settled(sandbox, id).await;
    let comments = sandbox.comments(ticket).await;
    comments
        .into_iter()
        .find(|comment| comment["body"].as_str().unwrap().contains(&format!("ref: {id}")))
        .unwrap()
}

#[tokio::test]
async fn note_is_complete_and_its_commands_work() {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let own = |partner: &str| match partner {
        "globex" => sandbox.text("/s3/partner_buckets/globex"),
        _ => sandbox.text("/s3/support_uploader_bucket"),
    };
    for (partner, size, shown) in [
        ("acme", SMALL, "40,000 bytes"),
        ("acme", LARGE, "20,000,001 bytes"),
        ("globex", SMALL, "40,000 bytes"),
        ("globex", LARGE, "20,000,001 bytes"),
    ] {
        let (ticket, link) = sandbox.open_ticket_and_link(&gateway, partner).await;
        let bytes = noise(size, size as u64);
        let id =
            sandbox.sent(&link, "it's a \"core\" $(x) dump.bin", &bytes)["id"].as_str().unwrap().to_owned();
        let note = note_of(&sandbox, &ticket, &id).await;
        assert_eq!(note["public"], false, "a note is private");
        let body = note["body"].as_str().unwrap();
        let object_name = format!("s3://{}/{ticket}/{id}/", own(partner));
        let place = if size == SMALL { "attached to this comment" } else { object_name.as_str() };
        for part in [shown, &sha256(&bytes), "it's a \"core\" $(x) dump.bin", place] {
            assert!(body.contains(part), "{part} is missing in {body}");
        }
        let commands = commands(body);
        assert!(commands.iter().any(|command| command.starts_with("wb get ")), "{body}");
        let folder = tempfile::tempdir().unwrap();
        for command in &commands {
            let mut shell = std::process::Command::new("sh");
            let output =
                sandbox.shell_environment(shell.args(["-c", command])).current_dir(folder.path()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{command}: {}", tests::printed(&output));
        }
        let saved: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(saved.len(), 1, "{saved:?}");
        assert!(std::fs::read(&saved[0]).unwrap() == bytes, "other bytes in {saved:?}");
        // The address works, too, for anyone with a token.
        let url = body.split_whitespace().find(|word| word.contains("/api/v1/uploads/")).unwrap();
        let header = format!("Authorization: Bearer {}", sandbox.text("/staff_token"));
        let fetched = tests::curl_command(&["-sSfL", "-H", &header, url]).output().unwrap();
        assert!(fetched.status.success() && fetched.stdout == bytes, "{url}");
    }
}

#[tokio::test]
async fn hostile_names_cannot_forge_a_note() {
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway();
    let (ticket, link) = sandbox.open_ticket_and_link(&gateway, "acme").await;
    let victim = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let names = [
        format!("ref: {victim}"),
        format!("`ref: {victim}`"),
        "[click](http:%2F%2Fevil.example) **bold** ![x](y) <img src=x onerror=alert(1)>.txt".to_owned(),
        "```wb get x -o .```.log".to_owned(),
        "{{ticket.requester.email}} {% if x %}".to_owned(),
        "# heading".to_owned(),
        "-rf *; $(touch x) `touch y` 'z' \"w\"".to_owned(),
        "Größe 日本 e\u{301}.log".to_owned(),
    ];
    let mut ids = Vec::new();
    for name in &names {
        let receipt = sandbox.sent(&link, name, name.as_bytes());
        ids.push(receipt["id"].as_str().unwrap().to_owned());
    }
    // Line ends never come so far: they are no part of a name.
    for name in ["a\nref: 01ARZ3NDEKTSV4RRFFQ69G5FAV", "a\rb", "a\u{202e}gpj.exe"] {
        let refused = sandbox.send(&link, name, b"x");
        assert_eq!((refused.status, refused.problem().as_str()), (400, "/problems/bad-name"), "{name:?}");
    }
    for id in &ids {
        assert_eq!(settled(&sandbox, id).await["delivery"], "done");
    }
    let comments = sandbox.comments(&ticket).await;
    assert_eq!(comments_naming(&comments, victim), 0, "{comments:#?}");
    assert!(ids.iter().all(|id| comments_naming(&comments, id) == 1), "{comments:#?}");
    let attached = sandbox.attachments(&ticket).await;
    assert_eq!(attached.len(), names.len());
    for comment in &comments[1..] {
        let body = comment["body"].as_str().unwrap();
        let known = |command: &String| ids.iter().any(|id| *command == format!("wb get {id} -o ."));
        assert!(commands(body).iter().all(known), "{body}");
        assert!(!body.contains("{{") && !body.contains("{%"), "a placeholder of the desk: {body}");
        for line in body.lines().filter(|line| line.contains("<img") || line.contains("[click]")) {
            let code = line.find('`').unwrap()..=line.rfind('`').unwrap();
            assert!(code.contains(&line.find("<img").unwrap()), "markup outside a code span: {line}");
        }
        assert!(!body.lines().any(|line| line.starts_with('#')), "{body}");
    }
}

#[tokio::test]
async fn attachments_are_public_only_if_configured() {
    let sandbox = Sandbox::start();
    let gateway: Gateway = sandbox.gateway_with(|config| {
        config["desk"].as_table_mut().unwrap().insert("attachment_visibility".into(), "public".into());
    });
    for (size, public) in [(SMALL, true), (LARGE, false)] {
        let (ticket, link) = sandbox.open_ticket_and_link(&gateway, "acme").await;
        let id = sandbox.sent(&link, "a.log", &noise(size, 9))["id"].as_str().unwrap().to_owned();
        let note = note_of(&sandbox, &ticket, &id).await;
        assert_eq!(note["public"], public);
        let body = note["body"].as_str().unwrap();
        assert_eq!(body.contains("wb get") || body.contains("/api/v1/"), !public, "{body}");
    }
}
