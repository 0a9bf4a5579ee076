//! `kill -9` of the gateway at every step from the first byte to the comment, while S3 and the desk keep running.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tests::{
    Answer, Gateway, Sandbox, comments_naming, eventually, eventually_async, noise, object, objects,
    side_by_side, unfinished,
};

/// Three parts, the first two of 8 MiB, and more than a ticket attachment.
const LARGE_BYTES: usize = 20_500_000;
const SMALL_BYTES: usize = 300_000;

/// At which call the gateway is killed.
#[derive(Debug)]
struct Step {
    service: &'static str,
    operation: &'static str,
    /// Such calls let through first.
    after: u64,
    /// Whether the call is performed when the gateway dies.
    when: &'static str,
    large: bool,
    /// Whether the sender has its receipt by then.
    acknowledged: bool,
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for when in ["before", "after"] {
        let mut step = |service, operation, after, large, acknowledged| {
            steps.push(Step { service, operation, after, when, large, acknowledged });
        };
        for (operation, after) in [
            ("CreateMultipartUpload", 0),
            ("UploadPart", 0),
            ("UploadPart", 2),
            ("CompleteMultipartUpload", 0),
        ] {
            step("s3", operation, after, true, false);
        }
        step("s3", "PutObject", 0, false, false);
        // The receipt beside the object.
        step("s3", "PutObject", 0, true, true);
        step("s3", "PutObject", 1, false, true);
        for operation in ["Token", "ShowTicket", "ListComments", "UpdateTicket"] {
            step("desk", operation, 0, false, true);
            step("desk", operation, 0, true, true);
        }
        step("desk", "CreateUpload", 0, false, true);
    }
    steps
}

/// A file on its way to a ticket of its own.
struct Sending {
    link: String,
    ticket: String,
    name: String,
    bytes: Vec<u8>,
}

impl Sending {
    async fn new(sandbox: &Sandbox, gateway: &Gateway, bytes: Vec<u8>, name: &str) -> Self {
        let (ticket, link) = sandbox.open_ticket_and_link(gateway, "acme").await;
        Self { link, ticket, name: name.to_owned(), bytes }
    }

    /// Sends it in the background, slowly enough to be killed on the way.
    fn begin(&self, sandbox: &Sandbox) -> JoinHandle<Answer> {
        let path = sandbox.file(&self.ticket, &self.name, &self.bytes);
        let url = format!("{}/", self.link);
        std::thread::spawn(move || tests::curl(&["-T", path.to_str().unwrap(), &url]))
    }

    /// Nothing of a half file is anywhere: neither on the list nor in the bucket.
    async fn no_half_file(&self, sandbox: &Sandbox, bucket: &bucket::Bucket) {
        // Kept for a sender that never returns.
        sandbox.give_up_unfinished(&format!("ticket={}", self.ticket));
        let whole: BTreeSet<_> = sandbox.listed(&self.ticket).iter().flat_map(keys).collect();
        let prefix = format!("{}/", self.ticket);
        let there: Vec<_> =
            objects(bucket).await.into_iter().filter(|key| key.starts_with(&prefix)).collect();
        assert!(there.iter().all(|key| whole.contains(key)), "{there:?} but only {whole:?} is whole");
        eventually_async("no part of it is left", async || {
            let multiparts = unfinished(bucket).await;
            (!multiparts.iter().any(|key| key.starts_with(&prefix))).then_some(())
        })
        .await;
    }

    /// The whole promise for one file: one upload, its bytes, one comment, its receipt beside it.
    async fn arrived_once(&self, sandbox: &Sandbox, bucket: &bucket::Bucket) {
        let listed = sandbox.listed(&self.ticket);
        let [receipt] = listed.as_slice() else { panic!("{} uploads: {listed:?}", listed.len()) };
        assert_eq!(receipt["sha256"], tests::sha256(&self.bytes));
        let id = receipt["id"].as_str().unwrap();
        let [key, beside] = keys(receipt);
        assert!(object(bucket, &key).await == self.bytes, "other bytes in {key}");
        let (delivery, destination) = eventually_async("the delivery is done", async || {
            let now = sandbox.listed(&self.ticket).remove(0);
            (now["delivery"] != "pending").then(|| (now["delivery"].clone(), now["destination"].clone()))
        })
        .await;
        let small = self.bytes.len() <= 20_000_000;
        assert_eq!(delivery, "done");
        assert_eq!(destination, if small { "ticket-attachment" } else { "support-uploader" });
        let comments = sandbox.comments(&self.ticket).await;
        assert_eq!(comments_naming(&comments, id), 1, "{comments:#?}");
        let markers = comments.iter().flat_map(|comment| comment["body"].as_str().unwrap().lines());
        assert_eq!(markers.filter(|line| line.starts_with("ref: ")).count(), 1, "{comments:#?}");
        let attached = sandbox.attachments(&self.ticket).await;
        assert_eq!(attached.len(), usize::from(small), "attachments");
        assert!(attached.iter().all(|(name, bytes)| *name == self.name && *bytes == self.bytes));
        eventually_async("the receipt beside the object is the current truth", async || {
            if !objects(bucket).await.contains(&beside) {
                return None;
            }
            let receipt: Value = serde_json::from_slice(&object(bucket, &beside).await).unwrap();
            (receipt["delivery"] == "done" && receipt["id"] == id).then_some(())
        })
        .await;
        self.no_half_file(sandbox, bucket).await;
    }
}

