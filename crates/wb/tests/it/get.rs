//! Downloads: every byte, every fault, every way a name could do harm.

use std::io::pipe;
use std::process::Stdio;

use bytes::Bytes;
use serde_json::json;

use crate::fake::{self, Fault, LARGE, Place};
use crate::{Setup, read, run};

fn setup_with_large() -> (Setup, Bytes) {
    let setup = Setup::new();
    let content = fake::bytes(LARGE);
    setup.fake.upload("01LARGE", "dump.tar.gz", "1001", content.clone());
    setup.fake.state().partners = vec![json!({"id": "acme"})];
    (setup, content)
}

#[test]
fn a_large_file_is_downloaded_in_ranges_and_verified() {
    let (setup, content) = setup_with_large();
    let run = setup.wb(&["get", "01LARGE", "-o", "out"]).ends(0);
    assert!(read(setup.path("out/dump.tar.gz")) == content);
    assert!(run.text().contains("verified"), "{}", run.text());
    assert_eq!(setup.names("out"), ["dump.tar.gz"]);
    let mut ranges: Vec<_> =
        setup.fake.seen(Place::Gateway).into_iter().filter_map(|seen| seen.range).collect();
    ranges.sort();
    assert_eq!(ranges, ["bytes=0-16777215", "bytes=16777216-33554431", "bytes=33554432-41955384"]);
}

#[test]
fn json_has_every_field_of_the_receipt() {
    let (setup, _) = setup_with_large();
    let run = setup.wb(&["--json", "get", "01LARGE"]).ends(0);
    let object = &run.objects()[0];
    assert_eq!(object["from_the_future"]["kept"], true);
    assert_eq!(object["path"], "./dump.tar.gz");
    assert!(run.stderr.is_empty(), "{}", run.stderr);
}

#[test]
fn a_ticket_means_all_its_complete_files_on_all_pages() {
    let setup = Setup::new();
    for number in 0..5 {
        setup.fake.upload(&format!("01A{number}"), "same.log", "1001", fake::bytes(1_000 + number));
    }
    setup.fake.upload("01B", "other.log", "2001", fake::bytes(10));
    setup.fake.open_upload("01C", "open.log", "1001");
    setup.fake.state().page = 2;
    let run = setup.wb(&["get", "1001", "01A3", "-o", "new/folder"]).ends(0);
    let expected = ["same (2).log", "same (3).log", "same (4).log", "same (5).log", "same.log"];
    assert_eq!(setup.names("new/folder"), expected);
    assert!(run.stderr.contains("skipped 1 upload that is not complete"), "{}", run.stderr);
}

#[test]
fn an_empty_file_is_saved() {
    let setup = Setup::new();
    setup.fake.upload("01E", "empty", "1", Bytes::new());
    setup.wb(&["get", "01E"]).ends(0);
    assert_eq!(read(setup.path("empty")), b"");
}

#[test]
fn an_existing_file_is_kept_unless_forced() {
    let setup = Setup::new();
    setup.fake.upload("01A", "a.log", "1", Bytes::from("new"));
    std::fs::write(setup.path("a.log"), "mine").unwrap();
    setup.wb(&["get", "01A"]).ends(0);
    assert_eq!(
        (read(setup.path("a.log")), read(setup.path("a (2).log"))),
        (b"mine".to_vec(), b"new".to_vec())
    );
    setup.wb(&["get", "01A", "--force"]).ends(0);
    assert_eq!(read(setup.path("a.log")), b"new");
}

#[test]
fn a_second_run_downloads_only_missing_files() {
    let (setup, content) = setup_with_large();
    setup.fake.upload("01SMALL", "small.log", "1001", Bytes::from_static(b"small"));
    setup.wb(&["get", "1001", "-o", "out"]).ends(0);
    let fetched = setup.fake.seen(Place::Gateway).into_iter().filter(|seen| seen.range.is_some()).count();
    let again = setup.wb(&["get", "1001", "-o", "out"]).ends(0);
    assert!(again.text().contains("verified"), "{}", again.text());
    assert_eq!(setup.names("out"), ["dump.tar.gz", "small.log"]);
    let since = setup.fake.seen(Place::Gateway).into_iter().filter(|seen| seen.range.is_some()).count();
    assert_eq!(since, fetched, "not a byte is fetched twice");
    // One that was changed since is fetched beside it.
    std::fs::write(setup.path("out/small.log"), "smaLl").unwrap();
    setup.wb(&["get", "1001", "-o", "out"]).ends(0);
    assert_eq!(setup.names("out"), ["dump.tar.gz", "small (2).log", "small.log"]);
    assert!(read(setup.path("out/dump.tar.gz")) == content);
}

