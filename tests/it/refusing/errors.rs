//! Every refusal of the interface: status, problem type, and a detail or page for people. Answers that must not differ are
//! compared.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::{Answer, RawClient, Shared, World, curl, curl_raw, eventually_async, noise};

static SHARED: Shared = Shared::with(&["max_upload_bytes = 5000000"]);

/// Text as a page shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A problem as it must be.
fn problem(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["type"], &body["status"]), (&kind.into(), &status.into()), "{answer:?}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    let detail = body["detail"].as_str().unwrap();
    let sentence =
        detail.starts_with(char::is_uppercase) && detail.len() > 30 && detail.ends_with(['.', '\'']);
    assert!(sentence, "the detail is a sentence that tells what to do: {detail}");
    assert_eq!(body["request_id"], answer.headers["x-request-id"].as_str(), "{answer:?}");
    body
}

/// Sends the same request as a program, as a person with curl, and as a browser.
fn check(arguments: &[&str], status: u16, kind: &str) -> Answer {
    // Apart from the request's id, which is chosen here, the answers must be the same.
    let arguments = &[&["-H", "X-Request-Id: of-a-test"], arguments].concat()[..];
    let program = curl(arguments);
    let body = problem(&program, status, kind);
    let person = curl_raw(arguments, Stdio::null());
    assert_eq!(problem(&person, status, kind), body);
    let browser = || curl_raw(&[&["-H", "Accept: text/html,*/*;q=0.8"], arguments].concat(), Stdio::null());
    let mut page = browser();
    // Over HTTP/2, curl 7.88 may lose the body of an answer that arrives while it is still sending.
    for _ in 0..3 {
        if page.body.is_empty() {
            page = browser();
        }
    }
    assert_eq!(page.status, status, "{page:?}");
    assert!(page.headers["content-type"].starts_with("text/html"), "{page:?}");
    let (title, detail) = (body["title"].as_str().unwrap(), body["detail"].as_str().unwrap());
    assert!(
        page.body.contains(&escaped(title)) && page.body.contains(&escaped(detail)),
        "{detail}: {}",
        page.body
    );
    for header in ["retry-after", "www-authenticate"] {
        assert_eq!(
            program.headers.contains_key(header),
            page.headers.contains_key(header),
            "{header}: {page:?}"
        );
    }
    program
}

#[test]
fn links_and_rights() {
    let world = SHARED.world();
    let file = world.path("e.log", b"errors");
    check(&["-T", &file, &format!("{}/u/unknown/", world.gateway.url)], 404, "/problems/unknown-link");
    check(&["-T", &file, &format!("{}/u/-/", world.gateway.url)], 401, "/problems/unauthorized");
    let expired = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--expires", "1s"]);
    tests::eventually("the link expires", || (curl(&[&expired]).status == 410).then_some(()));
    check(&["-T", &file, &format!("{expired}/")], 410, "/problems/link-expired");
    let bare = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
    check(&[&format!("{bare}/uploads")], 403, "/problems/not-allowed");
    let receipt = world.sandbox.sent(&world.link("acme"), "gone.log", b"gone");
    let location = format!("{}/uploads/{}", world.link("acme"), receipt["id"].as_str().unwrap());
    assert_eq!(curl(&["-X", "DELETE", &location]).status, 204);
    check(&[&location], 410, "/problems/upload-gone");
    check(&[&format!("{}/uploads/nothing", world.link("acme"))], 404, "about:blank");
    check(&[&format!("{}/nothing", world.link("acme"))], 404, "about:blank");
    check(&[&format!("{}/nothing", world.gateway.url)], 404, "about:blank");
    let answer = check(&["-X", "LOCK", &world.link("acme")], 405, "about:blank");
    assert!(answer.headers["allow"].contains("PUT"), "{answer:?}");
}

#[test]
fn declared_and_actual_sizes() {
    let world = SHARED.world();
    let small = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--max-bytes", "1000"]);
    let (fits, over) = (world.path("fits.bin", &noise(1000, 1)), world.path("over.bin", &noise(1001, 1)));
    let huge = world.path("huge.bin", &noise(5_000_001, 2));
    for (link, file, max) in [(&small, &over, 1000), (&world.link("acme"), &huge, 5_000_000)] {
        let url = format!("{link}/over.bin");
        let declared = check(&["-T", file, &url], 413, "/problems/too-large");
        assert!(declared.json()["detail"].as_str().unwrap().contains(&max.to_string()), "{declared:?}");
        check(&["-H", "Transfer-Encoding: chunked", "-T", file, &url], 413, "/problems/too-large");
        check(&["-F", &format!("file=@{file}"), link], 413, "/problems/too-large");
    }
    for way in [&["-T", &fits][..], &["-H", "Transfer-Encoding: chunked", "-T", &fits]] {
        assert_eq!(curl(&[way, &[&format!("{small}/fits.bin")]].concat()).status, 201);
    }
}

