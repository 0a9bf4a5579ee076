//! What tests of support and crashes do: send files, call the staff API, run `wb`, read tickets and buckets, and run cases
//! side by side.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::{Answer, Gateway, Sandbox, curl, program};

/// Incompressible bytes, reproducible by seed.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

/// `sha-256=:…:` for `Repr-Digest` and `Content-Digest`.
pub fn repr_digest(bytes: &[u8]) -> String {
    let hex = crate::sha256(bytes);
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    format!("sha-256=:{}:", STANDARD.encode((0..64).step_by(2).map(byte).collect::<Vec<_>>()))
}

/// Runs `check` for each case on its own thread, `at_once` at a time, since a case mostly waits. Reports all that fail.
pub fn side_by_side<C: Debug + Sync>(at_once: usize, cases: &[C], check: impl AsyncFn(&C) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..at_once.min(cases.len()) {
            threads.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    if catch_unwind(AssertUnwindSafe(|| runtime.block_on(check(case)))).is_err() {
                        failed.lock().unwrap().push(format!("{case:?}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
}

impl Sandbox {
    /// Writes a file into a folder of its own, so that parallel cases do not share names.
    pub fn file(&self, folder: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.scratch().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
        folder.join(name)
    }

    /// Sends these bytes under this name with `curl -T`.
    pub fn send(&self, link: &str, name: &str, bytes: &[u8]) -> Answer {
        let folder = tempfile::tempdir_in(self.scratch()).unwrap();
        std::fs::write(folder.path().join("file"), bytes).unwrap();
        let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        curl(&["-T", folder.path().join("file").to_str().unwrap(), &format!("{link}/{name}")])
    }

    /// Sends a file that must be stored; returns the receipt.
    pub fn sent(&self, link: &str, name: &str, bytes: &[u8]) -> Value {
        let answer = self.send(link, name, bytes);
        assert_eq!(answer.status, 201, "{name}: {answer:?}");
        answer.json()
    }

    /// Calls the staff API below `/api/v1` with the sandbox's staff token.
    pub fn staff(&self, path: &str, arguments: &[&str]) -> Answer {
        self.staff_as(&self.text("/staff_token"), path, arguments)
    }

    /// Calls the staff API with another token.
    pub fn staff_as(&self, token: &str, path: &str, arguments: &[&str]) -> Answer {
        let (url, header) =
            (format!("{}/api/v1{path}", self.text("/url")), format!("Authorization: Bearer {token}"));
        curl(&[&["-H", &header, &url], arguments].concat())
    }

    /// The uploads that support sees on a ticket.
    pub fn listed(&self, ticket: &str) -> Vec<Value> {
        let answer = self.staff(&format!("/uploads?ticket={ticket}"), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["uploads"].as_array().unwrap().clone()
    }

    /// Cancels unfinished uploads, of one ticket (`ticket=NUMBER`) or all, which would wait for their senders.
    pub fn give_up_unfinished(&self, of: &str) {
        let open = self.staff(&format!("/uploads?state=open&{of}"), &[]);
        for upload in open.json()["uploads"].as_array().unwrap_or(&Vec::new()) {
            let gone = self.staff(&format!("/uploads/{}", upload["id"].as_str().unwrap()), &["-X", "DELETE"]);
            assert!(matches!(gone.status, 204 | 404), "{gone:?}");
        }
    }

    /// Runs `wb ARGUMENTS` as support does.
    pub fn wb(&self, arguments: &[&str]) -> Output {
        self.shell_environment(Command::new(program("wb")).args(arguments)).output().unwrap()
    }

    /// Support's environment: the programs on the path, the gateway's address and the token.
    pub fn shell_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let programs = program("wb").parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all =
            std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).unwrap();
        self.reachable_from(command)
            .env("PATH", all)
            .env("HOME", self.scratch())
            .env_remove("XDG_CONFIG_HOME")
            .env("WEIGHBRIDGE_URL", self.text("/url"))
            .env("WEIGHBRIDGE_TOKEN", self.text("/staff_token"))
            .current_dir(self.scratch())
    }

    /// Opens a ticket of `acme` or `globex`; returns its number.
    pub async fn open_ticket(&self, partner: &str) -> String {
        let requester = if partner == "acme" { 1010 } else { 1020 };
        let ticket = json!({"ticket": {"subject": "s", "comment": {"body": "b"}, "requester_id": requester}});
        let answer = self.desk("POST", "/tickets", Some(ticket)).await;
        answer["ticket"]["id"].as_u64().unwrap_or_else(|| panic!("{answer}")).to_string()
    }

    /// Opens a ticket with a link bound to it. Works while the gateway is down, too.
    pub async fn open_ticket_and_link(&self, gateway: &Gateway, partner: &str) -> (String, String) {
        let ticket = self.open_ticket(partner).await;
        let link = gateway.make_link(&["--partner", partner, "--ticket", &ticket]);
        (ticket, link)
    }

    /// Opens a ticket, binds a link to it, and closes the ticket without the gateway's knowledge.
    pub async fn closed_ticket_and_link(&self, gateway: &Gateway, partner: &str) -> (String, String) {
        let (ticket, link) = self.open_ticket_and_link(gateway, partner).await;
        let closed = json!({"ticket": {"status": "closed"}});
        let answer = self.desk("PUT", &format!("/tickets/{ticket}"), Some(closed)).await;
        assert_eq!(answer["ticket"]["status"], "closed", "{answer}");
        (ticket, link)
    }

    /// Names and bytes of a ticket's attachments.
    pub async fn attachments(&self, ticket: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        for comment in self.comments(ticket).await {
            for attachment in comment["attachments"].as_array().unwrap() {
                let url = attachment["content_url"].as_str().unwrap();
                let request =
                    reqwest::Client::new().get(url).header("authorization", self.text("/desk/authorization"));
                let bytes = request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
                found.push((attachment["file_name"].as_str().unwrap().to_owned(), bytes.to_vec()));
            }
        }
        found
    }
}

pub async fn object(bucket: &bucket::Bucket, key: &str) -> Vec<u8> {
    let mut frames = Box::pin(bucket.read(key, None).await.unwrap().stream());
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await {
        bytes.extend_from_slice(&frame.unwrap());
    }
    bytes
}

/// Stores an object as a partner does with its own tools.
pub async fn put_by_hand(bucket: &bucket::Bucket, key: &str, bytes: &[u8]) {
    let mut crc64 = bucket::Crc64Hasher::new();
    crc64.update(bytes);
    let payload = bucket::Payload::new(vec![bytes::Bytes::copy_from_slice(bytes)], crc64.value());
    bucket.put(key, "application/octet-stream", &vec![], &payload).await.unwrap();
}

/// Everything a program printed, for failure messages.
pub fn printed(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
