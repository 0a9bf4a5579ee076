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
    let own = values.filter(|value| !value.starts_with("/assets/"));
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
        let actions = leads(&page.body, "action", &opened);
        let forms = [own.clone(), format!("{own}note"), format!("{own}escalate")];
        assert_eq!(actions, forms, "{opened}: {page:?}");
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
        assert_eq!(commands.len(), 5, "{commands:?}");
        // No PowerShell is at hand.
        for command in commands.into_iter().filter(|command| !command.contains("powershell")) {
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

/// Nothing inline runs, and nothing comes from elsewhere. The files beside the page are immutable under their names.
#[test]
fn page_loads_only_our_files_and_speaks_the_reader_s_language() {
    let world = World::start();
    let link = world.link("acme");
    let (gateway, _) = link.split_once("/u/").unwrap();
    let page = |language: &str| {
        curl_raw(
            &["-H", "Accept: text/html", "-H", &format!("Accept-Language: {language}"), &link],
            Stdio::null(),
        )
    };
    for (wanted, language, heading) in [
        ("de-AT, en;q=0.5", "de", "<h1>Dateien an den Support senden</h1>"),
        ("ja", "ja", "<h1>"),
        ("es", "en", "<h1>Send files to support</h1>"),
    ] {
        let page = page(wanted);
        assert!(page.body.contains(&format!("<html lang=\"{language}\">")), "{wanted}: {page:?}");
        assert!(page.body.contains(heading), "{wanted}: {page:?}");
        for (header, value) in
            [("content-language", language), ("vary", "Accept-Language"), ("cache-control", "no-store")]
        {
            assert_eq!(page.headers[header], value, "{wanted}");
        }
    }
    let page = page("en");
    let policy = &page.headers["content-security-policy"];
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    for inline in ["<style", "style=", " onclick", "javascript:"] {
        assert!(!page.body.contains(inline), "{inline}: {}", page.body);
    }
    let data = page.body.split_once("id=\"page-data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["ticket"], &data["link"]["rights"][0]), (&"1001".into(), &"upload".into()));
    let mut assets: Vec<_> =
        page.body.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assets.sort_unstable();
    assets.dedup();
    assert!(assets.len() >= 5, "{assets:?}");
    for asset in assets {
        let found = curl_raw(&[&format!("{gateway}/assets/{asset}")], Stdio::null());
        assert_eq!(found.status, 200, "{asset}");
        assert_eq!(found.headers["cache-control"], "public, max-age=31536000, immutable");
        let may_compile = found.headers["content-security-policy"].contains("wasm-unsafe-eval");
        assert_eq!(may_compile, asset.starts_with("worker-"), "{asset}");
    }
    for missing in ["page.js", "..%2fCargo.toml", ""] {
        assert_eq!(
            curl_raw(&[&format!("{gateway}/assets/{missing}")], Stdio::null()).status,
            404,
            "{missing}"
        );
    }
}

#[test]
fn the_host_says_what_it_is() {
    let world = World::start();
    let link = world.link("acme");
    let home = format!("{}/", link.split_once("/u/").unwrap().0);
    for (accept, content_type) in [("text/html", "text/html"), ("*/*", "text/plain")] {
        let answer = curl_raw(&["-H", &format!("Accept: {accept}"), &home], Stdio::null());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.headers["content-type"].starts_with(content_type), "{answer:?}");
        assert!(answer.body.contains("through a link that support gives them"), "{answer:?}");
    }
}
