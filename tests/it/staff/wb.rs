//! `wb` against the real gateway, as support runs it: its output, the files it saves and its exit status.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tests::{Sandbox, World, ask, curl_command, eventually, noise, printed, program, sha256};

/// The changes to the environment of one run.
type Change = fn(&mut Command) -> &mut Command;

fn id(receipt: &Value) -> String {
    receipt["id"].as_str().unwrap().to_owned()
}

/// Runs `wb`; it must end with this status.
fn wb(sandbox: &Sandbox, status: i32, arguments: &[&str]) -> Output {
    let output = sandbox.wb(arguments);
    assert_eq!(output.status.code(), Some(status), "wb {arguments:?}: {}", printed(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// One JSON object a line.
fn objects(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Names of everything in a folder, hidden or not.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn large_file_is_verified_on_both_routes() {
    let World { gateway: _gateway, sandbox } = World::start_embedded();
    let bytes = noise(60_000_000, 1);
    let receipt = sandbox.sent(&sandbox.link("globex"), "core dump.bin", &bytes);
    let upload = id(&receipt);
    for way in [&[][..], &["--via-gateway"], &["--parallel", "1"], &["--via-gateway", "--parallel", "8"]] {
        let folder = sandbox.scratch().join("downloads").join(way.join(""));
        // A connection that breaks costs a retry, not the file.
        sandbox.clear_faults().await;
        let reset =
            json!({"service": "s3", "operation": "GetObject", "after": 1, "times": 2, "fault": "reset"});
        sandbox.fault(reset).await;
        let mut arguments = vec!["get", &upload, "-o", folder.to_str().unwrap()];
        arguments.extend(way);
        let output = wb(&sandbox, 0, &arguments);
        assert!(
            text(&output).contains(&sha256(&bytes)) && text(&output).contains("verified"),
            "{}",
            printed(&output)
        );
        assert_eq!(names(&folder), ["core dump.bin"], "{way:?}");
        assert!(std::fs::read(folder.join("core dump.bin")).unwrap() == bytes, "{way:?}");
        // Ranges, and several of them, straight from the bucket or by the gateway.
        let reads = sandbox.faults().await["calls"]["s3"]["GetObject"].as_u64().unwrap();
        assert!(reads >= 4, "{way:?}: {reads} reads for 60 MB");
    }
    let output = wb(&sandbox, 0, &["get", &upload, "-o", "-"]);
    assert!(output.stdout == bytes, "{} bytes on standard output", output.stdout.len());
}

#[tokio::test]
async fn corrupted_object_is_a_mismatch() {
    let World { gateway: _gateway, sandbox } = World::start_embedded();
    let bytes = noise(25_000_000, 2);
    let upload = id(&sandbox.sent(&sandbox.link("acme"), "core.bin", &bytes));
    let corrupt = json!({"service": "s3", "operation": "GetObject", "times": 0, "fault": "corrupt"});
    sandbox.fault(corrupt).await;
    for way in [&[][..], &["--via-gateway"]] {
        let folder = sandbox.scratch().join("corrupt");
        let mut arguments = vec!["get", &upload, "-o", folder.to_str().unwrap()];
        arguments.extend(way);
        let output = wb(&sandbox, 5, &arguments);
        assert!(String::from_utf8_lossy(&output.stderr).contains(&sha256(&bytes)), "{}", printed(&output));
        assert_eq!(names(&folder), [""; 0], "{way:?}: no file, not even a hidden one");
        wb(&sandbox, 5, &[&["verify", &upload], way].concat());
    }
    wb(&sandbox, 5, &["get", &upload, "-o", "-"]);
    sandbox.clear_faults().await;
    wb(&sandbox, 0, &["verify", &upload]);
}

#[tokio::test]
async fn ticket_is_fetched_under_safe_names() {
    let World { gateway: _gateway, sandbox } = World::start();
    let link = sandbox.link("acme");
    let files =
        [("a.log", 1), ("-rf", 2), ("it's \"odd\" $(touch x).log", 3), (".hidden", 4), ("Größe 日本.log", 5)];
    for (name, seed) in files {
        sandbox.sent(&link, name, &noise(2_000, seed));
    }
    // The same name with other bytes.
    sandbox.sent(&link, "a.log", &noise(2_000, 6));
    let folder = sandbox.scratch().join("ticket");
    let output = wb(&sandbox, 0, &["--json", "get", "1001", "-o", folder.to_str().unwrap()]);
    let saved = objects(&output);
    assert_eq!(saved.len(), 6, "{saved:?}");
    assert_eq!(names(&folder).len(), 6, "{:?}", names(&folder));
    for object in &saved {
        let bytes = std::fs::read(sandbox.scratch().join(object["path"].as_str().unwrap())).unwrap();
        assert_eq!(object["sha256"], sha256(&bytes), "{object}");
    }
    assert!(names(&folder).contains(&"a (2).log".to_owned()), "{:?}", names(&folder));
    assert!(
        !names(&folder).iter().any(|name| name.starts_with('-')),
        "an option by its name: {:?}",
        names(&folder)
    );
    // Several files do not fit on standard output.
    wb(&sandbox, 2, &["get", "1001", "-o", "-"]);
    wb(&sandbox, 3, &["get", "1002"]);
}

#[tokio::test]
async fn ls_for_people_and_programs() {
    let World { gateway, sandbox } = World::start();
    let acme = sandbox.sent(&sandbox.link("acme"), "a.log", b"a");
    let globex = sandbox.sent(&sandbox.link("globex"), "g.log", b"globex");
    let (closed_ticket, closed) = sandbox.closed_ticket_and_link(&gateway, "acme").await;
    let late = sandbox.sent(&closed, "late.log", b"late");
    eventually("the closed ticket is noticed", || {
        (sandbox.listed(&closed_ticket)[0]["delivery"] == "undeliverable").then_some(())
    });
    let (a, g, l) = (id(&acme), id(&globex), id(&late));
    for (arguments, expected) in [
        (&[][..], vec![&l, &g, &a]),
        (&["--ticket", "1001"], vec![&a]),
        (&["--ticket", "#1001"], vec![&a]),
        (&["--partner", "acme"], vec![&l, &a]),
        (&["--partner", "acme", "--ticket", "2001"], vec![]),
        (&["--since", "1h"], vec![&l, &g, &a]),
        (&["--until", "1h"], vec![]),
        (&["--state", "undeliverable"], vec![&l]),
        (&["--state", "open"], vec![]),
    ] {
        let listed = objects(&wb(&sandbox, 0, &[&["ls", "--json"], arguments].concat()));
        let ids: Vec<_> = listed.iter().map(id).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{arguments:?}");
        let table = text(&wb(&sandbox, 0, &[&["ls"], arguments].concat()));
        assert!(expected.iter().all(|id| table.contains(id.as_str())), "{arguments:?}: {table}");
    }
    let listed = objects(&wb(&sandbox, 0, &["ls", "--json", "--ticket", "2001"])).remove(0);
    for field in ["id", "name", "size", "sha256", "partner", "ticket", "destination", "received_at"] {
        assert_eq!(listed[field], sandbox.listed("2001")[0][field], "{field}");
    }
    // One that is not complete: how much of it is stored.
    let headers =
        ["Upload-Complete: ?0", "Upload-Length: 1000000", "Content-Disposition: inline; filename=open.log"];
    ask("POST", &format!("{}/uploads", sandbox.link("acme")), &headers, &[7; 512]).is(201);
    let table = text(&wb(&sandbox, 0, &["ls", "--state", "open"]));
    assert!(table.contains("open.log") && table.contains(" 512 B / 1.00 MB "), "{table}");
    let open = objects(&wb(&sandbox, 0, &["ls", "--json", "--state", "open"]));
    assert_eq!((open.len(), &open[0]["offset"], &open[0]["length"]), (1, &json!(512), &json!(1_000_000)));
}

#[tokio::test]
async fn partners_links_and_removals() {
    let World { gateway: _gateway, sandbox } = World::start();
    let partners = text(&wb(&sandbox, 0, &["partner"]));
    assert!(partners.contains("acme") && partners.contains("globex"), "{partners}");
    assert!(
        text(&wb(&sandbox, 0, &["partner", "acme"])).contains("alliance partner"),
        "the organisation's notes"
    );

    let url = text(&wb(
        &sandbox,
        0,
        &["link", "create", "--partner", "globex", "--ticket", "2002", "--expires", "1h"],
    ));
    let link = url.trim_end();
    assert!(link.lines().count() == 1 && link.starts_with("http"), "the address alone: {url}");
    let upload = id(&sandbox.sent(link, "g.log", b"g"));
    let listed = objects(&wb(&sandbox, 0, &["--json", "partner", "globex", "--objects"]));
    assert!(listed.iter().any(|object| object["upload_id"] == upload.as_str()), "{listed:?}");

    let made = objects(&wb(
        &sandbox,
        0,
        &["--json", "link", "create", "--partner", "acme", "--rights", "list,remove"],
    ));
    assert_eq!(made[0]["rights"], json!(["upload", "list", "remove"]));
    let made_url = made[0]["url"].as_str().unwrap();
    wb(&sandbox, 0, &["link", "revoke", made[0]["id"].as_str().unwrap()]);
    assert_eq!(sandbox.send(made_url, "a", b"a").status, 410);

    // Nothing is removed without a yes.
    for (answer, status) in [("", 1), ("n\n", 1), ("maybe\n", 1)] {
        let mut command = Command::new(program("wb"));
        let command = sandbox.shell_environment(command.args(["rm", &upload]));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{answer:?}: {}", printed(&output));
        assert_eq!(sandbox.listed("2002").len(), 1);
    }
    wb(&sandbox, 0, &["rm", "--yes", &upload]);
    assert!(sandbox.listed("2002").is_empty());
    wb(&sandbox, 3, &["get", &upload]);
}

#[tokio::test]
async fn local_file_is_compared_with_its_receipt() {
    let World { gateway: _gateway, sandbox } = World::start();
    let bytes = noise(100_000, 7);
    let receipt = sandbox.sent(&sandbox.link("acme"), "core.bin", &bytes);
    let good = sandbox.file("good", "core.bin", &bytes);
    let damaged = sandbox.file("damaged", "core.bin", &bytes[1..]);
    let stranger = sandbox.file("stranger", "other.bin", b"other");
    // The same file again gets the same receipt, as curl shows it.
    let answer = sandbox.scratch().join("receipt.txt");
    let (answer, link) = (answer.to_str().unwrap(), format!("{}/", sandbox.link("acme")));
    let arguments = ["-sS", "--fail-with-body", "-T", good.to_str().unwrap(), "-o", answer, &link];
    assert!(curl_command(&arguments).status().unwrap().success());
    let saved = sandbox.file("receipt", "receipt.json", receipt.to_string().as_bytes());
    let [good, damaged, stranger, saved] =
        [&good, &damaged, &stranger, &saved].map(|path| path.to_str().unwrap());
    for (status, arguments) in [
        (0, vec!["verify", good]),
        (0, vec!["verify", good, "--receipt", saved]),
        (0, vec!["verify", good, "--receipt", answer]),
        (5, vec!["verify", damaged, "--receipt", answer]),
        (2, vec!["verify", good, "--receipt", good]),
        (3, vec!["verify", good, "--receipt", "no-such-file"]),
        (0, vec!["verify", good, "--id", receipt["id"].as_str().unwrap()]),
        (5, vec!["verify", damaged]),
        (5, vec!["verify", damaged, "--receipt", saved]),
        (5, vec!["verify", stranger, "--id", receipt["id"].as_str().unwrap()]),
        (3, vec!["verify", stranger]),
        (3, vec!["verify", "no-such-file"]),
        (5, vec!["verify", good, damaged]),
    ] {
        wb(&sandbox, status, &arguments);
    }
}

#[tokio::test]
async fn exit_status_by_failure() {
    let World { mut gateway, sandbox } = World::start();
    let upload = id(&sandbox.sent(&sandbox.link("acme"), "a.log", b"a"));
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let file = sandbox.file("here", "file", b"");
    let file = file.to_str().unwrap();
    for (status, arguments) in [
        (2, vec![]),
        (2, vec!["fetch"]),
        (2, vec!["get"]),
        (2, vec!["ls", "--since", "yesterday"]),
        (2, vec!["--json", "get", &upload, "-o", "-"]),
        (3, vec!["get", unknown]),
        (3, vec!["rm", "--yes", unknown]),
        (3, vec!["link", "revoke", unknown]),
        (3, vec!["partner", "nobody"]),
        (3, vec!["ls", "--partner", "nobody"]),
        (3, vec!["--json", "ls", "--partner", "nobody"]),
        (0, vec!["ls", "--partner", "globex"]),
        (2, vec!["link", "create", "--partner", "nobody", "--ticket", "1"]),
        (2, vec!["ls", "--state", "finished"]),
        (2, vec!["get", ""]),
        (2, vec!["ls", "--ticket", ""]),
        (2, vec!["get", &upload, "-o", file]),
        (0, vec!["--help"]),
        (0, vec!["--version"]),
    ] {
        wb(&sandbox, status, &arguments);
    }
    let run = |arguments: &[&str], change: Change| {
        let mut command = Command::new(program("wb"));
        let command = sandbox.shell_environment(command.args(arguments));
        change(command);
        let output = command.output().unwrap();
        assert!(
            !printed(&output).contains(&sandbox.text("/staff_token")),
            "the token is shown: {}",
            printed(&output)
        );
        output
    };
    let changes: [(i32, Change); 4] = [
        (4, |command| command.env("WEIGHBRIDGE_TOKEN", "wrong")),
        (2, |command| command.env_remove("WEIGHBRIDGE_TOKEN")),
        (2, |command| command.env_remove("WEIGHBRIDGE_URL")),
        (2, |command| command.env("WEIGHBRIDGE_URL", "ftp://host")),
    ];
    for (status, change) in changes {
        let output = run(&["ls"], change);
        assert_eq!(output.status.code(), Some(status), "{}", printed(&output));
    }
    gateway.terminate();
    let output = run(&["ls"], |command| command);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    for words in [gateway.url.as_str(), "WEIGHBRIDGE_URL"] {
        assert!(printed(&output).contains(words), "{words}: {}", printed(&output));
    }
}
