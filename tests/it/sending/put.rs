//! `PUT`: every way curl and scripts send one file as the body, and the three forms of the receipt.

use std::process::Stdio;

use serde_json::Value;
use tests::{
    Answer, RawClient, Shared, World, curl, curl_raw, eventually_async, noise, object, piped, sha256,
};

static SHARED: Shared = Shared::with(&[]);

/// The receipt is that of these bytes, and they rest in the shared bucket under this name.
async fn check(world: &World, answer: &Answer, name: &str, bytes: &[u8]) -> Value {
    assert_eq!(answer.status, 201, "{answer:?}");
    let receipt = answer.json();
    assert_eq!(receipt["name"], name);
    assert_eq!(receipt["size"], bytes.len());
    assert_eq!(receipt["sha256"], sha256(bytes));
    let key = format!("1001/{}/{name}", receipt["id"].as_str().unwrap());
    assert!(object(&world.sandbox.bucket(None).await, &key).await == bytes, "{key} holds other bytes");
    receipt
}

#[tokio::test]
async fn curl_appends_the_name_after_a_slash() {
    let world = SHARED.world();
    for (name, bytes) in [("a.log", noise(100_000, 1)), ("b c.log", noise(9_000_000, 2)), ("empty", vec![])] {
        let answer = curl(&["-T", &world.path(name, &bytes), &format!("{}/", world.link("acme"))]);
        check(&world, &answer, name, &bytes).await;
    }
}

#[tokio::test]
async fn pipe_of_unknown_length() {
    let world = SHARED.world();
    for (name, bytes) in [("s.tar", noise(10, 3)), ("l.tar", noise(30_000_001, 4)), ("e.tar", vec![])] {
        let (pipe, mut cat) = piped(&world.path(name, &bytes));
        let url = format!("{}/{name}", world.link("acme"));
        let answer = curl_raw(&["-H", "Accept: application/json", "-T", "-", &url], pipe);
        assert!(cat.wait().unwrap().success());
        let receipt = check(&world, &answer, name, &bytes).await;
        let destination = if bytes.len() > 20_000_000 { "support-uploader" } else { "ticket-attachment" };
        assert_eq!(receipt["destination"], destination);
    }
}

