//! The upload page: every command it prints runs as printed, with the placeholders it names as real files.

use std::process::{Command, Stdio};

use tests::{World, curl_raw, noise, printed, sha256};

/// The commands of a page, as a person copies them from the browser.
fn commands(url: &str) -> Vec<String> {
    let page = curl_raw(&["-H", "Accept: text/html", url], Stdio::null());
    assert_eq!(page.status, 200);
    let text = |escaped: &str| {
        escaped
            .replace("&#39;", "'")
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    let blocks =
        page.body.split("<pre ").skip(1).filter_map(|block| block.split_once('>')?.1.split_once("</pre>"));
    blocks.map(|(command, _)| text(command)).collect()
}

#[test]
fn every_command_it_prints_runs_as_printed() {
    let world = World::start();
    let bytes = noise(100_000, 7);
    let here = world.sandbox.scratch();
    std::fs::create_dir(here.join("DIRECTORY")).unwrap();
    for path in ["FILE", "DIRECTORY/inside"] {
        std::fs::write(here.join(path), &bytes).unwrap();
    }
    let unbound = world.gateway.make_link(&["--partner", "acme"]);
    for (link, ticket) in [(world.link("acme"), "1001"), (unbound, "1002")] {
        let commands = commands(&link);
        assert_eq!(commands.len(), 3, "{commands:?}");
        for command in commands {
            // A link that is not bound asks for the number of the ticket.
            let command = command.replace("NUMBER", ticket);
            let ran = world
                .sandbox
                .reachable_from(Command::new("sh").args(["-c", &command]))
                .current_dir(here)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(ran.status.success(), "{command}: {}", printed(&ran));
            let receipt = std::fs::read_to_string(here.join("receipt.txt")).unwrap();
            assert!(receipt.contains(&format!("for ticket {ticket}")), "{command}: {receipt}");
            let piped = command.starts_with("tar");
            let expected =
                if piped { "NAME.tar.gz, ".to_owned() } else { format!("SHA-256 {}", sha256(&bytes)) };
            assert!(receipt.contains(&expected), "{command}: {receipt}");
        }
    }
}