#[tokio::test]
async fn tickets() {
    let world = SHARED.world();
    let file = world.path("t.log", b"tickets");
    let link = world.gateway.make_link(&["--partner", "acme"]);
    let form = format!("file=@{file}");
    let mut seen = Vec::new();
    for ticket in ["2001", "9999", "2001", "9999", "0", "x", "1001x", "99999999999999999999999"] {
        let mut answer =
            check(&["-T", &file, &format!("{link}/t.log?ticket={ticket}")], 404, "/problems/unknown-ticket");
        answer.headers.remove("date");
        seen.push((answer.headers, answer.body));
        check(&["-F", &format!("ticket={ticket}"), "-F", &form, &link], 404, "/problems/unknown-ticket");
    }
    assert!(
        seen.iter().all(|answer| *answer == seen[0]),
        "unknown, another partner's: no difference: {seen:?}"
    );
    check(
        &["-T", &file, &format!("{}/t.log?ticket=1002", world.link("acme"))],
        404,
        "/problems/unknown-ticket",
    );
    check(&["-T", &file, &format!("{link}/")], 422, "/problems/ticket-required");
    check(&["-F", &form, &link], 422, "/problems/ticket-required");
    check(&["-T", &file, &format!("{link}/t.log?ticket=1003")], 409, "/problems/ticket-closed");
    // What was seen once is known for bound links, which never ask.
    let (closed, bound) = world.sandbox.closed_ticket_and_link(&world.gateway, "acme").await;
    let refused = world.gateway.admin(&["link", "create", "--partner", "acme", "--ticket", &closed]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    check(&["-T", &file, &format!("{bound}/")], 409, "/problems/ticket-closed");
    check(&["-F", &form, &bound], 409, "/problems/ticket-closed");
    for ticket in ["1001", "%231002", "01002"] {
        let answer = curl(&["-T", &file, &format!("{link}/t.log?ticket={ticket}")]);
        assert_eq!(answer.status, 201, "{ticket}: {answer:?}");
    }
    assert_eq!(curl(&["-T", &file, &format!("{}/t.log?ticket=1001", world.link("acme"))]).status, 201);
}

#[test]
fn digests() {
    let world = SHARED.world();
    let file = world.path("d.log", b"digests");
    let url = format!("{}/", world.link("acme"));
    let send = |digest: &str, status: u16, kind: &str| {
        check(&["-H", &format!("Repr-Digest: {digest}"), "-T", &file, &url], status, kind)
    };
    let right = "ESvKwT3Ixb8rHTj2d1sZMeG7izlaaMC0KZIl414CbIE=";
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mismatch = send(&format!("sha-256=:{zero}:"), 422, "/problems/digest-mismatch");
    assert_eq!(mismatch.json()["announced"], "0".repeat(64), "{mismatch:?}");
    assert_eq!(mismatch.json()["actual"], tests::sha256(b"digests"));
    for malformed in [
        "sha-256",
        "sha-256=",
        "sha-256=x",
        "sha-256=::",
        "sha-256=:x:",
        "sha-256=:AAAA:",
        "sha-256=:*:",
        &format!("sha-256={zero}"),
        &format!("sha-256=:{zero}"),
        &tests::sha256(b"digests"),
    ] {
        send(malformed, 400, "/problems/bad-request");
    }
    for (digest, checked) in [
        (format!("sha-256=:{right}:"), json!(["sha-256"])),
        (format!("crc32c=:AAAA:, sha-256=:{right}:"), json!(["sha-256"])),
        (format!(" sha-256=:{right}:;x=1 "), json!(["sha-256"])),
        ("adler=:AAAA:".to_owned(), json!([])),
        ("unixsum=:AAAA:, crc32c=:AAAA:".to_owned(), json!([])),
    ] {
        // A link of its own: the first receipt of an equal file would be answered.
        let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
        let answer = curl(&["-H", &format!("Repr-Digest: {digest}"), "-T", &file, &format!("{link}/")]);
        assert_eq!((answer.status, &answer.json()["checked"]), (201, &checked), "{digest}: {answer:?}");
    }
}

#[test]
fn content_digest_counts_as_repr_digest() {
    let world = SHARED.world();
    let file = world.path("d.log", b"digests");
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
    let (right, zero) = ("ESvKwT3Ixb8rHTj2d1sZMeG7izlaaMC0KZIl414CbIE=", "A".repeat(43) + "=");
    let (right, zero) = (format!("sha-256=:{right}:"), format!("sha-256=:{zero}:"));
    let url = format!("{link}/");
    let send = |content: &str, more: &[&str], status: u16, kind: &str| {
        check(
            &[&["-H", &format!("Content-Digest: {content}")], more, &["-T", &file, &url]].concat(),
            status,
            kind,
        )
    };
    send(&zero, &[], 422, "/problems/digest-mismatch");
    send(&zero, &["-H", &format!("Repr-Digest: {right}")], 422, "/problems/digest-mismatch");
    send(&right, &["-H", &format!("Repr-Digest: {zero}")], 422, "/problems/digest-mismatch");
    send("sha-256=:x:", &[], 400, "/problems/bad-request");
    let answer = curl(&["-H", &format!("Content-Digest: {right}"), "-T", &file, &url]);
    assert_eq!((answer.status, &answer.json()["checked"]), (201, &json!(["sha-256"])), "{answer:?}");
}

#[tokio::test]
async fn refusal_after_the_body_leaves_nothing() {
    let world = World::with(&["max_upload_bytes = 10000000"]);
    let wrong = format!("Repr-Digest: sha-256=:{}:", "A".repeat(43) + "=");
    let (chunked, range) = ("Transfer-Encoding: chunked", "Content-Range: bytes 0-8999999/9000000");
    for (size, headers, status) in [
        (1000, vec![&*wrong], 422),
        (9_000_000, vec![&*wrong], 422),
        (20_000_000, vec![chunked], 413),
        (9_000_001, vec![chunked, range], 400),
        (8_999_999, vec![chunked, range], 400),
    ] {
        let file = world.path("refused.bin", &noise(size, 5));
        let headers = headers.into_iter().flat_map(|header| ["-H", header]);
        let url = format!("{}/", world.link("globex"));
        let arguments: Vec<_> = headers.chain(["-T", &file, &url]).collect();
        assert_eq!(curl(&arguments).status, status, "{arguments:?}");
    }
    world.until_at_rest();
    world.gateway.sweep();
    eventually_async("nothing is left", async || world.stored().await.is_empty().then_some(())).await;
    assert_eq!(world.sandbox.faults().await["calls"]["desk"], Value::Null, "the desk hears nothing");
}

#[test]
fn contradicting_lengths() {
    let world = SHARED.world();
    let file = world.path("range.bin", b"0123456789");
    let url = format!("{}/range.bin", world.link("acme"));
    let kind = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
    let send = |range: &str, more: &[&str], status: u16, kind: &str| {
        let range = format!("Content-Range: {range}");
        check(&[&["-H", &range], more, &["-T", &file, &url]].concat(), status, kind)
    };
    send("bytes 0-10/11", &[], 400, kind);
    send("bytes 0-8/9", &[], 400, kind);
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    send("bytes 0-10/11", &chunked, 400, kind);
    send("bytes 0-8/9", &chunked, 400, kind);
    for malformed in ["bytes 0-9", "bytes 9-0/10", "bytes a-b/c", "lines 0-9/10", "bytes 0-9/5"] {
        send(malformed, &[], 400, "/problems/bad-request");
    }
    for (range, more) in [("bytes 0-9/10", &[][..]), ("bytes 0-9/10", &chunked)] {
        let answer =
            curl(&[&["-H", &format!("Content-Range: {range}")], more, &["-T", &file, &url]].concat());
        assert_eq!((answer.status, &answer.json()["size"]), (201, &10.into()), "{range}: {answer:?}");
    }
    // A range that does not end its file.
    for range in ["bytes 0-9/20", "bytes 0-9/*"] {
        let answer = curl(&["-H", &format!("Content-Range: {range}"), "-T", &file, &url]);
        assert_eq!(
            (answer.status, answer.headers["upload-offset"].as_str()),
            (204, "10"),
            "{range}: {answer:?}"
        );
    }
}

#[test]
fn bad_names_and_unknown_requests() {
    let world = SHARED.world();
    let file = world.path("bad", b"bad");
    check(&["-T", &file, &format!("{}/a%2Fb", world.link("acme"))], 400, "/problems/bad-name");
    check(
        &["-F", &format!("file=@{file};filename=\"a\\\\b\""), &world.link("acme")],
        400,
        "/problems/bad-name",
    );
    check(&["-d", "x=1", &world.link("acme")], 400, "/problems/bad-request");
    check(&["-F", "note=x", &world.link("acme")], 400, "/problems/bad-request");
}

/// Sends raw bytes over HTTP/1.1 and returns the problem.
fn raw_problem(url: &str, bytes: &[u8], status: u16) -> Value {
    let mut raw = RawClient::connect(url);
    raw.send(bytes);
    let answer = raw.answer().unwrap_or_else(|| panic!("{}: no answer", String::from_utf8_lossy(bytes)));
    assert!(answer.body.ends_with('\n'), "{answer:?}");
    let body = problem(&answer, status, "/problems/bad-request");
    if answer.header("connection") == "close" {
        raw.closed();
    }
    body
}

#[test]
fn heads_that_are_not_http() {
    let world = SHARED.world();
    let url = world.link("acme");
    let path = url.trim_start_matches(&world.gateway.url);
    let host = "Host: x\r\n";
    let (many, large) = ("X: 1\r\n".repeat(101), format!("X: {}\r\n", "x".repeat(70_000)));
    for (head, status) in [
        ("GARBAGE\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n".into(), 400),
        (format!("PUT {path}/a HTTP/9.9\r\n{host}\r\n"), 400),
        (format!("PUT {path}/a b HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("P\u{7f}T {path}/a HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}no colon\r\n\r\n"), 400),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}Content-Length: -5\r\n\r\n"), 400),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n01234"), 400),
        (format!("PUT {path}/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n01234"), 501),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}{many}\r\n"), 431),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}{large}\r\n"), 431),
        (format!("PUT {path}/{} HTTP/1.1\r\n{host}\r\n", "x".repeat(70_000)), 431),
        // These are ours to see.
        (format!("PUT {path}/a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), 400),
        (format!("PUT {path}/a HTTP/1.1\r\n{host}{host}Content-Length: 1\r\n\r\nx"), 400),
        ("GET /healthz HTTP/1.1\r\n\r\n".into(), 400),
        (format!("GET /api/v1/uploads HTTP/1.1\r\n{host}{host}\r\n"), 400),
    ] {
        raw_problem(&url, head.as_bytes(), status);
        // A client that writes everything before it reads gets it too.
        raw_problem(&url, &[head.as_bytes(), &noise(3_000_000, 9)].concat(), status);
        // So does a connection that has served before: the answer is about this request alone.
        let mut raw = RawClient::request("GET", &format!("{}/healthz", world.gateway.url), &[]);
        assert_eq!(raw.answer().unwrap().body, "ok\n");
        raw.send(head.as_bytes());
        problem(&raw.answer().unwrap(), status, "/problems/bad-request");
    }
    let mut old = RawClient::connect(&url);
    assert!(old.send(b"GET /healthz HTTP/1.0\r\n\r\n"));
    assert_eq!(old.answer().unwrap().status, 200, "HTTP/1.0 had no Host");
}

