//! `kill -9` of the gateway at every store call, and at any time, while a file arrives in several requests. Its sender asks for
//! the offset and resumes there; acknowledged bytes are never sent again.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Fate, Gateway, Moment, S3Proxy, Sandbox, ask, curl, eventually, noise, side_by_side};

const PART: usize = 8 * 1024 * 1024;
/// Parts of one append that are on their way at a time.
const IN_FLIGHT: usize = 4;
/// Where the requests of a file end: a tail, a part and a tail, the end.
const CUTS: [usize; 4] = [3_000_000, 13_000_000, 14_000_000, 22_000_000];

#[derive(Debug, Clone, Copy)]
enum Death {
    /// At this call of the file to the store, from 0.
    Call(usize, Moment),
    /// When the ledger's file has been written to so often, from 0.
    Write(usize),
    /// After this share of the time that the file takes, in hundredths.
    Time(u32),
}

/// A gateway that dies once, with a hop before its store.
struct Mortal {
    gateway: Gateway,
    store_proxy: S3Proxy,
    sandbox: Sandbox,
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

impl Mortal {
    fn start() -> Self {
        Self::on(Sandbox::start_embedded())
    }

    fn on(sandbox: Sandbox) -> Self {
        let store_proxy = S3Proxy::to(&sandbox.text("/s3/endpoint"));
        let gateway = sandbox.gateway_with(|config| {
            config["support_uploader"]["endpoint"] = store_proxy.url.as_str().into();
        });
        Self { gateway, store_proxy, sandbox }
    }

    /// It dies at this call, counted from now on; answers whether it has.
    fn dies_at(&self, call: usize, when: Moment) -> Arc<AtomicBool> {
        let (pid, seen, dead) = (self.gateway.pid(), AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let died = dead.clone();
        self.store_proxy.decide(move |_, moment| {
            if moment == when && seen.fetch_add(1, Ordering::SeqCst) == call {
                kill(pid);
                died.store(true, Ordering::SeqCst);
            }
            if died.load(Ordering::SeqCst) { Fate::Drop } else { Fate::Pass }
        });
        dead
    }

    /// Dies at this write to the ledger's file, counted from now. A transaction makes several.
    fn dies_at_write(&self, write: usize) -> std::thread::JoinHandle<bool> {
        let (pid, wal) = (self.gateway.pid(), self.sandbox.data().join("ledger.db-wal"));
        let size = move || std::fs::metadata(&wal).map_or(0, |file| file.len());
        let mut before = size();
        std::thread::spawn(move || {
            let (begun, mut seen) = (Instant::now(), 0);
            while begun.elapsed() < Duration::from_secs(20) {
                let now = size();
                if now > before {
                    (before, seen) = (now, seen + 1);
                    if seen > write {
                        kill(pid);
                        return true;
                    }
                }
                // Poll without pause: writes follow each other within microseconds.
                std::thread::yield_now();
            }
            false
        })
    }

    /// What a sender does when it gets no good answer.
    fn revive(&mut self) {
        self.store_proxy.pass_all();
        self.gateway.kill();
        self.gateway.restart();
    }

    /// Begins an upload; none when the gateway is gone.
    fn create(&self, name: &str, length: usize) -> Option<String> {
        let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"");
        let length = format!("Upload-Length: {length}");
        let url = format!("{}/uploads", self.sandbox.link("acme"));
        let answer = ask("POST", &url, &["Upload-Complete: ?0", &disposition, &length], b"");
        (answer.status == 201).then(|| answer.headers["location"].clone())
    }

    /// Sends a file to its end, through the death of the gateway; answers the receipt.
    fn send(&mut self, name: &str, bytes: &[u8], cuts: &[usize]) -> Value {
        let own = loop {
            match self.create(name, bytes.len()) {
                Some(own) => break own,
                None => self.revive(),
            }
        };
        let mut acknowledged = 0;
        while acknowledged < bytes.len() {
            let end = *cuts.iter().find(|cut| **cut > acknowledged).unwrap();
            let range = format!("Content-Range: bytes {acknowledged}-{}/{}", end - 1, bytes.len());
            let answer = ask("PUT", &own, &[&range], &bytes[acknowledged..end]);
            let now = if answer.status / 100 == 2 {
                if end == bytes.len() { end } else { answer.offset() }
            } else {
                self.revive();
                let state = curl(&["-I", &own]);
                assert_eq!(state.status, 204, "{acknowledged} bytes were acknowledged: {state:?}");
                state.offset()
            };
            assert!(now >= acknowledged, "the offset fell from {acknowledged} to {now}: {answer:?}");
            acknowledged = now;
        }
        self.complete(&own)
    }