/// Where an upload and its receipt rest.
fn keys(receipt: &Value) -> [String; 2] {
    let text = |field: &str| receipt[field].as_str().unwrap().to_owned();
    let key = format!("{}/{}/{}", text("ticket"), text("id"), text("name"));
    let beside = format!("{key}.receipt.json");
    [key, beside]
}

async fn killed_at(step: &Step) {
    let sandbox = if step.service == "s3" { Sandbox::start_embedded() } else { Sandbox::start() };
    let mut gateway = sandbox.gateway();
    let bucket = sandbox.bucket(None).await;
    let bytes = noise(if step.large { LARGE_BYTES } else { SMALL_BYTES }, 1);
    let sending = Sending::new(&sandbox, &gateway, bytes, "core dump.bin").await;
    let rule = json!({"service": step.service, "operation": step.operation, "after": step.after, "times": 0,
        "fault": "delay", "delay_ms": 60_000, "when": step.when});
    sandbox.fault(rule).await;
    let sender = sending.begin(&sandbox);
    let acknowledged = step.acknowledged.then(|| sender.join().unwrap());
    sandbox.fault_hit(1).await;
    gateway.kill();
    sandbox.clear_faults().await;
    gateway.restart();

    let swept = gateway.sweep();
    assert_eq!((&swept["failed"], &swept["leaked"]), (&json!(0), &json!(0)), "{swept}");
    sending.no_half_file(&sandbox, &bucket).await;
    if let Some(answer) = &acknowledged {
        assert_eq!(answer.status, 201, "{answer:?}");
        let listed = sandbox.listed(&sending.ticket);
        assert_eq!(listed[0]["id"], answer.json()["id"]);
        assert!(
            object(&bucket, &keys(&listed[0])[0]).await == sending.bytes,
            "an acknowledged file is not itself"
        );
    }
    let again = sending.begin(&sandbox).join().unwrap();
    assert_eq!(again.status, 201, "{again:?}");
    if let Some(answer) = &acknowledged {
        assert_eq!(again.json()["id"], answer.json()["id"], "a retry is answered with the first receipt");
    }
    sending.arrived_once(&sandbox, &bucket).await;
}

#[test]
fn kill_at_any_step_loses_and_duplicates_nothing() {
    side_by_side(6, &steps(), killed_at);
}

#[tokio::test]
async fn kill_under_eight_senders() {
    let sandbox = Sandbox::start_embedded();
    let mut gateway = sandbox.gateway();
    let bucket = sandbox.bucket(None).await;
    let mut sendings = Vec::new();
    for number in 0..8 {
        // Two small ones among them.
        let bytes = noise(if number % 4 == 3 { SMALL_BYTES } else { LARGE_BYTES }, number);
        sendings.push(Sending::new(&sandbox, &gateway, bytes, &format!("{number}.bin")).await);
    }
    // The first parts pass, the rest hang: everybody is on the way when it dies.
    let rule = json!({"service": "s3", "operation": "UploadPart", "after": 9, "times": 0,
        "fault": "delay", "delay_ms": 60_000});
    sandbox.fault(rule).await;
    let senders: Vec<_> = sendings.iter().map(|sending| sending.begin(&sandbox)).collect();
    sandbox.fault_hit(6).await;
    gateway.kill();
    sandbox.clear_faults().await;
    let answers: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    gateway.restart();
    gateway.sweep();
    for (sending, answer) in sendings.iter().zip(&answers) {
        sending.no_half_file(&sandbox, &bucket).await;
        if answer.status == 201 {
            let listed = sandbox.listed(&sending.ticket);
            assert!(
                listed.iter().any(|upload| upload["id"] == answer.json()["id"]),
                "an acknowledged file is missing"
            );
        }
    }
    let senders: Vec<_> = sendings.iter().map(|sending| sending.begin(&sandbox)).collect();
    for (sending, sender) in sendings.iter().zip(senders) {
        let answer = sender.join().unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        sending.arrived_once(&sandbox, &bucket).await;
    }
}

#[tokio::test]
async fn kill_during_recovery() {
    for when in ["before", "after"] {
        let sandbox = Sandbox::start_embedded();
        let mut gateway = sandbox.gateway();
        let bucket = sandbox.bucket(None).await;
        let sending = Sending::new(&sandbox, &gateway, noise(LARGE_BYTES, 7), "core.bin").await;
        let rule = json!({"service": "s3", "operation": "CompleteMultipartUpload", "times": 0,
            "fault": "delay", "delay_ms": 60_000, "when": when});
        sandbox.fault(rule.clone()).await;
        let sender = sending.begin(&sandbox);
        for hits in 1..=3 {
            sandbox.fault_hit(hits).await;
            gateway.kill();
            gateway.restart_unwaited();
        }
        sandbox.fault_hit(4).await;
        gateway.kill();
        assert_ne!(sender.join().unwrap().status, 201);
        sandbox.clear_faults().await;
        gateway.restart();
        // Every byte had arrived: it is published without the sender, and the sender's retry is the same file.
        eventually("the upload is published", || (sandbox.listed(&sending.ticket).len() == 1).then_some(()));
        let first = sandbox.listed(&sending.ticket)[0]["id"].clone();
        gateway.sweep();
        sending.no_half_file(&sandbox, &bucket).await;
        let again = sending.begin(&sandbox).join().unwrap();
        assert_eq!((again.status, &again.json()["id"]), (201, &first), "{again:?}");
        sending.arrived_once(&sandbox, &bucket).await;
    }
}
