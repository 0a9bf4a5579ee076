//! A retry never makes a second file or a second note: `Idempotency-Key`, and the same file sent again without one.

use std::process::Stdio;

use tests::{
    RawClient, Shared, World, ask, break_off, comments_naming, curl, curl_raw, eventually_async, noise,
    repr_digest,
};

static SHARED: Shared = Shared::with(&[]);

/// How many comments name the upload, once there is one.
async fn told(world: &World, ticket: &str, id: &str) -> usize {
    eventually_async("the note is on the ticket", async || {
        Some(comments_naming(&world.sandbox.comments(ticket).await, id)).filter(|times| *times > 0)
    })
    .await
}

/// Objects of this name.
async fn objects(world: &World, name: &str) -> usize {
    let end = format!("/{name}");
    world.stored().await.iter().filter(|key| key.ends_with(&end)).count()
}

#[tokio::test]
async fn resent_file_gets_the_first_receipt() {
    let world = SHARED.world();
    for (name, bytes) in [("again.log", noise(1000, 1)), ("again.bin", noise(21_000_000, 2))] {
        let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
        let path = world.path(name, &bytes);
        let (form, url) = (format!("file=@{path}"), format!("{link}/"));
        let first = curl(&["-T", &path, &url]);
        assert_eq!(first.status, 201, "{first:?}");
        for arguments in [["-T", &path, &url], ["-T", &path, &url], ["-F", &form, &url]] {
            let again = curl(&arguments);
            assert_eq!(again.status, 201, "{again:?}");
            assert_eq!(again.json()["id"], first.json()["id"], "{arguments:?}");
            assert_eq!(again.headers["location"], first.headers["location"]);
        }
        world.until_at_rest();
        world.gateway.sweep();
        assert_eq!(objects(&world, name).await, 1, "one object of {name}");
        assert_eq!(
            told(&world, &ticket, first.json()["id"].as_str().unwrap()).await,
            1,
            "one note of {name}"
        );
    }
    // Another name, another ticket or other bytes are another file.
    let first = world.sandbox.sent(&world.link("acme"), "n.log", b"n");
    let link = world.gateway.make_link(&["--partner", "acme"]);
    let mut ids = vec![first["id"].clone()];
    for (link, name, bytes) in [
        (world.link("acme"), "m.log", b"n"),
        (world.link("acme"), "n.log", b"m"),
        (world.link("globex"), "n.log", b"n"),
    ] {
        ids.push(world.sandbox.sent(&link, name, bytes)["id"].clone());
    }
    for ticket in ["1001", "1002"] {
        let url = format!("{link}/n.log?ticket={ticket}");
        ids.push(curl(&["-T", &world.path("n.log", b"n"), &url]).json()["id"].clone());
    }
    let different: std::collections::BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(different.len(), ids.len(), "{ids:?}");
}

