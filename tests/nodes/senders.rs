//! Who sends through the balancer: a program that asks for the offset and resumes, plain curl that knows no more than the
//! file's name, and `send.sh`. Each checks that no offset ever falls.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Answer, ask, curl, noise, printed, sha256};

/// A file that has arrived.
pub(crate) struct Sent {
    pub(crate) receipt: Value,
    pub(crate) bytes: Vec<u8>,
}

/// No file takes longer, however many gateways die under it.
const PATIENCE: Duration = Duration::from_secs(150);

/// Sends one file after another through this link until told to stop.
pub(crate) fn send_all(link: &str, sender: u64, stop: &AtomicBool) -> Vec<Sent> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::SeqCst) || sent.is_empty() {
        let number = sent.len() as u64;
        let (name, seed) = (format!("{sender}-{number}.bin"), sender * 1000 + number);
        let (bytes, receipt) = match number % 3 {
            0 => {
                let bytes = noise(18_000_000, seed);
                let receipt = in_pieces(link, &name, &bytes, &[2_000_000, 11_000_000, 12_000_000]);
                (bytes, receipt)
            }
            1 => {
                let bytes = noise(10_000_000, seed);
                let receipt = by_name(link, &name, &bytes);
                (bytes, receipt)
            }
            _ => {
                let bytes = noise(400_000, seed);
                let receipt = until_sent(link, &name, &bytes);
                (bytes, receipt)
            }
        };
        assert_eq!(receipt["sha256"], sha256(&bytes), "{name}");
        sent.push(Sent { receipt, bytes });
    }
    sent
}

