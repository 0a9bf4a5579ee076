//! The command line as an operator meets it first. The interface itself is tested in the package `tests`, against the
//! program that this test makes cargo build.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn weighbridge(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    // Nobody waits for an instance that this machine is not.
    command.args(arguments).env_remove("WEIGHBRIDGE_CONFIG").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("SET_AND_EMPTY", "");
    command.output().unwrap()
}

/// A file that its owner alone reads: secrets stand in it.
fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_names_every_subcommand() {
    let help = weighbridge(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let shown = stdout(&help);
    for command in [
        "demo", "sandbox", "serve", "config", "migrate", "partner", "contact", "link", "token", "sweep",
        "audit",
    ] {
        let named = shown.lines().any(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert!(named, "{command} is missing in {shown}");
    }
    let version = weighbridge(&["--version"]);
    assert_eq!(stdout(&version), format!("weighbridge {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(weighbridge(&[]).status.code(), Some(2));
    assert_eq!(weighbridge(&["weigh"]).status.code(), Some(2));
}

/// A configuration without mistakes.
const GOOD: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\n[ledger]\nurl = \"sqlite:ledger.db\"\n\n[desk]\n\
     url = \"https://example.zendesk.com\"\nclient_id = \"id\"\nclient_secret = \"swordfish\"\n\n\
     [support_uploader]\nbucket = \"shared\"\n\n[partners.acme]\nname = \"Acme\"\n";

#[test]
fn config_check_reports_file_line_key_and_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weighbridge.toml");
    let check = |text: &str| {
        write_private(&path, text);
        let output = weighbridge(&["config", "check", "--config", path.to_str().unwrap()]);
        assert!(!format!("{output:?}").contains("swordfish"), "a secret is shown: {output:?}");
        output
    };
    let output = check(GOOD);
    // There are no credentials here.
    let concluded = "The configuration has no mistakes, but not every bucket could be reached from here.\n";
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), concluded));
    let warning = "line 12: support_uploader: warning: no AWS credentials found";
    assert!(stderr(&output).contains(warning) && stderr(&output).lines().count() == 1, "{output:?}");
    let shown = path.display();
    for (from, to, line, key, fix) in [
        ("listen = \"127.0.0.1:0\"", "listen = \"here\"", 2, "server.listen", "write an address and a port"),
        ("listen =", "lisetn =", 2, "server.lisetn", "did you mean `listen`?"),
        ("url = \"sqlite:ledger.db\"\n", "\n", 4, "ledger.url", "add `url = "),
        ("sqlite:ledger.db", "sqlite:/no/such/folder/ledger.db", 5, "ledger.url", "make it"),
        ("sqlite:ledger.db", "sqlite:/tmp", 5, "ledger.url", "name a file"),
        ("\"https://example.zendesk.com\"", "\"example\"", 8, "desk.url", "write for example"),
        ("client_secret = \"swordfish\"\n", "\n", 9, "desk.client_id", "give client_id and client_secret"),
        ("client_secret = \"swordfish\"", "client_secret = 5", 10, "desk.client_secret", "write a text"),
        (
            "client_secret = \"swordfish\"",
            "client_secret = { env = \"NOT_SET_ANYWHERE\" }",
            10,
            "desk.client_secret",
            "set it for this process",
        ),
        (
            "client_secret = \"swordfish\"",
            "client_secret = { env = \"SET_AND_EMPTY\" }",
            10,
            "desk.client_secret",
            "put the secret there",
        ),
        (
            "bucket = \"shared\"",
            "bucket = \"shared\"\naccess_key_id = { env = \"NOT_SET_ANYWHERE\" }\nsecret_access_key = \"s\"",
            14,
            "support_uploader.access_key_id",
            "set it for this process",
        ),
        ("bucket = \"shared\"\n", "\n", 12, "support_uploader.bucket", "add `bucket = "),
        ("[partners.acme]", "[partners.Acme]", 15, "partners.Acme", "lower-case letters"),
        ("[partners.acme]", "[partners.acme", 15, "TOML", "correct the syntax"),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let output = check(&text);
        assert_eq!(output.status.code(), Some(2), "{to}: {output:?}");
        let said = stderr(&output);
        assert_eq!(said.lines().count(), 1, "one mistake, one message: {said}");
        let begin = format!("{shown}: line {line}: {key}: ");
        let named = said.lines().any(|said| said.starts_with(&begin) && said.contains(fix));
        assert!(named, "`{begin}… {fix}` is missing in {said}");
        assert!(output.stdout.is_empty());
    }
    // Every mistake at once, in the order of the file; whatever needs a configuration says the same.
    let several = GOOD.replace("listen", "lisetn").replace("bucket =", "buckte =");
    write_private(&path, &several);
    for command in [&["config", "check"][..], &["serve"], &["link", "list"], &["sweep"]] {
        let output = weighbridge(&[command, &["--config", path.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let said = stderr(&output);
        let at = |key: &str| said.find(key).unwrap_or_else(|| panic!("{key} is missing in {said}"));
        assert!(at("server.lisetn") < at("support_uploader.buckte"), "{said}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.toml");
    let output = weighbridge(&["serve", "--config", path.to_str().unwrap()]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains(path.to_str().unwrap()) && said.contains("--config FILE"), "{said}");
}
