//! Settings: environment, config file, and what is never shown.

use std::fs;

use crate::{Desk, fake, run};

fn write_config(desk: &Desk, folder: &str, text: &str, mode: u32) {
    let folder = desk.path(folder).join("weighbridge");
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
    let desk = Desk::new();
    write_config(&desk, ".config", &format!("url = {:?}\ntoken = {:?}\n", desk.fake.url, fake::TOKEN), 0o600);
    let mut command = desk.command(&["ls"]);
    let outcome = run(command.env_remove("WEIGHBRIDGE_URL").env_remove("WEIGHBRIDGE_TOKEN")).ends(0);
    assert_eq!(outcome.stderr, "no uploads match\n");
    // The environment wins.
    let mut command = desk.command(&["ls"]);
    run(command.env_remove("WEIGHBRIDGE_URL").env("WEIGHBRIDGE_TOKEN", "wrong")).ends(4);
}

#[cfg(unix)]
#[test]
fn a_token_that_others_can_read_is_warned_of() {
    let desk = Desk::new();
    write_config(&desk, "xdg", &format!("token = {:?}\n", fake::TOKEN), 0o644);
    let mut command = desk.command(&["ls"]);
    command.env_remove("WEIGHBRIDGE_TOKEN").env("XDG_CONFIG_HOME", desk.path("xdg"));
    let outcome = run(&mut command).ends(0);
    assert!(outcome.stderr.contains("others can read it"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(fake::TOKEN));
}

#[test]
fn missing_or_malformed_settings_are_wrong_usage() {
    let desk = Desk::new();
    let outcome = run(desk.command(&["ls"]).env_remove("WEIGHBRIDGE_TOKEN")).ends(2);
    assert!(outcome.stderr.contains("WEIGHBRIDGE_TOKEN"), "{}", outcome.stderr);
    let outcome = run(desk.command(&["ls"]).env_remove("WEIGHBRIDGE_URL")).ends(2);
    assert!(outcome.stderr.contains("WEIGHBRIDGE_URL"), "{}", outcome.stderr);
    run(desk.command(&["ls"]).env("WEIGHBRIDGE_URL", "https://user:pass@host")).ends(2);
    run(desk.command(&["ls"]).env("WEIGHBRIDGE_TOKEN", "two\nlines")).ends(2);
    write_config(&desk, ".config", "url = \"https://host\"\ntokn = \"s3cret\"\n", 0o600);
    let outcome = desk.wb(&["ls"]).ends(2);
    assert!(
        outcome.stderr.contains("wb.toml` line 2") && !outcome.stderr.contains("s3cret"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_gateway_that_is_not_there_is_status_1() {
    let desk = Desk::new();
    // A port that was free a moment ago: nothing listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome =
        run(desk.command(&["ls"]).env("WEIGHBRIDGE_URL", format!("http://127.0.0.1:{port}"))).ends(1);
    assert!(outcome.stderr.starts_with("error: list uploads: "), "{}", outcome.stderr);
}

#[test]
fn help_and_wrong_usage() {
    let desk = Desk::new();
    let help = desk.wb(&["--help"]).ends(0).text();
    assert!(help.contains("5 integrity mismatch"), "{help}");
    assert!(!desk.wb(&["get", "--help"]).ends(0).text().contains(fake::TOKEN));
    desk.wb(&["--version"]).ends(0);
    desk.wb(&[]).ends(2);
    desk.wb(&["fetch"]).ends(2);
    desk.wb(&["ls", "--token", "x"]).ends(2);
}