#[test]
fn broken_chunks_interrupt_the_upload() {
    let world = SHARED.world();
    let (link, chunked) = (world.link("acme"), "Transfer-Encoding: chunked");
    for (method, url, more) in [
        ("PUT", format!("{link}/chunks.log"), "X: y"),
        ("POST", link.clone(), "Content-Type: multipart/form-data; boundary=b"),
        ("PUT", format!("{}/u/unknown/a", world.gateway.url), "X: y"),
    ] {
        for body in ["ZZ\r\n", "3\r\nabc\r\nZZ\r\n", "3\r\nabcdef\r\n"] {
            let mut raw = RawClient::request(method, &url, &[chunked, more]);
            raw.send(body.as_bytes());
            let answer = raw.answer().unwrap();
            let status = if url.contains("unknown") { 404 } else { 400 };
            problem(&answer, status, &answer.problem());
        }
    }
}

#[test]
fn idempotency_key_reused_for_another_file() {
    let world = SHARED.world();
    let (file, key) = (world.path("idem", b"idem"), ["-H", "Idempotency-Key: errors"]);
    let url = world.link("acme");
    assert_eq!(curl(&[&key[..], &["-T", &file, &format!("{url}/one")]].concat()).status, 201);
    check(&[&key[..], &["-T", &file, &format!("{url}/two")]].concat(), 422, "/problems/idempotency-mismatch");
}

