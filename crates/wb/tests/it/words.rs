//! What is generated from the command line: completions and manual pages.

use crate::{Setup, run};

#[test]
fn completions_need_no_settings() {
    let setup = Setup::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let mut command = setup.command(&["completions", shell]);
        let script =
            run(command.env_remove("WEIGHBRIDGE_URL").env_remove("WEIGHBRIDGE_TOKEN")).ends(0).text();
        assert!(
            ["require-verified", "verify", "acknowledge", "slack-user-id"]
                .iter()
                .all(|word| script.contains(word)),
            "{shell}"
        );
    }
    setup.wb(&["completions", "tcl"]).ends(2);
    setup.wb(&["--s3", "s3://b", "completions", "bash"]).ends(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let setup = Setup::new();
    setup.wb(&["man", "share/man1"]).ends(0);
    let pages = setup.names("share/man1");
    for page in [
        "wb.1",
        "wb-ls.1",
        "wb-get.1",
        "wb-link-create.1",
        "wb-verify.1",
        "wb-escalations.1",
        "wb-escalate.1",
        "wb-contact-add.1",
        "wb-audit.1",
    ] {
        assert!(pages.iter().any(|name| name == page), "{page}: {pages:?}");
    }
    let page = std::fs::read_to_string(setup.path("share/man1/wb.1")).unwrap();
    assert!(page.contains("integrity mismatch") && page.contains("s3://BUCKET/PREFIX"), "{page}");
    setup.wb(&["man", "share/man1/wb.1"]).ends(2);
}