    /// All bytes have arrived, so it is completed without a request.
    fn complete(&mut self, own: &str) -> Value {
        eventually("the upload is complete", || {
            if self.gateway.has_ended() {
                self.revive();
            }
            // It may die at any of these, too.
            let complete = curl(&["-I", own]).headers.get("upload-complete").is_some_and(|is| is == "?1");
            let receipt = complete.then(|| curl(&[own])).filter(|answer| answer.status == 200);
            receipt.map(|answer| answer.json())
        })
    }
}

async fn dies(death: &Death) {
    let mut mortal = match death {
        Death::Write(_) => Mortal::on(Sandbox::start_embedded_with_file()),
        _ => Mortal::start(),
    };
    let bytes = noise(CUTS[3], 21);
    let receipt = match *death {
        Death::Call(call, moment) => {
            let dead = mortal.dies_at(call, moment);
            let receipt = mortal.send("dump.bin", &bytes, &CUTS);
            assert!(dead.load(Ordering::SeqCst), "a file makes fewer calls: shorten the table");
            receipt
        }
        Death::Write(write) => {
            let dying = mortal.dies_at_write(write);
            let receipt = mortal.send("dump.bin", &bytes, &CUTS);
            assert!(dying.join().unwrap(), "a file makes fewer writes: shorten the table");
            receipt
        }
        Death::Time(hundredths) => {
            let begun = Instant::now();
            let whole = mortal.send("whole.bin", &bytes, &CUTS);
            assert_eq!(whole["size"], bytes.len());
            let (pid, after) = (mortal.gateway.pid(), begun.elapsed() * hundredths / 100);
            let killer = std::thread::spawn(move || {
                std::thread::sleep(after.min(Duration::from_secs(20)));
                kill(pid);
            });
            let receipt = mortal.send("dump.bin", &bytes, &CUTS);
            killer.join().unwrap();
            mortal.revive();
            let id = whole["id"].as_str().unwrap();
            let gone = mortal.sandbox.staff(&format!("/uploads/{id}"), &["-X", "DELETE"]);
            assert_eq!(gone.status, 204, "{gone:?}");
            receipt
        }
    };
    mortal.store_proxy.pass_all();
    if mortal.gateway.has_ended() {
        mortal.gateway.restart();
    }
    mortal.sandbox.arrived_once(&receipt, &bytes).await;
    mortal.sandbox.holds_only(&mortal.gateway, &[&receipt]).await;
}

/// The calls of such a file up to its completion: three tails put, two read, two or more removed, a multipart upload
/// created, three parts, its completion.
const CALLS: usize = 10;

#[test]
fn kill_at_any_store_call_resumes_from_the_offset() {
    let mut deaths = Vec::new();
    for call in 0..CALLS {
        for moment in [Moment::Arrived, Moment::Performed] {
            deaths.push(Death::Call(call, moment));
        }
    }
    side_by_side(4, &deaths, dies);
}

#[test]
fn kill_at_any_ledger_write_resumes_from_the_offset() {
    let deaths: Vec<_> = (0..9).map(|step| Death::Write(step * (step + 5) / 5)).collect();
    side_by_side(2, &deaths, dies);
}

#[test]
fn kill_at_any_time_resumes_from_the_offset() {
    let deaths: Vec<_> = (1..=8).map(|step| Death::Time(step * 12)).collect();
    side_by_side(4, &deaths, dies);
}

/// Only what was in flight is sent again.
#[tokio::test]
async fn at_most_the_parts_in_flight_are_resent() {
    let mut mortal = Mortal::start();
    let bytes = noise(80_000_000, 22);
    let own = mortal.create("large.bin", bytes.len()).unwrap();
    let (pid, last) = (mortal.gateway.pid(), 7);
    mortal.store_proxy.decide(move |call, _| {
        if call.part() == last {
            kill(pid);
            return Fate::Drop;
        }
        Fate::Pass
    });
    let answer = mortal.sandbox.resume(&own, &bytes, 0);
    assert!(answer.status <= 100, "{answer:?}");
    mortal.revive();
    let offset = curl(&["-I", &own]).offset();
    assert!(offset >= (last as usize - IN_FLIGHT) * PART, "{offset}");
    let done = mortal.sandbox.resume(&own, &bytes, offset);
    assert_eq!(done.status, 201, "{done:?}");
    mortal.sandbox.arrived_once(&done.json(), &bytes).await;
    mortal.sandbox.holds_only(&mortal.gateway, &[&done.json()]).await;
}