#[test]
fn too_many_open_uploads_on_a_link() {
    let world = SHARED.world();
    let file = world.path("many", b"many");
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--max-open", "2"]);
    let open: Vec<_> = (0..2)
        .map(|n| {
            let mut raw = RawClient::request("PUT", &format!("{link}/held-{n}"), &["Content-Length: 10"]);
            raw.send(b"01234");
            raw
        })
        .collect();
    // Both are known to the ledger before the third asks.
    let token = format!("Authorization: Bearer {}", world.sandbox.text("/staff_token"));
    let listing = format!("{}/api/v1/uploads?state=open&ticket=1002", world.gateway.url);
    tests::eventually("both are open", || {
        let listed = curl(&["-H", &token, &listing]).body;
        (listed.contains("held-0") && listed.contains("held-1")).then_some(())
    });
    for arguments in [["-T", &file, &format!("{link}/")], ["-F", &format!("file=@{file}"), &link]] {
        let answer = check(&arguments, 429, "/problems/slow-down");
        assert!(answer.headers["retry-after"].parse::<u32>().unwrap() > 0);
    }
    let form = ["Content-Type: multipart/form-data; boundary=b", "Content-Length: 9", "Expect: 100-continue"];
    let mut waiting = RawClient::request("POST", &link, &form);
    assert_eq!(waiting.answer().unwrap().status, 429);
    assert!(!waiting.continued, "a form is refused before its body, too");
    let elsewhere = curl(&["-T", &file, &format!("{}/", world.link("acme"))]);
    assert_eq!(elsewhere.status, 201, "another link is not affected: {elsewhere:?}");
    for mut raw in open {
        raw.send(b"56789");
        assert_eq!(raw.answer().unwrap().status, 201);
    }
    assert_eq!(curl(&["-T", &file, &format!("{link}/")]).status, 201);
}

