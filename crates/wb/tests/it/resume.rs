//! Interrupted downloads resume where they stopped, and the whole file is verified at the end.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{self, Fault, LARGE, Place};
use crate::{Setup, eventually, read};

const PIECE: u64 = 16 << 20;
const PART: &str = ".01LARGE.part";

fn setup() -> (Setup, Bytes) {
    let setup = Setup::new();
    let content = fake::bytes(LARGE);
    setup.fake.upload("01LARGE", "dump.bin", "1001", content.clone());
    (setup, content)
}

/// Where the requests for content began, since the last time this was asked.
fn starts(setup: &Setup) -> Vec<u64> {
    let mut starts: Vec<u64> = setup
        .fake
        .seen(Place::Gateway)
        .iter()
        .filter_map(|seen| seen.range.as_deref()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
        .collect();
    starts.sort_unstable();
    setup.fake.state().log.clear();
    starts
}

fn part_bytes(setup: &Setup) -> u64 {
    setup.path(PART).metadata().map_or(0, |part| part.len())
}

/// A run that has one piece on disk and hears no more of the next ones.
fn stuck(setup: &Setup) -> Child {
    setup.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Hold(1_000), Fault::Hold(0)]);
    let mut command = setup.command(&["get", "01LARGE", "--parallel", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("a piece is on disk and the next one is asked for", || {
        part_bytes(setup) == PIECE && setup.fake.state().faults.len() == 1
    });
    child
}

#[test]
fn a_failed_download_keeps_its_partial_file() {
    let (setup, content) = setup();
    setup.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Status(403)]);
    let failed = setup.wb(&["get", "01LARGE", "--parallel", "1"]).ends(4);
    assert!(failed.stderr.contains("16.78 MB are kept; run the same command to resume"), "{}", failed.stderr);
    assert_eq!((setup.names("."), part_bytes(&setup)), (vec![PART.to_owned()], PIECE));
    assert_eq!(starts(&setup), [0, PIECE]);
    let run = setup.wb(&["get", "01LARGE"]).ends(0);
    assert!(run.stderr.contains("from an earlier run") && run.text().contains("verified"), "{}", run.stderr);
    assert!(read(setup.path("dump.bin")) == content);
    assert_eq!((starts(&setup), setup.names(".")), (vec![PIECE, 2 * PIECE], vec!["dump.bin".to_owned()]));
}

#[test]
fn after_kill_9_only_the_ranges_in_flight_are_downloaded_again() {
    let (setup, content) = setup();
    let mut child = stuck(&setup);
    child.kill().unwrap();
    child.wait().unwrap();
    starts(&setup);
    setup.fake.state().faults.clear();
    setup.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(setup.path("dump.bin")) == content);
    assert_eq!((starts(&setup), setup.names(".")), (vec![PIECE, 2 * PIECE], vec!["dump.bin".to_owned()]));
}

#[test]
fn ctrl_c_keeps_the_partial_file() {
    let (setup, content) = setup();
    let child = stuck(&setup);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted; partial files are kept"), "{said}");
    starts(&setup);
    setup.fake.state().faults.clear();
    setup.wb(&["get", "1001"]).ends(0);
    assert!(read(setup.path("dump.bin")) == content);
    assert_eq!(starts(&setup), [PIECE, 2 * PIECE]);
}

#[test]
fn two_runs_do_not_share_a_partial_file() {
    let (setup, _) = setup();
    let mut child = stuck(&setup);
    let second = setup.wb(&["get", "01LARGE"]).ends(1);
    assert!(second.stderr.contains("another `wb` is downloading this file"), "{}", second.stderr);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_damaged_partial_file_is_downloaded_again() {
    let (setup, content) = setup();
    let private = |bytes: &[u8]| {
        std::fs::write(setup.path(PART), bytes).unwrap();
        std::fs::set_permissions(setup.path(PART), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let mut damaged = content[..20 << 20].to_vec();
    damaged[7] ^= 1;
    private(&damaged);
    setup.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(setup.path("dump.bin")) == content);
    assert_eq!(starts(&setup), [0, PIECE, 20 << 20, 2 * PIECE, (20 << 20) + PIECE]);
    // More than there is, and all of it.
    private(&[&content[..], b"x"].concat());
    setup.wb(&["get", "01LARGE", "--force"]).ends(0);
    private(&content);
    starts(&setup);
    setup.wb(&["get", "01LARGE", "--force"]).ends(0);
    assert!(starts(&setup).is_empty() && read(setup.path("dump.bin")) == content);
    assert_eq!(setup.names("."), ["dump.bin"]);
}

#[test]
fn no_partial_file_of_a_wrong_or_deleted_upload_is_kept() {
    let (setup, _) = setup();
    setup.fake.corrupt("01LARGE", 3);
    setup.wb(&["get", "01LARGE"]).ends(5);
    setup.fake.state().faults.extend([Fault::Cut(LARGE), Fault::Status(404)]);
    setup.wb(&["get", "01LARGE", "--parallel", "1"]).ends(3);
    assert!(setup.names(".").is_empty());
}
