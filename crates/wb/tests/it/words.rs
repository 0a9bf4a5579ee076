//! What is generated from the command line: completions and manual pages.

use crate::{Desk, run};

#[test]
fn completions_know_the_commands_and_need_no_settings() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let mut command = desk.command(&["completions", shell]);
        let script =
            run(command.env_remove("WEIGHBRIDGE_URL").env_remove("WEIGHBRIDGE_TOKEN")).ends(0).text();
        assert!(script.contains("require-verified") && script.contains("verify"), "{shell}");
    }
    desk.wb(&["completions", "tcl"]).ends(2);
    desk.wb(&["--s3", "s3://b", "completions", "bash"]).ends(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let desk = Desk::new();
    desk.wb(&["man", "share/man1"]).ends(0);
    let pages = desk.names("share/man1");
    for page in ["wb.1", "wb-ls.1", "wb-get.1", "wb-link-create.1", "wb-verify.1"] {
        assert!(pages.iter().any(|name| name == page), "{page}: {pages:?}");
    }
    let page = std::fs::read_to_string(desk.path("share/man1/wb.1")).unwrap();
    assert!(page.contains("integrity mismatch") && page.contains("s3://BUCKET/PREFIX"), "{page}");
    desk.wb(&["man", "share/man1/wb.1"]).ends(2);
}