#[test]
fn a_broken_connection_resumes_where_it_broke() {
    let (setup, content) = setup_with_large();
    setup.fake.state().faults.extend([Fault::Cut(5 << 20), Fault::Cut(3 << 20), Fault::Cut(0)]);
    setup.wb(&["get", "01LARGE", "--parallel", "1"]).ends(0);
    assert!(read(setup.path("dump.tar.gz")) == content);
    let starts: Vec<u64> = setup
        .fake
        .seen(Place::Gateway)
        .iter()
        .filter_map(|seen| seen.range.as_deref()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
        .collect();
    assert_eq!(starts.len(), 6, "{starts:?}");
    // What had arrived is not fetched again. (The last frames before a cut may be lost on the way.)
    assert!(starts[1] > 4 << 20 && starts[1] <= 5 << 20, "{starts:?}");
    assert!(starts[2] > starts[1] + (2 << 20) && starts[2] <= 8 << 20, "{starts:?}");
    assert_eq!(starts[3], starts[2]);
}

#[test]
fn a_busy_server_is_retried() {
    let (setup, content) = setup_with_large();
    setup.fake.state().faults.extend([Fault::Status(503), Fault::Status(429), Fault::Status(500)]);
    setup.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(setup.path("dump.tar.gz")) == content);
}

#[test]
fn a_corrupted_byte_is_status_5_and_leaves_no_file() {
    let (setup, _) = setup_with_large();
    setup.fake.upload("01OK", "ok.log", "1001", fake::bytes(10));
    setup.fake.corrupt("01LARGE", LARGE - 1);
    let run = setup.wb(&["get", "01LARGE", "01OK", "01NONE", "-o", "out"]).ends(5);
    assert!(run.stderr.contains("integrity mismatch"), "{}", run.stderr);
    assert!(run.stderr.contains("was not saved"), "{}", run.stderr);
    assert_eq!(setup.names("out"), ["ok.log"]);
}

#[test]
fn a_wrong_size_is_status_5() {
    let (setup, content) = setup_with_large();
    setup.fake.state().contents.insert("01LARGE".to_owned(), content.slice(..LARGE - 1));
    setup.wb(&["get", "01LARGE"]).ends(5);
    setup.fake.state().contents.insert("01LARGE".to_owned(), content.slice(..100));
    setup.wb(&["get", "01LARGE"]).ends(5);
    let longer = [content.as_ref(), b"x"].concat();
    setup.fake.state().contents.insert("01LARGE".to_owned(), longer.into());
    setup.wb(&["get", "01LARGE"]).ends(5);
    assert!(setup.names(".").is_empty());
}

#[test]
fn the_bucket_never_sees_the_token() {
    let (setup, content) = setup_with_large();
    setup.fake.state().presigned = true;
    setup.wb(&["get", "01LARGE"]).ends(0);
    assert!(read(setup.path("dump.tar.gz")) == content);
    let (gateway, bucket) = (setup.fake.seen(Place::Gateway), setup.fake.seen(Place::Bucket));
    assert_eq!(bucket.len(), 3);
    assert!(bucket.iter().all(|seen| seen.authorization.is_none()), "{bucket:?}");
    assert!(gateway.iter().all(|seen| seen.authorization.is_some()));
    // One URL serves all ranges: the gateway is asked for the receipt, the notes and one URL.
    assert_eq!(gateway.len(), 3, "{gateway:?}");
}

#[test]
fn an_expired_url_is_replaced() {
    let (setup, content) = setup_with_large();
    setup.fake.state().presigned = true;
    setup.fake.state().uses = 1;
    setup.wb(&["get", "01LARGE", "--parallel", "1"]).ends(0);
    assert!(read(setup.path("dump.tar.gz")) == content);
    let gateway = setup.fake.seen(Place::Gateway);
    assert_eq!(gateway.len(), 2 + 3, "{gateway:?}");
}

#[test]
fn via_gateway_does_not_need_the_bucket() {
    let (setup, content) = setup_with_large();
    setup.fake.state().presigned = true;
    setup.wb(&["get", "01LARGE", "--via-gateway"]).ends(0);
    assert!(read(setup.path("dump.tar.gz")) == content);
    assert!(setup.fake.seen(Place::Bucket).is_empty());
}

#[test]
fn standard_output_gets_the_bytes_and_nothing_else() {
    let (setup, content) = setup_with_large();
    let run = setup.wb(&["get", "01LARGE", "-o", "-"]).ends(0);
    assert!(run.stdout == content);
    setup.wb(&["get", "1001", "-o", "-"]).ends(0);
    assert!(setup.names(".").is_empty());
}

