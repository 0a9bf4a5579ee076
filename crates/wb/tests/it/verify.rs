//! `verify`: local files and stored bytes against receipts.

use crate::fake::{self, LARGE};
use crate::{Setup, run};

fn setup() -> Setup {
    let setup = Setup::new();
    setup.fake.upload("01A", "a.log", "1001", fake::bytes(5_000));
    setup.fake.upload("01B", "b.log", "2001", fake::bytes(6_000));
    setup.fake.open_upload("01C", "c.log", "1001");
    setup.fake.state().page = 1;
    setup
}

#[test]
fn a_receipt_is_found_by_digest_whatever_the_name() {
    let setup = setup();
    std::fs::write(setup.path("renamed"), fake::bytes(6_000)).unwrap();
    let run = setup.wb(&["verify", "renamed"]).ends(0);
    let said = " verified, upload 01B, ticket 2001, which arrived under another name: `b.log`\n";
    assert!(run.text().ends_with(said), "{}", run.text());
    let run = setup.wb(&["verify", "renamed", "--json"]).ends(0);
    assert_eq!((&run.objects()[0]["name"], &run.objects()[0]["same_name"]), (&"b.log".into(), &false.into()));
    // A name that is another upload's does not count: the digest does, and what it is of is said.
    std::fs::write(setup.path("a.log"), fake::bytes(6_000)).unwrap();
    assert!(setup.wb(&["verify", "a.log"]).ends(0).text().ends_with(said));
    std::fs::write(setup.path("b (2).log"), fake::bytes(6_000)).unwrap();
    let run = setup.wb(&["verify", "b (2).log"]).ends(0);
    assert!(run.text().ends_with(" verified, upload 01B, ticket 2001, `b.log`\n"), "{}", run.text());
    setup.wb(&["verify", "renamed", "--ticket", "1001"]).ends(3);
    setup.wb(&["verify", "renamed", "--id", "01A"]).ends(5);
    setup.wb(&["verify", "renamed", "--id", "01B"]).ends(0);
    setup.wb(&["verify", "renamed", "--id", "01C"]).ends(3);
}

#[test]
fn a_changed_file_is_found_by_name() {
    let setup = setup();
    std::fs::write(setup.path("a (2).log"), "changed").unwrap();
    let run = setup.wb(&["verify", "a (2).log", "--json"]).ends(5);
    assert!(run.stderr.contains("integrity mismatch with upload 01A"), "{}", run.stderr);
    assert_eq!(run.objects()[0]["verified"], false);
    std::fs::write(setup.path("unknown.log"), "changed").unwrap();
    setup.wb(&["verify", "unknown.log"]).ends(3);
}

#[test]
fn a_downloaded_file_verifies() {
    let setup = setup();
    setup.wb(&["get", "1001", "2001"]).ends(0);
    let run = setup.wb(&["verify", "a.log", "b.log", "--json"]).ends(0);
    let verified: Vec<_> = run.objects().iter().map(|object| object["verified"].as_bool()).collect();
    assert_eq!(verified, [Some(true), Some(true)]);
}

#[test]
fn a_saved_receipt_needs_no_gateway() {
    let setup = setup();
    std::fs::write(setup.path("a.log"), fake::bytes(5_000)).unwrap();
    std::fs::write(setup.path("a.json"), setup.fake.state().uploads[0].to_string()).unwrap();
    let offline = |file: &str| {
        let mut command = setup.command(&["verify", file, "--receipt", "a.json"]);
        run(command.env_remove("WEIGHBRIDGE_URL").env_remove("WEIGHBRIDGE_TOKEN"))
    };
    offline("a.log").ends(0);
    offline("gone.log").ends(3);
    std::fs::write(setup.path("a.log"), "changed").unwrap();
    offline("a.log").ends(5);
    setup.wb(&["verify", "a.log", "b.log", "--receipt", "a.json"]).ends(2);
    // As curl was answered, for one file or for several of a form; and what is no receipt.
    std::fs::write(setup.path("a.log"), fake::bytes(5_000)).unwrap();
    let text = |name: &str, length: usize| {
        let sha256 = fake::sha256(&fake::bytes(length));
        format!(
            "{name}, {length} bytes\nSHA-256 {sha256}\nfor ticket 1001\nReceipt https://host/u/T/uploads/01{name}\n"
        )
    };
    let [one, other] = [text("a.log", 5_000), text("b.log", 6_000)];
    for (status, saved) in [
        (0, one.clone()),
        (5, other.clone()),
        (0, format!("{other}{one}")),
        (5, other.replace("b.log", "a.log")),
        (3, format!("{other}{}", other.replace("b.log", "c.log"))),
        (2, "{\"type\": \"/problems/too-large\", \"status\": 413}".to_owned()),
        (2, String::new()),
    ] {
        std::fs::write(setup.path("a.json"), &saved).unwrap();
        let run = offline("a.log").ends(status);
        assert!(status != 0 || run.text().contains("verified, upload 01a.log"), "{}", run.text());
    }
    std::fs::remove_file(setup.path("a.json")).unwrap();
    offline("a.log").ends(3);
}

#[test]
fn stored_files_are_downloaded_but_not_kept() {
    let setup = setup();
    setup.fake.upload("01LARGE", "large", "1001", fake::bytes(LARGE));
    let run = setup.wb(&["verify", "01LARGE", "01A"]).ends(0);
    assert_eq!(run.text().lines().count(), 2);
    assert!(run.text().ends_with(" verified, upload 01A, ticket 1001, `a.log`\n"), "{}", run.text());
    setup.fake.corrupt("01LARGE", 20 << 20);
    let run = setup.wb(&["verify", "01LARGE", "--json"]).ends(5);
    assert_eq!(run.objects()[0]["verified"], false);
    setup.wb(&["verify", "01NONE"]).ends(3);
    setup.wb(&["verify", "no/such.file"]).ends(3);
    assert!(setup.names(".").is_empty());
}
