//! Settings: environment, config file, and what is never shown.

use std::fs;

use crate::{Setup, fake, run};

fn write_config(setup: &Setup, folder: &str, text: &str, mode: u32) {
    let folder = setup.path(folder).join("weighbridge");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("wb.toml"), text).unwrap();
    set_mode(&folder.join("wb.toml"), mode);
}

#[cfg(unix)]
fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_path: &std::path::Path, _mode: u32) {}

#[test]
fn the_config_file_is_enough() {
    let setup = Setup::new();
    write_config(
        &setup,
        ".config",
        &format!("url = {:?}\ntoken = {:?}\n", setup.fake.url, fake::TOKEN),
        0o600,
    );
    let mut command = setup.command(&["ls"]);
    let outcome = run(command.env_remove("WEIGHBRIDGE_URL").env_remove("WEIGHBRIDGE_TOKEN")).ends(0);
    assert_eq!(outcome.stderr, "no uploads found\n");
    // The environment wins.
    let mut command = setup.command(&["ls"]);
    run(command.env_remove("WEIGHBRIDGE_URL").env("WEIGHBRIDGE_TOKEN", "wrong")).ends(4);
}

#[cfg(unix)]
#[test]
fn a_token_readable_by_others_is_a_warning() {
    let setup = Setup::new();
    write_config(&setup, "xdg", &format!("token = {:?}\n", fake::TOKEN), 0o644);
    let mut command = setup.command(&["ls"]);
    command.env_remove("WEIGHBRIDGE_TOKEN").env("XDG_CONFIG_HOME", setup.path("xdg"));
    let outcome = run(&mut command).ends(0);
    assert!(outcome.stderr.contains("readable by others"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(fake::TOKEN));
}

#[test]
fn missing_or_malformed_settings_are_wrong_usage() {
    let setup = Setup::new();
    let outcome = run(setup.command(&["ls"]).env_remove("WEIGHBRIDGE_TOKEN")).ends(2);
    assert!(outcome.stderr.contains("WEIGHBRIDGE_TOKEN"), "{}", outcome.stderr);
    let outcome = run(setup.command(&["ls"]).env_remove("WEIGHBRIDGE_URL")).ends(2);
    assert!(outcome.stderr.contains("WEIGHBRIDGE_URL"), "{}", outcome.stderr);
    run(setup.command(&["ls"]).env("WEIGHBRIDGE_URL", "https://user:pass@host")).ends(2);
    run(setup.command(&["ls"]).env("WEIGHBRIDGE_TOKEN", "two\nlines")).ends(2);
    write_config(&setup, ".config", "url = \"https://host\"\ntokn = \"s3cret\"\n", 0o600);
    let outcome = setup.wb(&["ls"]).ends(2);
    assert!(
        outcome.stderr.contains("wb.toml` line 2") && !outcome.stderr.contains("s3cret"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_unreachable_gateway_is_status_1() {
    let setup = Setup::new();
    // A port that was free a moment ago: nothing listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome =
        run(setup.command(&["ls"]).env("WEIGHBRIDGE_URL", format!("http://127.0.0.1:{port}"))).ends(1);
    assert!(outcome.stderr.starts_with("error: cannot list the uploads: "), "{}", outcome.stderr);
}

#[test]
fn help_and_wrong_usage() {
    let setup = Setup::new();
    let help = setup.wb(&["--help"]).ends(0).text();
    assert!(help.contains("5 integrity mismatch"), "{help}");
    assert!(!setup.wb(&["get", "--help"]).ends(0).text().contains(fake::TOKEN));
    setup.wb(&["--version"]).ends(0);
    setup.wb(&[]).ends(2);
    setup.wb(&["fetch"]).ends(2);
    setup.wb(&["ls", "--token", "x"]).ends(2);
}
