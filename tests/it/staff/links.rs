//! Links that support creates and revokes, bad requests, and what remains: a complete audit log without secrets.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Answer, RawClient, World, ask, eventually, sha256};

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
        (422, "POST", "/links", "[]"),
        (422, "POST", "/links", "{}"),
        (422, "POST", "/links", r#"{"partner":"nobody","ticket":"1"}"#),
        (422, "POST", "/links", r#"{"partner":"acme","ticket":"x"}"#),
        (422, "POST", "/links", r#"{"partner":"acme","ticket":-1}"#),
        (422, "POST", "/links", r#"{"partner":"acme","ticket":["1"]}"#),
        (422, "POST", "/links", r#"{"partner":"acme","rights":["everything"]}"#),
        (422, "POST", "/links", r#"{"partner":"acme","max_bytes":0}"#),
        (422, "POST", "/links", r#"{"partner":"acme","max_open":-1}"#),
        (422, "POST", "/links", r#"{"partner":"acme","expires_in_s":0}"#),
        (422, "POST", "/links", r#"{"partner":"acme","expires_in_s":18446744073709551615}"#),
        (422, "POST", "/links", r#"{"partner":"acme","expires_in_s":-1}"#),
        (422, "POST", "/links", r#"{"partner":"acme","expiry":"1h"}"#),
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
    assert!(world.gateway.admin_ok(&["link", "list"]).lines().count() == 4, "no link was made");
}

/// A staff token, and its id.
fn new_token(world: &World) -> (String, String) {
    let token = world.gateway.admin_ok(&["token", "create", "--name", "operator"]).trim().to_owned();
    let listed = world.gateway.admin_ok(&["token", "list"]);
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    (token, first["id"].as_str().unwrap().to_owned())
}

/// An upload without a byte, on a link of its own: the link's id, and the upload's address.
fn begun(world: &World, partner: &str, ticket: &str) -> (String, String) {
    let link = make(world, &json!({"partner": partner, "ticket": ticket})).json();
    let url = format!("{}/uploads", link["url"].as_str().unwrap());
    let headers = ["Upload-Complete: ?0", "Upload-Length: 4", "Content-Disposition: inline; filename=a.log"];
    let begun = ask("POST", &url, &headers, b"").is(201);
    (link["id"].as_str().unwrap().to_owned(), begun.header("location").to_owned())
}

/// The id in an upload's address.
fn id_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

/// Waits until the audit says that this actor has cancelled the upload, and nothing else of it.
#[track_caller]
fn is_cancelled(world: &World, url: &str, actor: &str, why: &str) {
    let audit = eventually("its end is in the audit", || {
        let audit = world.gateway.admin_ok(&["audit", "--subject", id_of(url)]);
        (!audit.is_empty()).then_some(audit)
    });
    let entry: Value = serde_json::from_str(&audit).unwrap_or_else(|error| panic!("{error}: {audit}"));
    let told = ["actor", "action", "detail"].map(|field| entry[field].as_str().unwrap());
    assert_eq!(told, [actor, "upload.cancel", why], "{audit}");
}

#[test]
fn every_end_of_an_unfinished_upload_is_in_the_audit() {
    let world = World::start();
    let (token, staff_id) = new_token(&world);
    let (_, url) = begun(&world, "acme", "1002");
    let gone = world.sandbox.staff_as(&token, &format!("/uploads/{}", id_of(&url)), &["-X", "DELETE"]);
    assert_eq!(gone.status, 204, "{gone:?}");
    is_cancelled(&world, &url, &format!("staff:{staff_id}"), "");

    let (link_id, url) = begun(&world, "acme", "1002");
    ask("DELETE", &url, &[], b"").is(204);
    is_cancelled(&world, &url, &format!("link:{link_id}"), "");

    // More bytes than the file has, by what the head says or by the body: the IETF protocol ends the upload.
    let whole = ["Upload-Complete: ?1", "Content-Type: application/partial-upload", "Upload-Offset: 0"];
    let (link_id, url) = begun(&world, "acme", "1002");
    ask("PATCH", &url, &whole, b"01234").refuses(400, "inconsistent-upload-length");
    is_cancelled(&world, &url, &format!("link:{link_id}"), "inconsistent-upload-length");
    let (_, url) = begun(&world, "acme", "1002");
    let mut raw = RawClient::request("PATCH", &url, &[&whole[..], &["Transfer-Encoding: chunked"]].concat());
    raw.chunk(b"01234");
    raw.answer().unwrap().refuses(400, "inconsistent-upload-length");
    is_cancelled(&world, &url, "gateway", "inconsistent-upload-length");

    let (link_id, url) = begun(&world, "acme", "1002");
    assert_eq!(world.sandbox.staff(&format!("/links/{link_id}"), &["-X", "DELETE"]).status, 204);
    is_cancelled(&world, &url, "gateway", "link-expired");

    let (_, url) = begun(&world, "globex", "2002");
    world.gateway.admin_ok(&["partner", "disable", "globex"]);
    is_cancelled(&world, &url, "gateway", "link-expired");

    let hasty = World::with(&["resume_window = \"1s\""]);
    let (_, url) = begun(&hasty, "acme", "1002");
    eventually("it expires", || {
        hasty.gateway.sweep();
        (!hasty.gateway.admin_ok(&["audit", "--subject", id_of(&url)]).is_empty()).then_some(())
    });
    is_cancelled(&hasty, &url, "gateway", "expired");
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
    let (token, staff_id) = new_token(&world);
    let body = r#"{"partner":"acme","ticket":"1002","rights":["remove","list"]}"#;
    let made =
        sandbox.staff_as(&token, "/links", &["-H", "Content-Type: application/json", "-d", body]).json();
    let (link_id, url) = (made["id"].as_str().unwrap(), made["url"].as_str().unwrap());
    let read = sandbox.sent(url, "read.log", b"read")["id"].as_str().unwrap().to_owned();
    let withdrawn = sandbox.sent(url, "withdrawn.log", b"withdrawn")["id"].as_str().unwrap().to_owned();
    for query in ["", "?via=gateway"] {
        let answer = sandbox.staff_as(&token, &format!("/uploads/{read}/content{query}"), &["-L"]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "read"));
    }
    for query in ["?ticket=1002", "?ticket=1002&state=open", "?partner=acme", ""] {
        assert_eq!(sandbox.staff_as(&token, &format!("/uploads{query}"), &[]).status, 200);
    }
    assert_eq!(tests::curl(&[&format!("{url}/uploads")]).status, 200);
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
        (&staff, "ticket.list", "1002", 2),
        (&staff, "partner.list", "acme", 1),
        (&staff, "upload.list", "", 1),
        (&link, "link.list", link_id, 1),
        (&link, "upload.complete", &read, 1),
        (&link, "upload.remove", &withdrawn, 1),
        (&staff, "link.revoke", link_id, 1),
    ] {
        assert_eq!(count(actor, action, subject), times, "{actor} {action} {subject}: {audit}");
    }
    // Support sees the same of the ticket.
    let of_ticket: Vec<_> = entries.iter().filter(|entry| entry["ticket"] == "1002").cloned().collect();
    let since = entries[0]["at"].as_str().unwrap();
    let seen = sandbox.staff(&format!("/audit?ticket=1002&since={since}"), &[]).json();
    assert_eq!((&seen["entries"], &seen["next_cursor"]), (&json!(of_ticket), &Value::Null));
    let listed = of_ticket.iter().find(|entry| entry["action"] == "ticket.list").unwrap();
    assert_eq!(listed["actor_name"], "operator", "{listed}");
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