/// A client that lost the last answer asks at the address it knows.
#[tokio::test]
async fn dropped_copy_answers_with_the_first_receipt() {
    const TUS: &[&str] = &["Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"];
    let world = SHARED.world();
    for (name, bytes) in [("copy.log", noise(1000, 3)), ("copy.bin", noise(9_000_000, 4))] {
        let ticket = world.sandbox.open_ticket("globex").await;
        let link =
            world.gateway.make_link(&["--partner", "globex", "--ticket", &ticket, "--rights", "remove"]);
        let first = curl(&["-T", &world.path(name, &bytes), &format!("{link}/")]).json();
        let size = bytes.len().to_string();
        let created = ask("PUT", &format!("{link}/{name}"), &["Upload-Complete: ?0"], b"").is(201);
        let url = created.header("location");
        let offset = format!("Upload-Offset: {size}");
        let (length, end) = (format!("Upload-Length: {size}"), [TUS, &[offset.as_str()]].concat());
        ask("PATCH", url, &[TUS, &["Upload-Offset: 0", &length]].concat(), &bytes).is(204);
        ask("HEAD", url, &TUS[..1], b"").is(200).has("upload-offset", &size).has("upload-length", &size);
        ask("HEAD", url, &[], b"").is(204).has("upload-complete", "?1").has("upload-offset", &size);
        ask("PATCH", url, &end, b"").is(204).has("upload-offset", &size);
        let draft = ["Content-Type: application/partial-upload", "Upload-Complete: ?1", &offset];
        for receipt in [ask("GET", url, &[], b"").is(200), ask("PATCH", url, &draft, b"").is(201)] {
            let receipt = receipt.json();
            assert_eq!((&receipt["id"], &receipt["sha256"]), (&first["id"], &first["sha256"]));
        }
        // It is a file of its own for nobody else.
        ask("GET", &url.replace(&link, &world.link("acme")), &[], b"").is(404);
        let own = format!("{link}/uploads/{}", first["id"].as_str().unwrap());
        for (method, headers, body) in [
            ("HEAD", &[][..], &b""[..]),
            ("GET", &[], b""),
            ("OPTIONS", &[], b""),
            ("HEAD", &TUS[..1], b""),
            ("PUT", &["Upload-Offset: 5"], b"later"),
            ("PUT", &["Content-Range: bytes 0-4/5"], b"again"),
            ("PATCH", &draft, b"more"),
            ("PATCH", &["Upload-Offset: 5", TUS[0], TUS[1]], b"later"),
        ] {
            let [copy, own] = [url, own.as_str()].map(|url| ask(method, url, headers, body));
            let told = |answer: &tests::Answer| {
                let headers = ["location", "upload-offset", "upload-length", "upload-complete"];
                let headers = headers.map(|name| answer.header(name).to_owned());
                // Of a HEAD curl prints the head.
                let body =
                    if method == "HEAD" { "" } else { answer.body.split("request_id").next().unwrap() };
                (answer.status, headers, body.to_owned())
            };
            assert_eq!(told(&copy), told(&own), "{method} {headers:?}");
        }
        world.until_at_rest();
        world.gateway.sweep();
        assert_eq!(objects(&world, name).await, 1);
        ask("GET", url, &[], b"").is(200);
        // Deleting either address deletes the receipt of the first.
        ask("DELETE", if name == "copy.log" { url } else { &own }, &[], b"").is(204);
        for gone in [url, &own] {
            ask("GET", gone, &[], b"").refuses(410, "/upload-gone");
            ask("DELETE", gone, &[], b"").refuses(410, "/upload-gone");
        }
    }
}

