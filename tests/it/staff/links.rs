//! Links that support creates and revokes, bad requests, and what remains: a complete audit log without secrets.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Answer, World, eventually, sha256};

fn make(world: &World, wanted: &Value) -> Answer {
    let body = wanted.to_string();
    world.sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body])
}

#[tokio::test]
async fn link_works_until_revoked() {
    let world = World::start();
    let sandbox = &world.sandbox;
    let ticket = sandbox.open_ticket("acme").await;
    let wanted = json!({"partner": "acme", "ticket": ticket, "rights": ["upload", "list"], "expires_in_s": 3600,
        "max_bytes": 1000, "max_open": 2});
    let made = make(&world, &wanted);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.headers["cache-control"], "no-store");
    let link = made.json();
    assert_eq!((&link["partner"], &link["ticket"]), (&json!("acme"), &json!(ticket)));
    assert_eq!((&link["rights"], &link["max_bytes"]), (&json!(["upload", "list"]), &json!(1000)));
    let url = link["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/u/", world.gateway.url)), "{url}");
    let lasts = ledger::parse_rfc3339(link["expires_at"].as_str().unwrap()).unwrap() - ledger::now_ms();
    assert!((3_500_000..=3_600_000).contains(&lasts), "{lasts} ms");

    assert_eq!(sandbox.sent(url, "a.log", b"a")["ticket"], ticket);
    let large = sandbox.send(url, "b.log", &[0; 1001]);
    assert_eq!((large.status, large.problem().as_str()), (413, "/problems/too-large"));
    assert_eq!(tests::curl(&[&format!("{url}/uploads")]).json()["uploads"].as_array().unwrap().len(), 1);

    let path = format!("/links/{}", link["id"].as_str().unwrap());
    for attempt in ["first", "second"] {
        assert_eq!(sandbox.staff(&path, &["-X", "DELETE"]).status, 204, "{attempt}");
    }
    let late = sandbox.send(url, "c.log", b"c");
    assert_eq!((late.status, late.problem().as_str()), (410, "/problems/link-expired"));
    assert_eq!(sandbox.staff("/links/01ARZ3NDEKTSV4RRFFQ69G5FAV", &["-X", "DELETE"]).status, 404);
}

#[tokio::test]
async fn unbound_link_takes_a_ticket_with_each_file() {
    let world = World::start();
    let sandbox = &world.sandbox;
    let made = make(&world, &json!({"partner": "acme", "ticket": null}));
    assert_eq!(made.status, 201, "{made:?}");
    let link = made.json();
    assert_eq!((&link["ticket"], &link["rights"]), (&Value::Null, &json!(["upload"])));
    let lasts = ledger::parse_rfc3339(link["expires_at"].as_str().unwrap()).unwrap() - ledger::now_ms();
    assert!((47 * 3_600_000..=48 * 3_600_000).contains(&lasts), "48 hours unless said otherwise: {lasts} ms");
    let url = link["url"].as_str().unwrap();
    let path = sandbox.file("unbound", "a.log", b"a");
    let send = |query: &str| tests::curl(&["-T", path.to_str().unwrap(), &format!("{url}/a.log{query}")]);
    for (query, status, problem) in [
        ("", 422, "/problems/ticket-required"),
        ("?ticket=2001", 404, "/problems/unknown-ticket"),
        ("?ticket=424242", 404, "/problems/unknown-ticket"),
        ("?ticket=1003", 409, "/problems/ticket-closed"),
    ] {
        let answer = send(query);
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{query}");
    }
    assert_eq!((send("?ticket=1002").status, send("?ticket=%231002").status), (201, 201));
    assert_eq!(sandbox.listed("1002").len(), 1, "the second was a retry of the first");
    // As a number, as people write it in JSON.
    assert_eq!(make(&world, &json!({"partner": "acme", "ticket": 1001})).json()["ticket"], "1001");
}

