//! Request heads that contradict or change the meaning of the body: refused before the body, in every protocol. And headers
//! split over several lines.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::{Answer, RawClient, Shared, World, ask, curl, curl_raw, repr_digest, sha256};

static SHARED: Shared = Shared::with(&["link_open_uploads = 1000"]);

const TUS: &str = "Tus-Resumable: 1.0.0";
const BYTES: &str = "Content-Type: application/offset+octet-stream";
const PART: &str = "Content-Type: application/partial-upload";
const WHOLE: &str = "Upload-Complete: ?1";
const OPEN: &str = "Upload-Complete: ?0";

/// A link of its own, so that equal names do not meet.
fn link(world: &World) -> String {
    world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--rights", "list"])
}

/// An upload without a byte; its address.
fn created(link: &str) -> String {
    ask("POST", &format!("{link}/uploads"), &[OPEN], b"").is(201).header("location").to_owned()
}

/// Every way to send a file or a piece of one: method, address and what says the dialect.
fn ways(link: &str) -> Vec<(&'static str, String, Vec<&'static str>)> {
    let [draft, tus, plain] = [created(link), created(link), created(link)];
    vec![
        ("PUT", format!("{link}/a.log"), vec![]),
        ("PUT", format!("{link}/"), vec![WHOLE]),
        ("POST", format!("{link}/"), vec![WHOLE]),
        ("POST", format!("{link}/uploads"), vec![OPEN]),
        ("POST", format!("{link}/uploads"), vec![TUS, BYTES, "Upload-Length: 4"]),
        ("PATCH", draft, vec![WHOLE, PART, "Upload-Offset: 0"]),
        ("PATCH", tus, vec![TUS, BYTES, "Upload-Offset: 0"]),
        ("PUT", plain, vec!["Upload-Offset: 0"]),
    ]
}

fn nothing_came(link: &str) {
    assert_eq!(curl(&[&format!("{link}/uploads")]).json()["uploads"], serde_json::json!([]));
}

/// In the dialect of its request, too.
fn is_of_its_dialect(answer: Answer, headers: &[&str]) {
    let answer = if headers.contains(&TUS) { answer.has("tus-resumable", "1.0.0") } else { answer };
    let draft = headers.iter().any(|line| line.starts_with("Upload-Complete"));
    if draft { drop(answer.has("upload-complete", "?0")) } else { drop(answer.lacks("upload-complete")) }
}

#[test]
fn content_encoding_is_refused() {
    let world = SHARED.world();
    let link = link(&world);
    for (method, url, headers) in ways(&link) {
        for coding in [
            &["Content-Encoding: gzip"][..],
            &["Content-Encoding: aws-chunked"],
            &["Content-Encoding: identity", "Content-Encoding: br"],
            &["Content-Encoding: utf-8"],
        ] {
            let answer = ask(method, &url, &[&headers, coding].concat(), b"\x1f\x8b\x08x");
            let answer = answer.refuses(415, "/unsupported-media-type").has("accept-encoding", "identity");
            assert!(answer.json()["detail"].as_str().unwrap().contains("as they are"), "{answer:?}");
            is_of_its_dialect(answer, &headers);
        }
    }
    nothing_came(&link);
    let form = ["Content-Encoding: gzip", "Content-Type: multipart/form-data; boundary=b"];
    ask("POST", &link, &form, b"x").refuses(415, "/unsupported-media-type");
    let json = ["Content-Encoding: gzip", "Content-Type: application/json"];
    ask("POST", &format!("{}/api/v1/links", world.gateway.url), &json, b"x")
        .refuses(415, "/unsupported-media-type");
    // Not one byte is asked for.
    let expect = ["Content-Encoding: gzip", "Content-Length: 20000000", "Expect: 100-continue"];
    let mut raw = RawClient::request("PUT", &format!("{link}/a.log"), &expect);
    assert_eq!(raw.answer().unwrap().status, 415);
    assert!(!raw.continued);
    // And of no coding nothing is refused.
    ask("PUT", &format!("{link}/a.log"), &["Content-Encoding: identity"], b"plain").is(201);
}