#[tokio::test]
async fn storage_down_is_503_and_leaves_nothing() {
    let world = World::start_embedded();
    let link = world.link("acme");
    for operation in ["PutObject", "UploadPart"] {
        let fault =
            json!({"service": "s3", "operation": operation, "times": 0, "fault": "status", "status": 503});
        world.sandbox.fault(fault).await;
    }
    let files = [world.path("small.bin", &noise(1000, 3)), world.path("large.bin", &noise(9_000_000, 4))];
    std::thread::scope(|threads| {
        for file in &files {
            threads.spawn(|| {
                let answer = curl(&["-T", file, &format!("{link}/")]);
                problem(&answer, 503, "/problems/unavailable");
                assert!(answer.headers["retry-after"].parse::<u32>().unwrap() > 0);
            });
        }
    });
    assert_eq!(world.sandbox.faults().await["calls"]["desk"], Value::Null, "the desk hears nothing");
    world.sandbox.clear_faults().await;
    world.until_at_rest();
    world.gateway.sweep();
    assert_eq!(world.stored().await, Vec::<String>::new());
    assert_eq!(curl(&["-T", &files[0], &format!("{link}/")]).status, 201, "it works again");
}

#[tokio::test]
async fn bound_link_works_without_the_desk() {
    let world = World::start();
    let file = world.path("desk.log", b"desk");
    let (bound, unbound) = (world.link("acme"), world.gateway.make_link(&["--partner", "acme"]));
    // Whatever is asked on a bound link, short of a file that arrives.
    for arguments in [&[bound.as_str()][..], &["-X", "OPTIONS", &bound], &[&format!("{bound}/uploads")]] {
        assert_eq!(curl(arguments).status, 200);
    }
    assert_eq!(curl(&["-T", &file, &format!("{bound}/a%2Fb")]).status, 400);
    assert_eq!(curl(&["-T", &file, &format!("{bound}/a?ticket=2001")]).status, 404);
    assert_eq!(curl(&["-H", "Repr-Digest: sha-256=:AAAA:", "-T", &file, &format!("{bound}/")]).status, 400);
    assert_eq!(world.sandbox.faults().await["calls"]["desk"], Value::Null, "the desk was asked");
    assert_eq!(curl(&["-T", &file, &format!("{unbound}/a?ticket=1002")]).status, 201);
    // The desk is down: known tickets work, unknown ones wait.
    world
        .sandbox
        .fault(json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 503}))
        .await;
    let receipt = curl(&["-T", &file, &format!("{bound}/")]);
    assert_eq!(receipt.status, 201, "{receipt:?}");
    assert_eq!(curl(&["-T", &file, &format!("{unbound}/b?ticket=1002")]).status, 201, "seen before");
    let answer = check(&["-T", &file, &format!("{unbound}/a?ticket=1001")], 503, "/problems/unavailable");
    assert!(answer.headers["retry-after"].parse::<u32>().unwrap() > 0);
    world.sandbox.clear_faults().await;
    let id = receipt.json()["id"].as_str().unwrap().to_owned();
    eventually_async("the ticket has its note once the desk is back", async || {
        (tests::comments_naming(&world.sandbox.comments("1001").await, &id) == 1).then_some(())
    })
    .await;
}