#[test]
fn standard_output_reports_a_mismatch_at_the_end() {
    let (setup, _) = setup_with_large();
    setup.fake.corrupt("01LARGE", 7);
    let run = setup.wb(&["get", "01LARGE", "-o", "-"]).ends(5);
    assert_eq!(run.stdout.len(), LARGE);
    assert!(run.stderr.contains("integrity mismatch"), "{}", run.stderr);
}

#[test]
fn standard_output_takes_one_file() {
    let (setup, _) = setup_with_large();
    setup.fake.upload("01B", "b", "1001", fake::bytes(10));
    for arguments in [
        ["get", "1001", "-o", "-"].as_slice(),
        &["get", "01LARGE", "01B", "-o", "-"],
        &["--json", "get", "01B", "-o-"],
    ] {
        let run = setup.wb(arguments).ends(2);
        assert!(run.stdout.is_empty());
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let (setup, _) = setup_with_large();
    for arguments in
        [["get", "01LARGE", "-o", "-"].as_slice(), &["ls"], &["--json", "ls"], &["get", "01LARGE"]]
    {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = setup.command(arguments);
        let status =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(status.status.code(), Some(0), "{arguments:?}");
        assert!(status.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&status.stderr));
    }
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let setup = Setup::new();
    let names = [
        "../../escape",
        "/etc/passwd",
        "..",
        ".hidden",
        "-rf",
        "a\u{202e}gpj.exe",
        "x\u{1b}]0;t\u{7}\n",
        "NUL",
    ];
    for (number, name) in names.iter().enumerate() {
        setup.fake.upload(&format!("01A{number}"), name, "1001", fake::bytes(3));
    }
    setup.fake.upload("01LONG", &("ü".repeat(200) + ".log"), "1001", fake::bytes(3));
    let run = setup.wb(&["get", "1001", "-o", "in/out"]).ends(0);
    let saved = setup.names("in/out");
    assert_eq!(saved.len(), names.len() + 1);
    for expected in ["_.._escape", "_etc_passwd", "upload-01A2", "hidden", "rf", "agpj.exe", "x]0;t", "_NUL"]
    {
        assert!(saved.iter().any(|name| name == expected), "{expected}: {saved:?}");
    }
    assert!(saved.iter().all(|name| name.len() <= 255));
    assert_eq!(setup.names("in"), ["out"]);
    assert!(!run.text().contains('\u{1b}'));
}

#[cfg(unix)]
#[test]
fn links_in_the_folder_are_not_followed() {
    let setup = Setup::new();
    setup.fake.upload("01A", "a.log", "1", Bytes::from("new"));
    std::fs::create_dir(setup.path("out")).unwrap();
    std::fs::write(setup.path("victim"), "mine").unwrap();
    for name in ["out/a.log", "out/.01A.part"] {
        std::os::unix::fs::symlink(setup.path("victim"), setup.path(name)).unwrap();
    }
    setup.wb(&["get", "01A", "-o", "out"]).ends(0);
    setup.wb(&["get", "01A", "-o", "out", "--force"]).ends(0);
    assert_eq!(read(setup.path("victim")), b"mine");
    assert_eq!(setup.names("out"), ["a (2).log", "a.log"]);
}

#[test]
fn missing_open_and_forbidden_uploads() {
    let setup = Setup::new();
    setup.fake.open_upload("01OPEN", "open.log", "7");
    let missing = setup.wb(&["get", "01NONE"]).ends(3);
    assert!(missing.stderr.contains("No upload has the ID"), "{}", missing.stderr);
    setup.wb(&["get", "404"]).ends(3);
    setup.wb(&["get", "7"]).ends(3);
    setup.wb(&["get", "01OPEN"]).ends(3);
    setup.wb(&["get", "01NONE", "-o", "-"]).ends(3);
    setup.wb(&["get"]).ends(2);
    setup.wb(&["get", "01NONE", "--parallel", "0"]).ends(2);
    let mut command = setup.command(&["get", "01OPEN"]);
    let outcome = run(command.env("WEIGHBRIDGE_TOKEN", "wrong")).ends(4);
    assert!(outcome.stderr.contains("the staff token is not valid"), "{}", outcome.stderr);
    assert!(setup.names(".").is_empty());
}

#[test]
fn a_refused_fresh_url_is_status_4() {
    let (setup, _) = setup_with_large();
    setup.fake.state().presigned = true;
    setup.fake.state().faults.extend([Fault::Status(403); 8]);
    setup.wb(&["get", "01LARGE"]).ends(4);
}