#[test]
fn unknown_transfer_coding_is_refused() {
    let world = SHARED.world();
    let link = link(&world);
    for (method, url, headers) in ways(&link) {
        for coding in [
            &["Transfer-Encoding: gzip, chunked"][..],
            &["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
            &["Transfer-Encoding: chunked, chunked"],
            &["transfer-encoding: gzip"],
        ] {
            let mut raw = RawClient::request(method, &url, &[&headers, coding].concat());
            raw.send(b"4\r\n\x1f\x8b\x08x\r\n0\r\n\r\n");
            let answer = raw.answer().unwrap().refuses(501, "/bad-request");
            assert!(answer.json()["detail"].as_str().unwrap().contains("`chunked`"), "{answer:?}");
            is_of_its_dialect(answer, &headers);
        }
    }
    nothing_came(&link);
    let mut raw = RawClient::request("PUT", &format!("{link}/a.log"), &["Transfer-Encoding: Chunked"]);
    assert!(raw.chunk(b"plain") && raw.chunk(b""));
    raw.answer().unwrap().is(201);
}

#[test]
fn form_sent_by_put_is_refused() {
    let world = SHARED.world();
    let link = link(&world);
    let form = "Content-Type: Multipart/Form-Data; boundary=b";
    let body = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n";
    for (method, url, headers) in ways(&link) {
        let mut headers: Vec<_> =
            headers.into_iter().filter(|line| !line.starts_with("Content-Type")).collect();
        headers.push(form);
        let answer = ask(method, &url, &headers, body).refuses(415, "/unsupported-media-type");
        assert!(answer.json()["detail"].as_str().unwrap().contains("curl "), "{answer:?}");
        is_of_its_dialect(answer, &headers);
    }
    nothing_came(&link);
}

/// What `curl -X PUT -F` and many libraries send.
#[test]
fn suggested_commands_for_a_form_work() {
    let world = SHARED.world();
    let unbound = world.gateway.make_link(&["--partner", "acme", "--rights", "list"]);
    let file = format!("file=@{}", world.path("form.log", b"form"));
    for (url, more) in [
        (format!("{unbound}/?ticket=1002"), &[][..]),
        (format!("{}/u/-/?ticket=1002", world.gateway.url), &["-u", &*format!("any:{}", token(&unbound))]),
    ] {
        let refused = curl(&[more, &["-X", "PUT", "-F", &file, &url]].concat());
        let detail =
            refused.refuses(415, "/unsupported-media-type").json()["detail"].as_str().unwrap().to_owned();
        let commands: Vec<_> =
            detail.split("curl ").skip(1).map(|rest| rest.rsplit_once('\'').unwrap().0).collect();
        assert_eq!(commands.len(), 2, "{detail}");
        for (at, command) in commands.into_iter().enumerate() {
            let path = world.path(&format!("sent-{at}.log"), format!("{at} {url}").as_bytes());
            let command = format!("curl -sS {command}'")
                .replace("FILE", &path)
                .replace("NAME", &format!("sent-{at}.log"))
                .replace("TOKEN", token(&unbound));
            let mut shell = Command::new("sh");
            let output = world.sandbox.reachable_from(&mut shell).args(["-ec", &command]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && told.contains(&format!("sent-{at}.log")),
                "{command}: {output:?}"
            );
        }
    }
}

fn token(link: &str) -> &str {
    link.rsplit_once('/').unwrap().1
}

#[test]
fn empty_file_is_reported_as_empty() {
    let world = SHARED.world();
    let link = link(&world);
    for (method, url, headers) in ways(&link) {
        // In this protocol, a creation announces that the file comes later.
        if url.ends_with("/uploads") {
            RawClient::request(method, &url, &headers).answer().unwrap().is(201).has("upload-offset", "0");
            continue;
        }
        let answer =
            RawClient::request(method, &url, &headers).answer().unwrap().refuses(411, "/length-required");
        assert!(answer.json()["detail"].as_str().unwrap().contains("Content-Length: 0"), "{answer:?}");
        is_of_its_dialect(answer, &headers);
    }
    let whole = [WHOLE, "Content-Disposition: inline; filename=\"w\""];
    RawClient::request("POST", &format!("{link}/uploads"), &whole)
        .answer()
        .unwrap()
        .refuses(411, "/length-required");
    nothing_came(&link);
    let mut old = RawClient::connect(&link);
    let path = link.strip_prefix(&world.gateway.url).unwrap();
    assert!(old.send(format!("PUT {path}/old.log HTTP/1.0\r\nAccept: application/json\r\n\r\n").as_bytes()));
    old.answer().unwrap().refuses(411, "/length-required");
    for empty in [&["Content-Length: 0"][..], &["Transfer-Encoding: chunked"]] {
        let mut raw = RawClient::request("PUT", &format!("{link}/empty.log"), empty);
        raw.send(if empty[0].starts_with('T') { b"0\r\n\r\n" } else { b"" });
        let receipt = raw.answer().unwrap().is(201).json();
        assert_eq!((receipt["size"].as_u64(), receipt["sha256"].as_str()), (Some(0), Some(&*sha256(b""))));
    }
}

#[test]
fn request_target_is_never_truncated() {
    let world = SHARED.world();
    let link = link(&world);
    let path = link.strip_prefix(&world.gateway.url).unwrap().to_owned();
    let head = |target: &str| format!("PUT {target} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n");
    let mut raw = RawClient::connect(&link);
    for (target, status) in [
        (format!("{path}/a#b.log"), 400),
        (format!("{path}/whole.log"), 201),
        (format!("{path}/a.log?ticket=1002#b"), 400),
        (format!("{}{path}/#b.log", world.gateway.url), 400),
        (format!("{path}/a%23b.log"), 201),
    ] {
        // All on one connection, and the line in two pieces.
        let (first, second) = target.split_at(target.len() - 3);
        let begin = head("").replace("PUT  HTTP", &format!("PUT {first}"));
        assert!(raw.send(begin.split_once("/1.1").unwrap().0.as_bytes()));
        assert!(raw.send(format!("{second} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nContent-Length: 4\r\n\r\n#..#").as_bytes()));
        let answer = raw.answer().unwrap().is(status);
        if status == 400 {
            assert!(answer.refuses(400, "/bad-request").json()["detail"].as_str().unwrap().contains("`%23`"));
        }
    }
    let listed = curl(&[&format!("{link}/uploads")]).json();
    let names: Vec<_> =
        listed["uploads"].as_array().unwrap().iter().map(|upload| upload["name"].clone()).collect();
    assert_eq!(names, ["a#b.log", "whole.log"]);
    // A slash too many at the end of the address.
    for url in [format!("{link}//a.log"), format!("{link}//"), format!("{link}/a//b.log")] {
        let answer = ask("PUT", &url, &[], b"x").refuses(400, "/bad-name");
        assert!(answer.json()["detail"].as_str().unwrap().contains("two slashes"), "{answer:?}");
    }
    let answer = ask("PUT", &link.replace("/u/", "//u/"), &[], b"x").is(404);
    assert!(answer.json()["detail"].as_str().unwrap().contains("two slashes"), "{answer:?}");
}

/// One list, however many lines it is split into (RFC 9110 section 5.3).
#[test]
fn list_headers_may_span_lines() {
    let world = SHARED.world();
    let link = link(&world);
    let encoded = |text: &str| STANDARD.encode(text);
    for [first, second] in [["filetype", "filename"], ["filename", "filetype"]] {
        let value = |key: &str| if key == "filename" { encoded("two.log") } else { encoded("text/x-two") };
        let lines = [first, second].map(|key| format!("Upload-Metadata: {key} {}", value(key)));
        let headers = [TUS, "Upload-Length: 3", &lines[0], &lines[1]];
        let url =
            ask("POST", &format!("{link}/uploads"), &headers, b"").is(201).header("location").to_owned();
        assert_eq!(ask("GET", &url, &[], b"").json()["name"], "two.log");
        let kept = ask("HEAD", &url, &[TUS], b"");
        let kept = kept.names("upload-metadata", &encoded("two.log"));
        kept.names("upload-metadata", &encoded("text/x-two"));
    }
    let twice = [TUS, "Upload-Length: 3", "Upload-Metadata: filename YQ==", "Upload-Metadata: filename Yg=="];
    ask("POST", &format!("{link}/uploads"), &twice, b"").refuses(400, "/bad-request");
    let wrong = format!("Repr-Digest: {}", repr_digest(b"else"));
    let url = format!("{link}/d.log");
    ask("PUT", &url, &["Repr-Digest: unixsum=:AAAA:", &wrong], b"digests").refuses(422, "/digest-mismatch");
    ask("PUT", &url, &[&wrong, "Repr-Digest: unixsum=:AAAA:"], b"digests").refuses(422, "/digest-mismatch");
    // Whatever the case of a key.
    let shouted = wrong.replace("sha-256", "SHA-256");
    ask("PUT", &url, &[&shouted], b"digests").refuses(422, "/digest-mismatch");
    ask("PUT", &url, &[&shouted.replace("Repr", "Content")], b"digests").refuses(422, "/digest-mismatch");
    ask("PUT", &url, &["Repr-Digest: SHA-256=:AAAA:"], b"digests").refuses(400, "/bad-request");
    let accept = ["Accept: text/x-none", "Accept: application/json", "Want-Repr-Digest: SHA-256=1"];
    let answer = ask("PUT", &url, &accept, b"digests").is(201).has("repr-digest", &repr_digest(b"digests"));
    assert_eq!(answer.json()["name"], "d.log");
}

#[test]
fn contradicting_headers_are_refused() {
    let world = SHARED.world();
    let link = link(&world);
    let (own, named) = (created(&link), format!("{link}/t.log"));
    for (method, url, headers) in [
        ("PUT", &own, ["Upload-Offset: 0", "Upload-Offset: 1"]),
        ("PUT", &own, ["Content-Range: bytes 0-3/4", "Content-Range: bytes 0-3/*"]),
        ("PUT", &named, ["Content-Range: bytes 0-3/4", "Content-Range: bytes 0-3/5"]),
        ("PUT", &named, ["Idempotency-Key: a", "Idempotency-Key: b"]),
        ("PUT", &named, ["Content-Type: text/plain", "Content-Type: text/html"]),
        (
            "PUT",
            &format!("{link}/"),
            ["Content-Disposition: inline; filename=a", "Content-Disposition: inline; filename=b"],
        ),
        ("PUT", &named, [OPEN, WHOLE]),
        ("HEAD", &named, ["Upload-Length: 1", "Upload-Length: 2"]),
        ("POST", &format!("{link}/uploads"), [TUS, "Tus-Resumable: 0.9.9"]),
    ] {
        let answer = ask(method, url, &headers, b"four").is(400);
        if method != "HEAD" {
            let name = headers[1].split_once(':').unwrap().0.to_ascii_lowercase();
            let detail =
                answer.refuses(400, "/bad-request").json()["detail"].as_str().unwrap().to_ascii_lowercase();
            assert!(detail.contains(&name), "{headers:?}: {detail}");
        }
    }
    let tus = [
        TUS,
        BYTES,
        "Upload-Offset: 0",
        "Upload-Checksum: md5 AAAAAAAAAAAAAAAAAAAAAA==",
        "Upload-Checksum: sha1 AA==",
    ];
    ask("PATCH", &own, &tus, b"four").refuses(400, "/bad-request");
    ask("HEAD", &own, &[], b"").has("upload-offset", "0");
    // The same value twice counts once.
    ask("PUT", &named, &["Content-Type: text/plain", "Content-Type: text/plain"], b"four").is(201);
}

#[test]
fn answers_end_with_a_newline() {
    let world = SHARED.world();
    let link = link(&world);
    let (file, other) = (world.path("n.log", b"newline"), world.path("m.log", b"newlines"));
    let staff = format!("Authorization: Bearer {}", world.sandbox.text("/staff_token"));
    let sent = curl(&["-T", &file, &format!("{link}/")]);
    let [form, two] = [format!("file=@{file}"), format!("file=@{other}")];
    let refused = format!("{form};filename=..");
    let unfinished = created(&link);
    let api = format!("{}/api/v1", world.gateway.url);
    let own = format!("{api}/uploads/{}", sent.json()["id"].as_str().unwrap());
    for arguments in [
        &["-T", &file, &format!("{link}/")][..],
        &["-F", &form, &link],
        &["-F", &form, "-F", &two, &link],
        &["-F", &form, "-F", &refused, &link],
        &["-X", "OPTIONS", &link],
        &[sent.header("location")],
        &[&unfinished],
        &[&format!("{link}/uploads")],
        &[&format!("{link}/nothing")],
        &[&format!("{link}/send.sh")],
        &[&link],
        &[&format!("{}/healthz", world.gateway.url)],
        &[&format!("{}/readyz", world.gateway.url)],
        &["-X", "DELETE", &format!("{}/healthz", world.gateway.url)],
        &[&format!("{api}/uploads")],
        &["-H", &staff, &format!("{api}/uploads")],
        &["-H", &staff, &own],
        &["-H", &staff, &format!("{api}/partners")],
        &["-H", &staff, &format!("{api}/partners/acme")],
        &["-H", &staff, &format!("{api}/partners/globex/objects")],
        &["-H", &staff, &format!("{api}/links")],
        &["-H", &staff, "-d", "{}", &format!("{api}/links")],
        &["-H", &staff, "-X", "PATCH", &format!("{api}/links")],
    ] {
        for accept in ["Accept: */*", "Accept: application/json", "Accept: text/html"] {
            let answer = curl_raw(&[&["-H", accept], arguments].concat(), Stdio::null());
            assert!(answer.body.ends_with('\n'), "{accept} {arguments:?}: {answer:?}");
        }
    }
}
