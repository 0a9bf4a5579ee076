//! The admin subcommands beside a running gateway: what each does, its exit status and its error messages.

use serde_json::{Value, json};
use tests::{Gateway, Sandbox, World, eventually, noise, object, objects, printed, unfinished};

/// The lines of a listing.
fn lines(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    gateway.admin_ok(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn statuses(sandbox: &Sandbox, link: &str) -> (u16, String) {
    let answer = sandbox.send(link, "a.log", b"a");
    (answer.status, if answer.status == 201 { String::new() } else { answer.problem() })
}

#[test]
fn partners_can_be_added_and_disabled() {
    let World { gateway, sandbox } = World::start();
    let added =
        lines(&gateway, &["partner", "add", "initech", "--name", "Initech", "--organization-id", "101"]);
    assert_eq!(
        (&added[0]["id"], &added[0]["name"], &added[0]["organization_id"]),
        (&json!("initech"), &json!("Initech"), &json!(101))
    );
    let ids: Vec<_> =
        lines(&gateway, &["partner", "list"]).iter().map(|partner| partner["id"].clone()).collect();
    assert_eq!(ids, ["acme", "globex", "initech"]);
    // The running gateway knows it at once.
    let link = gateway.make_link(&["--partner", "initech", "--ticket", "1002"]);
    assert_eq!(statuses(&sandbox, &link).0, 201);
    assert_eq!(sandbox.staff("/partners/initech", &[]).json()["bucket"], false);
    gateway.admin_ok(&["partner", "disable", "initech"]);
    assert_eq!(statuses(&sandbox, &link), (410, "/problems/link-expired".into()));
    assert!(lines(&gateway, &["partner", "list"])[2]["disabled_at"].is_string());
    gateway.admin_ok(&["partner", "enable", "initech"]);
    assert_eq!(statuses(&sandbox, &link).0, 201);
    // Another name, the same partner.
    gateway.admin_ok(&["partner", "add", "initech", "--name", "Initech Ltd"]);
    let again = lines(&gateway, &["partner", "list"]);
    assert_eq!(again[2]["organization_id"], 101, "what is not given stays");
    let configured = gateway.admin(&["partner", "add", "acme", "--name", "Another"]);
    assert_eq!(configured.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&configured.stderr).contains("is in the configuration"));
    assert_eq!((again.len(), &again[2]["name"]), (3, &json!("Initech Ltd")));
    assert_eq!(
        lines(&gateway, &["audit", "--subject", "initech"]).len(),
        4,
        "added, stopped, enabled, renamed"
    );
}

#[test]
fn contacts_links_and_tokens() {
    let World { gateway, sandbox } = World::start();
    let contact = ["contact", "add", "--partner", "acme", "--name", "Ada", "--email", "ada@acme.example"];
    assert_eq!(lines(&gateway, &contact)[0]["email"], "ada@acme.example");
    let listed = || lines(&gateway, &["contact", "list", "--partner", "acme"]);
    // One stands in every sandbox.
    assert_eq!(listed().len(), 2);
    assert_eq!(lines(&gateway, &["contact", "list", "--partner", "globex"]).len(), 1);
    gateway.admin_ok(&["contact", "disable", listed()[0]["id"].as_str().unwrap()]);
    assert!(listed()[0]["disabled_at"].is_string() && listed()[1]["disabled_at"].is_null());
    let again = lines(&gateway, &[&contact[..], &["--slack-user-id", "U1"]].concat());
    assert_eq!((&again[0]["slack_user_id"], &again[0]["disabled_at"]), (&json!("U1"), &Value::Null));

    let all = ["--rights", "list,remove", "--expires", "7d", "--max-bytes", "5", "--max-open", "3"];
    let link = gateway.make_link(&[&["--partner", "acme", "--ticket", "#1002"], &all[..]].concat());
    assert!(link.starts_with(&format!("{}/u/", gateway.url)), "{link}");
    let shown = lines(&gateway, &["link", "list", "--partner", "acme"]).remove(0);
    assert_eq!(
        (&shown["ticket"], &shown["max_bytes"], &shown["max_open"]),
        (&json!("1002"), &json!(5), &json!(3))
    );
    assert_eq!(
        (&shown["rights"], &shown["created_by"]),
        (&json!(["upload", "list", "remove"]), &json!("operator"))
    );
    assert!(!shown.to_string().contains(link.rsplit('/').next().unwrap()), "a list shows no token: {shown}");
    assert_eq!(sandbox.send(&link, "large.log", b"larger than five").status, 413);
    assert_eq!(sandbox.send(&link, "a.log", b"small").status, 201);
    gateway.admin_ok(&["link", "revoke", shown["id"].as_str().unwrap()]);
    assert_eq!(statuses(&sandbox, &link), (410, "/problems/link-expired".into()));
    let short = gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--expires", "1s"]);
    eventually("the link has expired", || (sandbox.send(&short, "b.log", b"b").status == 410).then_some(()));

    let token = gateway.admin_ok(&["token", "create", "--name", "Grace"]).trim().to_owned();
    assert_eq!(sandbox.staff_as(&token, "/uploads", &[]).status, 200);
    let listed = gateway.admin_ok(&["token", "list"]);
    assert!(!listed.contains(&token) && listed.contains("Grace"), "{listed}");
    let of_grace =
        lines(&gateway, &["token", "list"]).into_iter().find(|token| token["name"] == "Grace").unwrap();
    gateway.admin_ok(&["token", "revoke", of_grace["id"].as_str().unwrap()]);
    assert_eq!(sandbox.staff_as(&token, "/uploads", &[]).status, 401);
}

#[test]
fn mistakes_are_named_with_their_exit_status() {
    let World { gateway, sandbox } = World::start();
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let link = |more: &[&'static str]| [&["link", "create"], more].concat();
    gateway.admin_ok(&["partner", "add", "nowhere"]);
    for (status, arguments, says) in [
        (2, vec![], "Usage"),
        (2, vec!["partner"], "Usage"),
        (2, vec!["partner", "remove", "acme"], "unrecognized subcommand"),
        (2, link(&[]), "--partner"),
        (2, link(&["--partner", "acme", "--expires", "soon"]), "48h"),
        (2, link(&["--partner", "acme", "--max-bytes", "many"]), "--max-bytes"),
        (1, vec!["partner", "add", "Not A Name"], "lower-case"),
        (1, vec!["partner", "add", "support-uploader"], "short name"),
        (1, vec!["partner", "disable", "nobody"], "nothing is called `nobody`"),
        (1, vec!["contact", "add", "--partner", "nobody", "--name", "n", "--email", "e@x"], "nobody"),
        (1, vec!["contact", "add", "--partner", "acme", "--name", "n", "--email", "nothing"], "e-mail"),
        (1, link(&["--partner", "nobody", "--ticket", "1"]), "nobody"),
        (1, link(&["--partner", "acme", "--ticket", "abc"]), "digits"),
        (1, link(&["--partner", "acme", "--rights", "everything"]), "open-ticket"),
        (1, link(&["--partner", "acme", "--max-bytes", "0"]), "at least 1"),
        (1, link(&["--partner", "nowhere"]), "organization_id"),
        (1, vec!["link", "revoke", unknown], unknown),
        (1, vec!["token", "revoke", unknown], unknown),
    ] {
        let output = gateway.admin(&arguments);
        let shown = printed(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {shown}");
        assert!(shown.contains(says) && !shown.contains("panicked"), "{arguments:?} says {shown}");
        assert!(output.stdout.is_empty(), "mistakes go to standard error: {arguments:?}: {shown}");
    }
    assert_eq!(lines(&gateway, &["link", "list"]).len(), 4, "nothing was made");
    drop(sandbox);
}

#[tokio::test]
async fn sweep_clears_ours_and_reports_the_rest() {
    let World { gateway, sandbox } = World::start_embedded();
    let bucket = sandbox.bucket(None).await;
    let kept = sandbox.sent(&sandbox.link("acme"), "kept.bin", &noise(9_000_000, 1));
    // Others' objects and uploads, one of them under a key as ours.
    let foreign = ["theirs/file.bin", "1001/01ARZ3NDEKTSV4RRFFQ69G5FAV/a.bin"];
    for key in foreign {
        bucket.create_multipart(key, "text/plain", &vec![]).await.unwrap();
        let payload = bucket::Payload::new(vec![], bucket::Crc64Hasher::new().value());
        bucket.put(key, "text/plain", &vec![], &payload).await.unwrap();
    }
    // The sender disconnects in the middle, and the store fails to delete its parts.
    let refuse = json!({"service": "s3", "operation": "AbortMultipartUpload", "fault": "status", "status": 403, "times": 0});
    sandbox.fault(refuse).await;
    let path = sandbox.file("gone", "gone.bin", &noise(30_000_000, 2));
    let url = format!("{}/gone.bin", sandbox.link("acme"));
    let part = tests::curl_command(&["-sS", "--limit-rate", "12M", "-T", path.to_str().unwrap(), &url])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut sender = part.unwrap();
    tests::eventually_async("a part is stored", async || {
        (!unfinished(&bucket).await.iter().all(|key| foreign.contains(&key.as_str()))).then_some(())
    })
    .await;
    sender.kill().unwrap();
    sender.wait().unwrap();
    sandbox.give_up_unfinished("");
    tests::eventually_async("the upload is cancelled", async || {
        let given_up =
            sandbox.staff("/uploads?state=cancelled", &[]).json()["uploads"].as_array().unwrap().len();
        (given_up == 1).then_some(())
    })
    .await;
    let before = unfinished(&bucket).await;
    assert_eq!(before.len(), 3, "{before:?}");
    let mut named = gateway.sweep_with(&["--dry-run"]);
    let counted = named.pop().unwrap();
    let named: Vec<_> = named.iter().map(|found| (&found["kind"], &found["key"])).collect();
    for key in foreign {
        assert!(named.contains(&(&json!("multipart"), &json!(key))), "{key} in {named:?}");
    }
    assert_eq!((&counted["dry_run"], &counted["leaked"]), (&json!(true), &json!(2)), "{counted}");
    assert_eq!(unfinished(&bucket).await, before, "a dry run changes nothing");
    let failed = gateway.admin(&["sweep"]);
    assert_eq!(failed.status.code(), Some(1), "what cannot be cleared is a failure: {}", printed(&failed));

    sandbox.clear_faults().await;
    let swept = gateway.sweep();
    assert_eq!((&swept["failed"], &swept["leaked"]), (&json!(0), &json!(2)), "{swept}");
    let mut left = unfinished(&bucket).await;
    left.sort();
    assert_eq!(left, ["1001/01ARZ3NDEKTSV4RRFFQ69G5FAV/a.bin", "theirs/file.bin"]);
    let keys = objects(&bucket).await;
    assert!(foreign.iter().all(|key| keys.contains(&(*key).to_owned())), "others' objects stay: {keys:?}");
    let key = format!("1001/{}/kept.bin", kept["id"].as_str().unwrap());
    assert!(object(&bucket, &key).await == noise(9_000_000, 1), "a complete file stays");
    assert!(!keys.iter().any(|key| key.ends_with("gone.bin")), "{keys:?}");
}

#[test]
fn one_gateway_per_sqlite_ledger() {
    let World { gateway, sandbox } = World::start_with_file();
    let output = gateway.admin(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    // The address conflicts first; on another address, the ledger does.
    let config = sandbox.data().join("serve.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let other = text.replace(gateway.address(), &free);
    assert_ne!(text, other);
    let path = sandbox.scratch().join("other.toml");
    std::fs::write(&path, other).unwrap();
    let output = std::process::Command::new(tests::program("weighbridge"))
        .args(["serve", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        output.status.code() == Some(1) && printed(&output).contains("another gateway"),
        "{}",
        printed(&output)
    );
    assert_eq!(
        sandbox.sent(&sandbox.link("acme"), "a.log", b"a")["delivery"],
        "pending",
        "the first one keeps running"
    );
}

#[test]
fn only_migrate_creates_a_ledger() {
    let World { gateway, sandbox } = World::start_with_file();
    let config = sandbox.data().join("serve.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("ledger.db", "new.db");
    let path = sandbox.data().join("new.toml");
    std::fs::write(&path, text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tests::program("weighbridge"));
        let output = command.args(arguments).arg("--config").arg(&path).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for _ in 0..2 {
        assert!(run(&["migrate"]).contains("up to date"));
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(sandbox.data().join("new.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the ledger: {mode:o}");
    assert_eq!(run(&["partner", "list"]).lines().count(), 2, "the configuration's partners are in it");
    assert!(run(&["audit"]).is_empty() && run(&["link", "list"]).is_empty());
    assert!(run(&["config", "check"]).contains("valid"));
    drop(gateway);
}
