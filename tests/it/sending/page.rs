//! The upload page: every command it prints works once its placeholders name real files.

use std::process::{Command, Stdio};

use reqwest::Url;
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

/// The values of an attribute in a page, each as a browser that opened the page at `opened` follows it.
fn leads(page: &str, attribute: &str, opened: &str) -> Vec<String> {
    let begin = format!(" {attribute}=\"");
    let values = page.split(&begin).skip(1).map(|rest| rest.split_once('"').unwrap().0);
    let own = values.filter(|value| !value.starts_with("data:"));
    own.map(|value| Url::parse(opened).unwrap().join(value).unwrap().into()).collect()
}

#[test]
fn works_under_any_address() {
    let world = World::start();
    let link = world.link("acme");
    let (gateway, token) = link.split_once("/u/").unwrap();
    // A name that the configuration does not know.
    let other = format!("{}://files.internal", gateway.split_once("://").unwrap().0);
    let bearer = format!("Authorization: Bearer {token}");
    for opened in ["TOKEN", "TOKEN/", "TOKEN?ticket=1001", "TOKEN/?ticket=1001", "-", "-/"] {
        let opened = format!("{other}/u/{}", opened.replace("TOKEN", token));
        let own = format!("{other}/u/{}/", if opened.contains("/-") { "-" } else { token });
        let ask = |arguments: &[&str], url: &str| {
            let headers = ["-H", "Accept: text/html", "-H", "Host: files.internal", "-H", &bearer];
            let url = url.replacen(&other, gateway, 1);
            curl_raw(&[&headers, arguments, &[&url]].concat(), Stdio::null())
        };
        let page = ask(&[], &opened);
        assert_eq!(leads(&page.body, "action", &opened), [own.as_str()], "{opened}: {page:?}");
        // A form may be posted to the address without a slash, too.
        for target in [own.as_str(), own.trim_end_matches('/')] {
            let file = format!("file=@{}", world.path("a.log", target.as_bytes()));
            let answer = ask(&["-F", &file], target);
            assert_eq!(answer.status, 201, "{target}: {answer:?}");
            let found = leads(&answer.body, "href", target);
            let [receipt, again] = found.as_slice() else { panic!("{found:?}") };
            assert!(receipt.starts_with(&format!("{own}uploads/")), "{target}: {receipt}");
            assert_eq!(*again, own, "{target}");
            let shown = ask(&[], receipt);
            assert_eq!(shown.status, 200, "{receipt}: {shown:?}");
            assert_eq!(
                leads(&shown.body, "href", receipt),
                [receipt, again].map(String::as_str),
                "{receipt}"
            );
        }
    }
}

#[test]
fn printed_commands_work() {
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
        assert_eq!(commands.len(), 4, "{commands:?}");
        for command in commands {
            // An unbound link asks for the ticket number. On Windows it is curl, too.
            let command = command.replace("NUMBER", ticket).replace("curl.exe ", "curl ");
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

/// The page of an incomplete upload shows its progress, its expiry and how to resume it; the printed command works.
#[test]
fn unfinished_upload_page_shows_how_to_resume() {
    let world = World::start();
    let bytes = noise(300_000, 8);
    let here = world.sandbox.scratch();
    std::fs::write(here.join("FILE"), &bytes).unwrap();
    let begin = |name: &str, sent: usize| {
        let part = world.path(name, &bytes[..sent]);
        let (range, url) =
            (format!("Content-Range: bytes 0-{}/300000", sent - 1), format!("{}/{name}", world.link("acme")));
        let begun = curl_raw(&["-H", &range, "-T", &part, &url], Stdio::null());
        assert_eq!(begun.status, 204, "{begun:?}");
        begun.headers["location"].clone()
    };
    let run = |command: &str, name: &str| {
        let command = command.replace("curl.exe ", "curl ");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(here).stdin(Stdio::null());
        let ran = world.sandbox.reachable_from(&mut shell).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", printed(&ran));
        let receipt = match String::from_utf8(ran.stdout).unwrap() {
            nothing if nothing.is_empty() => std::fs::read_to_string(here.join("receipt.txt")).unwrap(),
            receipt => receipt,
        };
        let expected = format!("{name}, 300000 bytes\nSHA-256 {}", sha256(&bytes));
        assert!(receipt.starts_with(&expected), "{command}: {receipt}");
    };
    for (name, at) in [("one.bin", 0), ("two.bin", 1)] {
        let location = begin(name, 100_000);
        let page = curl_raw(&["-H", "Accept: text/html", &location], Stdio::null());
        for said in [name, "100000 of 300000 bytes are stored", "can be resumed until 20", "send.sh"] {
            assert!(page.body.contains(said), "{said}: {}", page.body);
        }
        assert!(!page.body.contains("Status 200"), "{}", page.body);
        run(&commands(&location)[at], name);
    }
    // Its length is unknown, and nothing has arrived.
    let url = format!("{}/uploads", world.link("acme"));
    let headers = [
        "Upload-Complete: ?0",
        "Content-Type: application/partial-upload",
        "Content-Disposition: attachment; filename=three.bin",
    ];
    let mut arguments: Vec<_> = headers.iter().flat_map(|header| ["-H", header]).collect();
    arguments.extend(["--data-binary", "", &url]);
    let location = curl_raw(&arguments, Stdio::null()).headers["location"].clone();
    let page = curl_raw(&["-H", "Accept: text/html", &location], Stdio::null());
    assert!(
        page.body.contains("0 bytes are stored. The length of the file is not known yet"),
        "{}",
        page.body
    );
    run(&commands(&location)[1], "three.bin");
}