/// Retries until it works.
struct Patience(&'static str, Instant);

impl Patience {
    fn with(what: &'static str) -> Self {
        Self(what, Instant::now())
    }

    #[track_caller]
    fn after(&self, answer: &Answer) {
        assert!(self.1.elapsed() < PATIENCE, "{}: {answer:?}", self.0);
        let retried = matches!(answer.status, 0 | 100 | 409 | 500.. | 404) || answer.exit != 0;
        assert!(retried, "{}: {answer:?}", self.0);
        // A sender waits before it retries.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The offset of an upload, which must never fall.
struct Progress {
    own: String,
    offset: usize,
}

impl Progress {
    fn now(&mut self, answer: &Answer) {
        let now = answer.offset();
        assert!(
            now >= self.offset,
            "the offset of {} fell from {} to {now}: {answer:?}",
            self.own,
            self.offset
        );
        self.offset = now;
    }

    /// Asks until there is an answer; returns whether the upload is complete, or none if it is gone.
    fn look(&mut self) -> Option<bool> {
        let patience = Patience::with("HEAD");
        loop {
            let answer = curl(&["-I", &self.own]);
            if answer.status == 204 {
                self.now(&answer);
                return Some(answer.header("upload-complete") == "?1");
            }
            assert_ne!(answer.status, 404, "{answer:?}");
            if answer.status == 410 {
                return None;
            }
            patience.after(&answer);
        }
    }

    /// Sends the rest, piece by piece; answers the receipt, or nothing when the upload is gone.
    fn finish(mut self, bytes: &[u8], cuts: &[usize]) -> Option<Value> {
        let patience = Patience::with("resume");
        while !self.look()? {
            if self.offset == bytes.len() {
                // As a client of tus takes it: nothing is missing, so nothing more is sent.
                assert!(patience.1.elapsed() < PATIENCE, "{} is never complete", self.own);
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            let end = cuts.iter().copied().find(|cut| *cut > self.offset).unwrap_or(bytes.len());
            let range = format!("Content-Range: bytes {}-{}/{}", self.offset, end - 1, bytes.len());
            let answer = ask("PUT", &self.own, &[&range], &bytes[self.offset..end]);
            match answer.status {
                201 => return Some(answer.json()),
                204 => self.now(&answer),
                410 => return None,
                _ => patience.after(&answer),
            }
        }
        Some(receipt(&self.own))
    }
}

fn receipt(own: &str) -> Value {
    let patience = Patience::with("receipt");
    loop {
        let answer = curl(&[own]);
        if answer.status == 200 {
            return answer.json();
        }
        patience.after(&answer);
    }
}

fn in_pieces(link: &str, name: &str, bytes: &[u8], cuts: &[usize]) -> Value {
    let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"");
    let length = format!("Upload-Length: {}", bytes.len());
    let patience = Patience::with("create");
    loop {
        let answer =
            ask("POST", &format!("{link}/uploads"), &["Upload-Complete: ?0", &disposition, &length], b"");
        if answer.status == 201 {
            let own = answer.headers["location"].clone();
            let done = Progress { own, offset: 0 }.finish(bytes, cuts);
            return done.unwrap_or_else(|| panic!("{name} is gone"));
        }
        patience.after(&answer);
    }
}

/// One `PUT`; where it breaks off, the upload of that name with the highest offset resumes.
fn by_name(link: &str, name: &str, bytes: &[u8]) -> Value {
    let url = format!("{link}/{name}");
    let patience = Patience::with("PUT");
    loop {
        let answer = ask("PUT", &url, &[], bytes);
        if answer.status == 201 {
            return answer.json();
        }
        patience.after(&answer);
        // Gone it is when the same file, begun before and taken for lost, has come to rest meanwhile.
        if let Some(done) = furthest(&url).and_then(|own| Progress { own, offset: 0 }.finish(bytes, &[])) {
            return done;
        }
    }
}

/// The address of the upload of this name that has come furthest; none when none has begun.
fn furthest(url: &str) -> Option<String> {
    let patience = Patience::with("HEAD by name");
    loop {
        let answer = curl(&["-I", url]);
        match answer.status {
            204 => return answer.headers.get("location").cloned(),
            404 => return None,
            409 => {
                let told = ask("PUT", url, &["Upload-Offset: 1"], b"x");
                if told.status == 409 && told.problem() == "/problems/ambiguous-name" {
                    let told = told.json();
                    let all = told["uploads"].as_array().unwrap();
                    let first = all.iter().max_by_key(|upload| upload["offset"].as_u64()).unwrap();
                    return Some(first["location"].as_str().unwrap().to_owned());
                }
            }
            _ => patience.after(&answer),
        }
    }
}

/// A small file, sent whole as often as it takes.
fn until_sent(link: &str, name: &str, bytes: &[u8]) -> Value {
    let patience = Patience::with("PUT of a small file");
    loop {
        let answer = ask("PUT", &format!("{link}/{name}"), &[], bytes);
        if answer.status == 201 {
            return answer.json();
        }
        patience.after(&answer);
    }
}

/// `send.sh` with two files, again and again until told to stop.
pub(crate) fn send_by_script(link: &str, folder: &Path, stop: &AtomicBool) -> Vec<Sent> {
    let script = curl(&[&format!("{link}/send.sh")]).body;
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("send.sh"), script).unwrap();
    let mut sent = Vec::new();
    while !stop.load(Ordering::SeqCst) || sent.is_empty() {
        let round = sent.len();
        let files: Vec<_> = [12_000_000, 3_000_000]
            .into_iter()
            .enumerate()
            .map(|(number, size)| {
                (format!("script-{}.bin", round + number), noise(size, 9000 + (round + number) as u64))
            })
            .collect();
        for (name, bytes) in &files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let output = Command::new("sh")
            .arg("send.sh")
            .args(files.iter().map(|(name, _)| name))
            .env("WEIGHBRIDGE_PATIENCE", "150")
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        // What has no end is what was begun twice because an answer was lost: the script tells where each file rests.
        let printed = String::from_utf8(output.stdout).unwrap();
        let places: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("Receipt ")).collect();
        assert_eq!(places.len(), files.len(), "{printed}");
        for (place, (_, bytes)) in places.into_iter().zip(files) {
            sent.push(Sent { receipt: receipt(place), bytes });
        }
    }
    sent
}