#[tokio::test]
async fn name_from_headers() {
    let world = SHARED.world();
    let cases: [(&[&str], &str, &str); 6] = [
        (&["Content-Disposition: attachment; filename=\"core 1.gz\""], "core 1.gz", ""),
        (&["Content-Disposition: attachment; filename=plain.log"], "plain.log", ""),
        (&["Content-Disposition: attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.txt"], "€.txt", ""),
        (&["Content-Type: application/gzip"], "upload-", ".gz"),
        (&["Content-Type: text/plain; charset=utf-8"], "upload-", ".txt"),
        (&[], "upload-", ".bin"),
    ];
    for (at, (headers, begin, end)) in cases.iter().enumerate() {
        for url in [world.link("acme"), format!("{}/", world.link("acme"))] {
            let bytes = format!("{at} {url}");
            let mut arguments = vec!["-X", "PUT", "--data-binary", &bytes];
            // curl would call it a form by itself.
            if !headers.iter().any(|header| header.starts_with("Content-Type")) {
                arguments.extend(["-H", "Content-Type:"]);
            }
            arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
            arguments.push(&url);
            let answer = curl(&arguments);
            let name = answer.json()["name"].as_str().unwrap_or_default().to_owned();
            assert!(name.starts_with(begin) && name.ends_with(end), "{headers:?}: {answer:?}");
            assert_eq!(name == *begin, end.is_empty(), "{name}");
            check(&world, &answer, &name, bytes.as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn support_report_tools() {
    let world = SHARED.world();
    let link = world.link("acme");
    let token = link.rsplit_once('/').unwrap().1;
    let open = format!("{}/u/-/", world.gateway.url);
    let bytes = noise(300_000, 5);
    let path = world.path("sosreport-a-2026-11-22-x.tar.xz", &bytes);
    // A password on the command line, as the tools' own manuals have it.
    let user = format!("partner:{token}");
    let answer = curl(&["-u", &user, "-T", &path, &open]);
    check(&world, &answer, "sosreport-a-2026-11-22-x.tar.xz", &bytes).await;
    let bytes = noise(300_000, 6);
    let path = world.path("scc_host_261122_1200.txz", &bytes);
    let answer = curl(&["-v", "-L", "-A", "SupportConfig", "-T", &path, &format!("{link}/")]);
    check(&world, &answer, "scc_host_261122_1200.txz", &bytes).await;
    // `requests.put(url, data=open(file, "rb"))`: no type, no name; and with a generator: chunked.
    let usual =
        ["User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Connection: keep-alive"];
    for (at, framing) in ["Content-Length: 1000", "Transfer-Encoding: chunked"].iter().enumerate() {
        let bytes = noise(1000, 7 + at as u64);
        let mut raw = RawClient::request("PUT", &format!("{link}/"), &[&usual[..], &[framing]].concat());
        if at == 0 {
            raw.send(&bytes);
        } else {
            raw.chunk(&bytes[..400]);
            raw.chunk(&bytes[400..]);
            raw.chunk(b"");
        }
        let answer = raw.answer().unwrap();
        let name = answer.json()["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("upload-"), "{name}");
        check(&world, &answer, &name, &bytes).await;
    }
}

#[test]
fn json_receipt_has_exactly_the_documented_fields() {
    let world = SHARED.world();
    let receipt = world.sandbox.sent(&world.link("acme"), "fields.log", b"fields");
    let fields: Vec<_> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "id",
        "name",
        "size",
        "sha256",
        "partner",
        "ticket",
        "destination",
        "delivery",
        "received_at",
        "expires_at",
        "checked",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert!(["pending", "done"].contains(&receipt["delivery"].as_str().unwrap()), "{receipt}");
    assert_eq!(receipt["expires_at"], Value::Null);
    assert_eq!(receipt["checked"], serde_json::json!([]));
    let at = receipt["received_at"].as_str().unwrap();
    assert!(at.len() >= 20 && at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at} is RFC 3339 in UTC");
}

#[test]
fn receipt_as_text_json_or_page() {
    let world = SHARED.world();
    let path = world.path("<three> forms.log", b"three forms");
    let url = format!("{}/", world.link("acme"));
    let send =
        |accept: &str| curl_raw(&["-H", &format!("Accept: {accept}"), "-T", &path, &url], Stdio::null());
    let text = send("*/*");
    let digest = sha256(b"three forms");
    assert_eq!(text.status, 201, "{text:?}");
    assert!(text.headers["content-type"].starts_with("text/plain"), "{text:?}");
    for part in ["<three> forms.log", "11 bytes", &digest, "ticket 1001", "attachment"] {
        assert!(text.body.contains(part), "{part} is missing: {}", text.body);
    }
    assert!(text.body.lines().count() <= 5, "it is short: {}", text.body);
    let page = send("text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(page.status, 201, "{page:?}");
    assert!(page.headers["content-type"].starts_with("text/html"), "{page:?}");
    for part in ["&lt;three&gt; forms.log", "11 bytes", &digest, "ticket 1001"] {
        assert!(page.body.contains(part), "{part} is missing: {}", page.body);
    }
    let json = send("application/json");
    assert!(json.headers["content-type"].starts_with("application/json"), "{json:?}");
    assert_eq!(text.headers["location"], json.headers["location"], "the same file is the same receipt");
    assert_eq!(page.headers["location"], json.headers["location"]);
}

#[tokio::test]
async fn location_shows_the_current_state() {
    let world = SHARED.world();
    let (_, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
    let path = world.path("truth.log", b"truth!");
    let answer = curl(&["-T", &path, &format!("{link}/")]);
    let (receipt, location) = (answer.json(), answer.headers["location"].clone());
    assert_eq!(location, format!("{link}/uploads/{}", receipt["id"].as_str().unwrap()));
    let told = eventually_async("the receipt says that the ticket was told", async || {
        let now = curl(&[&location]);
        assert_eq!(now.status, 200, "{now:?}");
        Some(now.json()).filter(|now| now["delivery"] == "done")
    })
    .await;
    for field in
        ["id", "name", "size", "sha256", "partner", "ticket", "destination", "received_at", "checked"]
    {
        assert_eq!(told[field], receipt[field], "{field}");
    }
    let head = curl(&["-I", &location]);
    assert!([200, 204].contains(&head.status), "{head:?}");
    for (name, value) in [("upload-offset", "6"), ("upload-complete", "?1"), ("upload-length", "6")] {
        assert_eq!(head.headers.get(name).map(String::as_str), Some(value), "{name}: {head:?}");
    }
    let plain = curl_raw(&[&location], Stdio::null());
    assert!(plain.headers["content-type"].starts_with("application/json"), "a receipt is JSON: {plain:?}");
}

#[test]
fn options_reports_limits() {
    let world = SHARED.world();
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--max-bytes", "1234"]);
    for url in [link.clone(), format!("{link}/"), format!("{link}/name.log")] {
        let answer = curl(&["-X", "OPTIONS", &url]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.headers["allow"].contains("PUT"), "{answer:?}");
        assert!(answer.headers["upload-limit"].starts_with("max-size=1234, max-age="), "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["max_size"], &told["ticket_attachment_size"]), (&1234.into(), &20_000_000.into()));
    }
    assert_eq!(curl(&["-X", "OPTIONS", &format!("{}/u/no-such", world.gateway.url)]).status, 404);
}

#[test]
fn page_shows_what_a_person_needs() {
    let world = SHARED.world();
    for url in [world.link("acme"), format!("{}/", world.link("acme"))] {
        let page = curl_raw(&["-H", "Accept: text/html", &url], Stdio::null());
        assert_eq!(page.status, 200);
        assert!(page.headers["content-type"].starts_with("text/html"), "{page:?}");
        assert_eq!(page.headers["cache-control"], "no-store");
        for part in
            ["Acme", "1001", "type=\"file\"", "multiple", "multipart/form-data", "curl --fail-with-body"]
        {
            assert!(page.body.contains(part), "{part} is missing: {}", page.body);
        }
        assert!(!page.body.contains("name=\"ticket\""), "a bound link asks for no ticket");
        // Curl, which Windows includes, comes before the script that nobody has run there yet.
        let windows = page.body.split_once("On Windows").unwrap().1;
        let [curl, script, warned] = ["curl.exe", "send.ps1", "preview"].map(|part| windows.find(part));
        assert!(curl.is_some() && curl < script && script < warned, "{windows}");
    }
}
