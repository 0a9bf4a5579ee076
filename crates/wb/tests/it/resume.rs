//! Downloads that were interrupted go on where they stopped, and what they end with is verified as a whole.
#![cfg(unix)]

use std::{os::unix::fs::PermissionsExt, process::Child, process::Stdio};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Desk, eventually,
    fake::{self, Fault, LARGE, Place},
    read,
};

const PIECE: u64 = 16 << 20;
const PART: &str = ".01LARGE.part";

fn desk() -> (Desk, Bytes) {
    let desk = Desk::new();
    let content = fake::bytes(LARGE);
    desk.fake.upload("01LARGE", "dump.bin", "1001", content.clone());
    (desk, content)
}

/// Where the requests for content began, since the last time this was asked.
fn starts(desk: &Desk) -> Vec<u64> {
    let mut starts: Vec<u64> = desk
        .fake
        .seen(Place::Gateway)
        .iter()
        .filter_map(|seen| seen.range.as_deref()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
        .collect();
    starts.sort_unstable();
    desk.fake.state().log.clear();
    starts
}

fn part_bytes(desk: &Desk) -> u64 {
    desk.path(PART).metadata().map_or(0, |part| part.len())
}

/// A run that has one piece on disk and hears no more of the next ones.
fn stuck(desk: &Desk) -> Child {
    desk.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Hold(1_000), Fault::Hold(0)]);
    let mut command = desk.command(&["get", "01LARGE", "--parallel", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("a piece is on disk and the next one is asked for", || {
        part_bytes(desk) == PIECE && desk.fake.state().faults.len() == 1
    });
    child
}

#[test]
fn a_failed_download_keeps_what_has_arrived() {
    let (desk, content) = desk();
    desk.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Status(403)]);
    let failed = desk.wb(&["get", "01LARGE", "--parallel", "1"]).ends(4);
    assert!(failed.stderr.contains("16.78 MB are kept and the same command goes on"), "{}", failed.stderr);
    assert_eq!((desk.names("."), part_bytes(&desk)), (vec![PART.to_owned()], PIECE));
    assert_eq!(starts(&desk), [0, PIECE]);
    let run = desk.wb(&["get", "01LARGE"]).ends(0);
    assert!(run.stderr.contains("from an earlier run") && run.text().contains("verified"), "{}", run.stderr);
    assert!(read(desk.path("dump.bin")) == content);
    assert_eq!((starts(&desk), desk.names(".")), (vec![PIECE, 2 * PIECE], vec!["dump.bin".to_owned()]));
}

#[test]
fn after_kill_9_only_the_ranges_in_flight_are_fetched_again() {
    let (desk, content) = desk();
    let mut child = stuck(&desk);
    child.kill().unwrap();
    child.wait().unwrap();
    starts(&desk);
    desk.fake.state().faults.clear();
    desk.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(desk.path("dump.bin")) == content);
    assert_eq!((starts(&desk), desk.names(".")), (vec![PIECE, 2 * PIECE], vec!["dump.bin".to_owned()]));
}

#[test]
fn ctrl_c_keeps_what_has_arrived_and_says_so() {
    let (desk, content) = desk();
    let child = stuck(&desk);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted; what has arrived is kept"), "{said}");
    starts(&desk);
    desk.fake.state().faults.clear();
    desk.wb(&["get", "1001"]).ends(0);
    assert!(read(desk.path("dump.bin")) == content);
    assert_eq!(starts(&desk), [PIECE, 2 * PIECE]);
}

#[test]
fn two_at_a_time_do_not_share_a_file() {
    let (desk, _) = desk();
    let mut child = stuck(&desk);
    let second = desk.wb(&["get", "01LARGE"]).ends(1);
    assert!(second.stderr.contains("another `wb` is fetching this upload"), "{}", second.stderr);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_damaged_beginning_is_fetched_again() {
    let (desk, content) = desk();
    let private = |bytes: &[u8]| {
        std::fs::write(desk.path(PART), bytes).unwrap();
        std::fs::set_permissions(desk.path(PART), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let mut damaged = content[..20 << 20].to_vec();
    damaged[7] ^= 1;
    private(&damaged);
    desk.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(desk.path("dump.bin")) == content);
    assert_eq!(starts(&desk), [0, PIECE, 20 << 20, 2 * PIECE, (20 << 20) + PIECE]);
    // More than there is, and all of it.
    private(&[&content[..], b"x"].concat());
    desk.wb(&["get", "01LARGE", "--force"]).ends(0);
    private(&content);
    starts(&desk);
    desk.wb(&["get", "01LARGE", "--force"]).ends(0);
    assert!(starts(&desk).is_empty() && read(desk.path("dump.bin")) == content);
    assert_eq!(desk.names("."), ["dump.bin"]);
}

#[test]
fn nothing_is_kept_of_what_is_wrong_or_gone() {
    let (desk, _) = desk();
    desk.fake.corrupt("01LARGE", 3);
    desk.wb(&["get", "01LARGE"]).ends(5);
    desk.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Status(404)]);
    desk.wb(&["get", "01LARGE", "--parallel", "1"]).ends(3);
    assert!(desk.names(".").is_empty());
}