#[tokio::test]
async fn concurrent_copies_make_one_file_and_one_note() {
    let world = SHARED.world();
    let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "globex").await;
    let path = world.path("twins.bin", &noise(21_000_000, 3));
    let url = format!("{link}/");
    let answers: Vec<_> = std::thread::scope(|threads| {
        let send = || curl(&["-T", &path, &url]);
        let all: Vec<_> = (0..4).map(|_| threads.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let first = answers[0].json();
    for answer in &answers {
        assert_eq!((answer.status, &answer.json()["id"]), (201, &first["id"]), "{answer:?}");
    }
    world.until_at_rest();
    world.gateway.sweep();
    assert_eq!(objects(&world, "twins.bin").await, 1);
    assert_eq!(told(&world, &ticket, first["id"].as_str().unwrap()).await, 1);
}

#[test]
fn finished_key_is_answered_without_the_body() {
    let world = SHARED.world();
    let url = format!("{}/key.bin", world.link("acme"));
    let bytes = noise(2_000_000, 4);
    let path = world.path("key.bin", &bytes);
    let send = |more: &[&str]| curl(&[&["-H", "Idempotency-Key: k-1"], more, &["-T", &path, &url]].concat());
    let first = send(&[]);
    assert_eq!(first.status, 201, "{first:?}");
    let again = send(&[]);
    assert_eq!((again.status, again.json()["id"].clone()), (201, first.json()["id"].clone()));
    assert_eq!(again.headers["location"], first.headers["location"]);
    // Only the length is declared and no byte follows: the answer arrives anyway.
    for expect in [&["Expect: 100-continue"][..], &[]] {
        let headers = [&["Idempotency-Key: k-1", "Content-Length: 2000000"], expect].concat();
        let mut raw = RawClient::request("PUT", &url, &headers);
        let answer = raw.answer().unwrap();
        assert_eq!(
            (answer.status, answer.json()["id"].clone()),
            (201, first.json()["id"].clone()),
            "{answer:?}"
        );
        assert!(!raw.continued, "no body is asked for");
    }
    // A client that writes everything first gets it too.
    let mut raw = RawClient::request("PUT", &url, &["Idempotency-Key: k-1", "Content-Length: 2000000"]);
    raw.send(&bytes);
    assert_eq!(raw.answer().unwrap().json()["id"], first.json()["id"]);
    let page = curl_raw(
        &["-H", "Accept: text/html", "-H", "Idempotency-Key: k-1", "-T", &path, &url],
        Stdio::null(),
    );
    assert!(page.status == 201 && page.headers["content-type"].starts_with("text/html"), "{page:?}");
}

#[test]
fn reused_key_is_refused_before_the_body() {
    let world = SHARED.world();
    let (link, key) = (world.link("acme"), "Idempotency-Key: k-2");
    let first = curl(&["-H", key, "-T", &world.path("k2.bin", b"k2"), &format!("{link}/")]);
    assert_eq!(first.status, 201, "{first:?}");
    let other = format!("Repr-Digest: sha-256=:{}:", "A".repeat(43) + "=");
    for (name, headers) in [
        ("other.bin", vec!["Content-Length: 2"]),
        ("k2.bin", vec!["Content-Length: 3"]),
        ("k2.bin", vec!["Content-Length: 2", &other]),
        ("k2.bin", vec!["Transfer-Encoding: chunked", &other]),
    ] {
        let mut raw = RawClient::request(
            "PUT",
            &format!("{link}/{name}"),
            &[&headers[..], &[key, "Expect: 100-continue"]].concat(),
        );
        let answer = raw.answer().unwrap();
        assert_eq!(answer.status, 422, "{name} {headers:?}: {answer:?}");
        assert_eq!(answer.problem(), "/problems/idempotency-mismatch");
        assert!(!raw.continued);
    }
    let receipt = first.json();
    assert_eq!(
        curl(&[&first.headers["location"]]).json()["sha256"],
        receipt["sha256"],
        "the first is untouched"
    );
    // The key is the link's and the route's own.
    let elsewhere =
        curl(&["-H", key, "-T", &world.path("e.bin", b"e"), &format!("{}/", world.link("globex"))]);
    assert_eq!(elsewhere.status, 201, "{elsewhere:?}");
    let form = curl(&["-H", key, "-F", &format!("file=@{}", world.path("f.bin", b"f")), &link]);
    assert_eq!(form.status, 201, "{form:?}");
    for key in ["Idempotency-Key;", &format!("Idempotency-Key: {}", "x".repeat(256))] {
        let answer = curl(&["-H", key, "-T", &world.path("g.bin", b"g"), &format!("{link}/")]);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
    }
}

#[test]
fn key_of_a_failed_request_can_be_reused() {
    let world = SHARED.world();
    let url = format!("{}/failed.bin", world.link("acme"));
    let wrong = format!("Repr-Digest: sha-256=:{}:", "A".repeat(43) + "=");
    let path = world.path("failed.bin", b"right");
    let first = curl(&["-H", "Idempotency-Key: k-3", "-H", &wrong, "-T", &path, &url]);
    assert_eq!(first.problem(), "/problems/digest-mismatch", "{first:?}");
    let again = curl(&["-H", "Idempotency-Key: k-3", "-T", &path, &url]);
    assert_eq!(again.status, 201, "{again:?}");
}

#[tokio::test]
async fn newer_request_with_the_key_takes_over() {
    let world = World::start();
    let bytes = noise(9_000_000, 5);
    let url = format!("{}/takeover.bin", world.link("acme"));
    let headers = ["Idempotency-Key: k-4", "Content-Length: 9000000"];
    let mut older = RawClient::request("PUT", &url, &headers);
    assert!(older.send(&bytes[..8_500_000]));
    world.until_open(1);
    let newer = curl(&["-H", headers[0], "-T", &world.path("takeover.bin", &bytes), &url]);
    assert_eq!(newer.status, 201, "{newer:?}");
    let ended = older.answer().unwrap();
    assert_eq!((ended.status, ended.problem().as_str()), (409, "/problems/superseded"), "{ended:?}");
    assert_eq!(told(&world, "1001", newer.json()["id"].as_str().unwrap()).await, 1);
    world.until_at_rest();
    world.gateway.sweep();
    assert_eq!(world.stored().await.len(), 1, "one file, and nothing of the older request");
    let files = world.sandbox.attachments("1001").await;
    assert_eq!(files.len(), 1);
    assert!(files[0].1 == bytes);
}

#[tokio::test]
async fn form_with_a_key_is_stored_once() {
    let world = SHARED.world();
    let (a, b) = (world.path("fa.log", b"form a"), world.path("fb.log", b"form b"));
    let (a, b) = (format!("file=@{a}"), format!("file=@{b}"));
    let send = || curl(&["-H", "Idempotency-Key: k-5", "-F", &a, "-F", &b, &world.link("globex")]);
    let (first, again) = (send(), send());
    assert_eq!((first.status, again.status), (201, 201), "{again:?}");
    for at in 0..2 {
        assert_eq!(first.json()["uploads"][at]["id"], again.json()["uploads"][at]["id"]);
    }
    assert_eq!((objects(&world, "fa.log").await, objects(&world, "fb.log").await), (1, 1));
}

/// A resumable upload counts as done when it is created: a retry finds it with its offset.
#[test]
fn creation_with_a_key_happens_once() {
    let world = SHARED.world();
    let url = format!("{}/uploads", world.link("acme"));
    let tus = [
        "Tus-Resumable: 1.0.0",
        "Upload-Length: 10",
        "Idempotency-Key: tus",
        "Upload-Metadata: filename dC50eHQ=",
    ];
    let draft = ["Upload-Complete: ?0", "Upload-Length: 10", "Idempotency-Key: draft"];
    for creation in [&tus[..], &draft] {
        let own = ask("POST", &url, creation, b"").is(201).header("location").to_owned();
        ask("PUT", &own, &["Content-Range: bytes 0-3/10"], b"0123").is(204);
        ask("POST", &url, creation, b"").is(201).has("location", &own).has("upload-offset", "4");
        let other: Vec<_> = creation.iter().map(|line| line.replace("th: 10", "th: 11")).collect();
        let other: Vec<_> = other.iter().map(String::as_str).collect();
        ask("POST", &url, &other, b"").refuses(422, "/problems/idempotency-mismatch");
        ask("PUT", &own, &["Upload-Offset: 4"], b"456789").is(201);
        ask("POST", &url, creation, b"").is(201).has("location", &own).has("upload-offset", "10");
    }
    // A request with the whole file is not done before the file has arrived.
    let (whole, bytes) = (["Upload-Complete: ?1", "Idempotency-Key: whole"], noise(1000, 8));
    break_off("PUT", &format!("{}/whole.bin", world.link("acme")), &whole, 1000, &bytes[..500]);
    let done = ask("PUT", &format!("{}/whole.bin", world.link("acme")), &whole, &bytes).is(201);
    done.has("upload-complete", "?1").has("upload-offset", "1000");
    // Another digest is another file.
    let digest = |text: &[u8]| format!("Repr-Digest: {}", repr_digest(text));
    let keyed = |digest| ["Upload-Complete: ?0".to_owned(), "Idempotency-Key: digest".to_owned(), digest];
    for (digest, status) in [(digest(b"a"), 201), (digest(b"a"), 201), (digest(b"b"), 422)] {
        let headers = keyed(digest);
        ask("POST", &url, &headers.each_ref().map(String::as_str), b"").is(status);
    }
}