#[tokio::test]
async fn bad_requests_get_problems() {
    let world = World::start();
    let json_type = ["-H", "Content-Type: application/json"];
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (status, method, path, body) in [
        (400, "GET", "/uploads?since=yesterday", ""),
        (400, "GET", "/uploads?until=2026-13-01T00:00:00Z", ""),
        (400, "GET", "/uploads?ticket=abc", ""),
        (400, "GET", "/uploads?state=finished", ""),
        (400, "GET", "/uploads?colour=red", ""),
        (400, "GET", "/uploads?ticket=1&ticket=2", ""),
        (404, "GET", &format!("/uploads/{unknown}"), ""),
        (404, "GET", &format!("/uploads/{unknown}/content"), ""),
        (404, "DELETE", &format!("/uploads/{unknown}"), ""),
        (404, "GET", "/uploads/..%2F..%2Fetc", ""),
        (400, "GET", "/uploads/%FF", ""),
        (404, "GET", "/partners/nobody/objects", ""),
        (404, "GET", "/nothing", ""),
        (405, "POST", "/uploads", ""),
        (405, "PUT", "/links", ""),
        (400, "GET", "/links?colour=red", ""),
        (405, "PUT", "/partners/acme", ""),
        (400, "POST", "/links", ""),
        (400, "POST", "/links", "{"),
        (400, "POST", "/links", "[]"),
        (400, "POST", "/links", "{}"),
        (400, "POST", "/links", r#"{"partner":"nobody","ticket":"1"}"#),
        (400, "POST", "/links", r#"{"partner":"acme","ticket":"x"}"#),
        (400, "POST", "/links", r#"{"partner":"acme","ticket":-1}"#),
        (400, "POST", "/links", r#"{"partner":"acme","ticket":["1"]}"#),
        (400, "POST", "/links", r#"{"partner":"acme","rights":["everything"]}"#),
        (400, "POST", "/links", r#"{"partner":"acme","max_bytes":0}"#),
        (400, "POST", "/links", r#"{"partner":"acme","max_open":-1}"#),
        (400, "POST", "/links", r#"{"partner":"acme","expires_in_s":0}"#),
        (400, "POST", "/links", r#"{"partner":"acme","expires_in_s":18446744073709551615}"#),
        (400, "POST", "/links", r#"{"partner":"acme","expires_in_s":-1}"#),
        (400, "POST", "/links", r#"{"partner":"acme","expiry":"1h"}"#),
    ] {
        let what = format!("{method} {path} {body}");
        let mut arguments = vec!["-X", method];
        if !body.is_empty() {
            arguments.extend(json_type);
            arguments.extend(["-d", body]);
        }
        let answer = world.sandbox.staff(path, &arguments);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{what}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty(), "{what}");
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{what}");
        }
    }
    assert!(world.gateway.admin_ok(&["link", "list"]).lines().count() == 2, "no link was made");
}

/// Whether the bytes of `secret` stand in any file below `folder`.
fn stands_in(folder: &Path, secret: &str, except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(stands_in(&path, secret, except));
        } else if !except.contains(&name.as_str()) {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn audit_is_complete_and_holds_no_secret() {
    let mut world = World::start_with_file();
    let (sandbox, gateway) = (&world.sandbox, &world.gateway);
    let token = gateway.admin_ok(&["token", "create", "--name", "operator"]).trim().to_owned();
    let staff_id = gateway.admin_ok(&["token", "list"]).lines().next().map(serde_json::from_str::<Value>);
    let staff_id = staff_id.unwrap().unwrap()["id"].as_str().unwrap().to_owned();
    let body = r#"{"partner":"acme","ticket":"1002","rights":["remove"]}"#;
    let made =
        sandbox.staff_as(&token, "/links", &["-H", "Content-Type: application/json", "-d", body]).json();
    let (link_id, url) = (made["id"].as_str().unwrap(), made["url"].as_str().unwrap());
    let read = sandbox.sent(url, "read.log", b"read")["id"].as_str().unwrap().to_owned();
    let withdrawn = sandbox.sent(url, "withdrawn.log", b"withdrawn")["id"].as_str().unwrap().to_owned();
    for query in ["", "?via=gateway"] {
        let answer = sandbox.staff_as(&token, &format!("/uploads/{read}/content{query}"), &["-L"]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "read"));
    }
    assert_eq!(tests::curl(&["-X", "DELETE", &format!("{url}/uploads/{withdrawn}")]).status, 204);
    assert_eq!(sandbox.staff_as(&token, &format!("/links/{link_id}"), &["-X", "DELETE"]).status, 204);
    assert_eq!(sandbox.send(url, "late.log", b"late").status, 410);
    let wrong = "not-a-token-but-sent-as-one-0123456789abcdef";
    assert_eq!(sandbox.staff_as(wrong, "/uploads", &[]).status, 401);
    assert_eq!(sandbox.send(&format!("{}/u/{wrong}", gateway.url), "a.log", b"a").status, 404);

    let audit = gateway.admin_ok(&["audit"]);
    let entries: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |actor: &str, action: &str, subject: &str| {
        let same = |entry: &&Value| {
            entry["actor"] == actor && entry["action"] == action && entry["subject"] == subject
        };
        entries.iter().filter(same).count()
    };
    let (staff, link) = (format!("staff:{staff_id}"), format!("link:{link_id}"));
    for (actor, action, subject, times) in [
        ("operator", "token.create", staff_id.as_str(), 1),
        (&staff, "link.create", link_id, 1),
        (&staff, "upload.read", &read, 2),
        (&link, "upload.remove", &withdrawn, 1),
        (&staff, "link.revoke", link_id, 1),
    ] {
        assert_eq!(count(actor, action, subject), times, "{actor} {action} {subject}: {audit}");
    }
    assert!(entries.iter().all(|entry| ledger::parse_rfc3339(entry["at"].as_str().unwrap()).is_some()));

    // Everything on disk, after a clean end: ledger, log, the desk's and the store's own files.
    eventually("the note is written", || {
        (sandbox.staff(&format!("/uploads/{read}"), &[]).json()["delivery"] == "done").then_some(())
    });
    let known = [
        sandbox.text("/staff_token"),
        sandbox.link("acme").rsplit('/').next().unwrap().to_owned(),
        token,
        url.rsplit('/').next().unwrap().to_owned(),
        wrong.to_owned(),
    ];
    world.gateway.terminate();
    let log = world.gateway.log();
    assert!(log.contains("accepting requests"), "the log is looked at: {log}");
    for secret in &known {
        assert!(!audit.contains(secret), "in the audit");
        // Those two files are where an owner keeps them.
        let files = stands_in(&world.sandbox.data(), secret, &["secrets.json", "sandbox.json"]);
        assert!(files.is_empty(), "{files:?} hold a token");
    }
    let ledger = stands_in(&world.sandbox.data(), &sha256(known[0].as_bytes()), &[]);
    assert!(ledger.iter().any(|path| path.contains("ledger.db")), "the ledger is looked at: {ledger:?}");
}
