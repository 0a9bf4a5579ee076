//! `POST multipart/form-data`: any number of files from curl or the page without JavaScript. Stored files are kept and named,
//! whatever follows them.

use std::process::Stdio;

use serde_json::Value;
use tests::{Answer, RawClient, Shared, World, curl, curl_raw, noise, object, sha256};

static SHARED: Shared = Shared::with(&["max_upload_bytes = 30000000", "form_files = 50"]);

const BOUNDARY: &str = "----weighbridge";

/// A part of a form with this `Content-Disposition`.
fn part(disposition: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

/// Posts these bytes as a form of unknown length; `end` ends the body.
fn post(url: &str, boundary: &str, bytes: &[u8], end: bool) -> Answer {
    let content_type = format!("Content-Type: multipart/form-data; boundary={boundary}");
    let mut raw = RawClient::request("POST", url, &[&content_type, "Transfer-Encoding: chunked"]);
    raw.chunk(bytes);
    if end {
        raw.chunk(b"");
    }
    raw.half_close();
    raw.answer().unwrap()
}

async fn stored(world: &World, receipt: &Value, name: &str, bytes: &[u8]) {
    assert_eq!((&receipt["name"], &receipt["size"]), (&name.into(), &bytes.len().into()), "{receipt}");
    assert_eq!(receipt["sha256"], sha256(bytes));
    let key = format!("{}/{}/{name}", receipt["ticket"].as_str().unwrap(), receipt["id"].as_str().unwrap());
    assert!(object(&world.sandbox.bucket(None).await, &key).await == bytes, "{key} holds other bytes");
}

#[tokio::test]
async fn one_file_is_answered_like_a_put() {
    let world = SHARED.world();
    for (at, url) in [world.link("acme"), format!("{}/", world.link("acme"))].iter().enumerate() {
        let bytes = noise(9_000_000, at as u64);
        let answer = curl(&["-F", &format!("file=@{}", world.path("one file.bin", &bytes)), url]);
        assert_eq!(answer.status, 201, "{answer:?}");
        stored(&world, &answer.json(), "one file.bin", &bytes).await;
        let location = answer.headers["location"].clone();
        let shown = curl(&[&location]);
        assert_eq!(shown.json()["sha256"], sha256(&bytes));
        assert!(
            [answer, shown].iter().all(|json| json.body.ends_with("}\n")),
            "a prompt begins a line of its own"
        );
        let text =
            curl_raw(&["-F", &format!("file=@{}", world.path("one file.bin", &bytes)), url], Stdio::null());
        assert!(text.body.starts_with("one file.bin, 9000000 bytes\n"), "{text:?}");
    }
}

#[tokio::test]
async fn several_files_are_stored_and_listed_in_order() {
    let world = SHARED.world();
    let files = [
        ("a.bin", noise(10, 1)),
        ("b.bin", noise(21_000_000, 2)),
        ("empty", vec![]),
        ("a b \u{20ac}.bin", noise(5, 3)),
    ];
    let arguments: Vec<_> = files
        .iter()
        .flat_map(|(name, bytes)| ["-F".to_owned(), format!("file=@{}", world.path(name, bytes))])
        .chain([world.link("acme")])
        .collect();
    let answer = curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(answer.status, 201, "{answer:?}");
    let receipts = answer.json()["uploads"].as_array().unwrap().clone();
    assert_eq!(receipts.len(), files.len());
    for (receipt, (name, bytes)) in receipts.iter().zip(&files) {
        stored(&world, receipt, name, bytes).await;
    }
    assert_eq!(receipts[1]["destination"], "support-uploader");
    assert!(answer.body.ends_with("}\n"), "a prompt begins a line of its own");
    // A person with curl alone reads the same.
    let text = curl_raw(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), Stdio::null());
    assert!(
        text.status == 201 && files.iter().all(|(_, bytes)| text.body.contains(&sha256(bytes))),
        "{text:?}"
    );
}

#[tokio::test]
async fn refused_file_is_named_and_the_others_are_kept() {
    let world = SHARED.world();
    let good = world.path("good.bin", b"good");
    let late = world.path("late.bin", b"late");
    let huge = world.path("huge.bin", &noise(30_000_001, 4));
    for (refused, status, kind) in [
        (format!("file=@{good};filename=\"..\""), 400, "/problems/bad-name"),
        (format!("file=@{huge}"), 413, "/problems/too-large"),
    ] {
        let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
        let parts = [format!("file=@{good}"), refused, format!("file=@{late}")];
        let arguments: Vec<_> = parts.iter().flat_map(|part| ["-F", part]).chain([link.as_str()]).collect();
        let answer = curl(&arguments);
        assert_eq!(answer.status, status, "{answer:?}");
        let uploads = answer.json()["uploads"].as_array().unwrap().clone();
        assert_eq!(uploads.len(), 3, "{answer:?}");
        assert_eq!((&uploads[1]["type"], &uploads[1]["status"]), (&kind.into(), &status.into()));
        assert_eq!(uploads[1]["name"], if status == 400 { ".." } else { "huge.bin" });
        stored(&world, &uploads[0], "good.bin", b"good").await;
        stored(&world, &uploads[2], "late.bin", b"late").await;
        let page = curl_raw(&[&["-H", "Accept: text/html"], &arguments[..]].concat(), Stdio::null());
        assert_eq!(page.status, status, "{page:?}");
        assert!(page.body.contains("2 of 3 files") && page.body.contains("good.bin"), "{}", page.body);
    }
}

#[test]
fn empty_input_is_not_a_file() {
    let world = SHARED.world();
    let empty = part("name=\"file\"; filename=\"\"", b"");
    let full = part("name=\"file\"; filename=\"f.log\"", b"empty input before");
    let end = format!("--{BOUNDARY}--\r\n").into_bytes();
    let answer = post(&world.link("acme"), BOUNDARY, &[&empty[..], &full, &end].concat(), true);
    assert_eq!((answer.status, answer.json()["name"].as_str()), (201, Some("f.log")), "{answer:?}");
    for body in
        [[&empty[..], &end].concat(), end.clone(), [part("name=\"note\"", b"hello"), end.clone()].concat()]
    {
        let answer = post(&world.link("acme"), BOUNDARY, &body, true);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
    }
    // Bytes without a name are a file whose name is missing.
    let nameless = part("name=\"file\"; filename=\"\"", b"bytes");
    let answer = post(&world.link("acme"), BOUNDARY, &[nameless, end].concat(), true);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-name"), "{answer:?}");
}

#[test]
fn unbound_page_asks_for_the_ticket_first() {
    let world = SHARED.world();
    let link = world.gateway.make_link(&["--partner", "acme"]);
    let page = curl_raw(&["-H", "Accept: text/html", &link], Stdio::null());
    let at = |text: &str| page.body.find(text).unwrap_or_else(|| panic!("{text} is missing: {}", page.body));
    assert!(
        at("name=\"ticket\"") < at("type=\"file\""),
        "a form is read as it comes: the ticket must come first"
    );
    assert!(at("action=\"") < at("name=\"ticket\""));
    // What a browser sends for that form, as the page answers it.
    let file = format!("file=@{}", world.path("browser.log", b"browser"));
    let send = |fields: &[&str], query: &str| {
        let url = format!("{link}/{query}");
        let fields = fields.iter().flat_map(|field| ["-F", field]);
        let arguments: Vec<_> =
            ["-H", "Accept: text/html"].into_iter().chain(fields).chain([url.as_str()]).collect();
        curl_raw(&arguments, Stdio::null())
    };
    let answer = send(&["ticket=1002", &file], "");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.body.contains("browser.log") && answer.body.contains("ticket 1002"), "{}", answer.body);
    assert_eq!(send(&["ticket=#1002 ", &file, &file], "").status, 201, "as people write it, for every file");
    assert_eq!(send(&[&file], "?ticket=1002").status, 201);
    assert_eq!(send(&[&file], "").status, 422);
    assert_eq!(send(&["ticket=2001", &file], "").status, 404, "another partner's");
    assert_eq!(send(&["ticket=", &file], "").status, 422, "left empty");
}

#[tokio::test]
async fn interrupted_form_keeps_complete_files_only() {
    let world = World::start();
    let before = world.stored().await;
    let first = part("name=\"file\"; filename=\"first.log\"", b"first");
    let half = part("name=\"file\"; filename=\"half.bin\"", &noise(9_000_000, 6));
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
    // Ended in the middle, with and without the framing's own end.
    for (end, name) in [(true, "a"), (false, "b")] {
        let first = part(&format!("name=\"file\"; filename=\"{name}.log\""), name.as_bytes());
        let answer = post(&link, BOUNDARY, &[&first[..], &half].concat(), end);
        assert_eq!(answer.status, 400, "{answer:?}");
        let uploads = answer.json()["uploads"].as_array().unwrap().clone();
        assert_eq!(uploads.len(), 2, "{answer:?}");
        stored(&world, &uploads[0], &format!("{name}.log"), name.as_bytes()).await;
        assert_eq!(uploads[1]["name"], "half.bin", "{answer:?}");
    }
    for (boundary, body) in
        [("other", first.clone()), (BOUNDARY, vec![]), (BOUNDARY, b"no form at all".to_vec())]
    {
        let answer = post(&link, boundary, &body, true);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "/problems/bad-request"),
            "{boundary}: {answer:?}"
        );
    }
    for content_type in
        ["text/plain", "multipart/form-data", "multipart/form-data; boundary=", "application/json"]
    {
        let answer = curl(&["-H", &format!("Content-Type: {content_type}"), "--data-binary", "x", &link]);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
    }
    world.until_at_rest();
    world.gateway.sweep();
    let after = world.stored().await;
    assert_eq!(after.len(), before.len() + 2, "only the two files that were whole: {after:?}");
}

#[test]
fn too_many_fields_keep_earlier_files() {
    let world = SHARED.world();
    let fields: Vec<u8> = (0..10_000).flat_map(|n| part(&format!("name=\"f{n}\""), b"x")).collect();
    let answer = post(&world.link("acme"), BOUNDARY, &fields, true);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
    assert!(answer.json()["detail"].as_str().unwrap().contains("50"), "{answer:?}");
    let files: Vec<u8> = (0..60).flat_map(|n| part(&format!("name=\"f\"; filename=\"{n}\""), b"x")).collect();
    let answer = post(&world.link("globex"), BOUNDARY, &files, true);
    let uploads = answer.json()["uploads"].as_array().unwrap().clone();
    assert_eq!((answer.status, uploads.len()), (400, 51), "{answer:?}");
    assert!(uploads[..50].iter().all(|upload| upload["size"] == 1), "{answer:?}");
}

/// Unread data behind it makes no second file.
#[test]
fn refused_large_file_gets_its_own_problem() {
    let world = SHARED.world();
    let file = world.path("large.bin", &noise(80_000_000, 9));
    let answer = curl(&["-F", &format!("file=@{file};filename=a/b.log"), &world.link("acme")]);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-name"), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

/// Its sender writes everything before it reads: the rest is read on for a while, and said not to have been.
#[test]
fn refused_form_is_drained() {
    let world = SHARED.world();
    let content_type = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}");
    let mut raw =
        RawClient::request("POST", &world.link("acme"), &[&content_type, "Transfer-Encoding: chunked"]);
    let refused = part("name=\"f\"; filename=\"..\"", b"x");
    let files: Vec<u8> = (0..60).flat_map(|n| part(&format!("name=\"f\"; filename=\"{n}\""), b"x")).collect();
    assert!(raw.chunk(&[refused, files].concat()));
    let answer = raw.answer().unwrap();
    let uploads = answer.json()["uploads"].as_array().unwrap().clone();
    assert_eq!((answer.status, uploads.len()), (400, 51), "{answer:?}");
    assert!(uploads[50]["detail"].as_str().unwrap().contains("at most 50 fields"), "{answer:?}");
    for sent in 0..20 {
        assert!(raw.chunk(&noise(100_000, sent)), "after {sent} pieces nobody reads any more");
    }
}

/// The memory for a form's fields does not grow with the request, above all for names, which the answer repeats.
#[test]
fn overlong_names_are_shortened_in_errors() {
    let world = SHARED.world();
    let named = |name: &[u8]| {
        let mut part = part("name=\"file\"; filename=\"NAME\"", b"x");
        let at = part.windows(4).position(|text| text == b"NAME").unwrap();
        part.splice(at..at + 4, name.iter().copied());
        part
    };
    for (name, said) in [
        (vec![0xff; 10_000], "\u{fffd}".repeat(85)),
        ("\u{20ac}\u{e9}".repeat(2_000).into_bytes(), "\u{20ac}\u{e9}".repeat(51)),
        (vec![b'n'; 15_000], "n".repeat(255)),
    ] {
        let answer = post(&world.link("acme"), BOUNDARY, &named(&name).repeat(40), true);
        assert_eq!(answer.status, 400, "{}", answer.status);
        assert!(answer.body.len() < 40 * 1_500, "an answer of {} bytes", answer.body.len());
        let uploads = answer.json()["uploads"].as_array().unwrap().clone();
        let named: Vec<_> = uploads.iter().filter(|upload| upload["type"] == "/problems/bad-name").collect();
        assert!(named.len() == 40 && named.iter().all(|upload| upload["name"] == said), "{answer:?}");
    }
    for bytes in [40_000_u32, 900_000] {
        let mut form = part("name=\"file\"; filename=\"first.log\"", b"first");
        form.extend(part("name=\"file\"; filename=\"last.log\"", b"last"));
        form.extend(named(&vec![b'n'; bytes as usize]).repeat(4));
        let answer = post(&world.link("acme"), BOUNDARY, &form, true);
        assert!(answer.status == 400 && answer.body.len() < 5_000, "{} bytes", answer.body.len());
        let uploads = answer.json()["uploads"].clone();
        assert_eq!(
            (&uploads[0]["name"], &uploads[0]["size"]),
            (&"first.log".into(), &5.into()),
            "{answer:?}"
        );
        // Bytes before unreadable headers may not be the whole file.
        assert_eq!(
            (&uploads[1]["name"], &uploads[1]["status"]),
            (&"last.log".into(), &400.into()),
            "{answer:?}"
        );
    }
    // A field's own name, too, where its bytes break off.
    let cut = part(&format!("name=\"{}\"", "n".repeat(10_000)), b"");
    let answer = post(&world.link("acme"), BOUNDARY, &cut, true);
    assert!(answer.status == 400 && answer.body.len() < 1_500, "{answer:?}");
    world.until_at_rest();
}

/// Each file and each field has room for headers of its own, however many there are.
#[test]
fn many_empty_files_and_long_texts_are_fine() {
    let world = SHARED.world();
    let more = "x".repeat(1_000);
    let head = |n: u32| format!("name=\"file\"; filename=\"empty-{n}\"\r\nX-More: {more}");
    let files: Vec<u8> = (0..45).flat_map(|n| part(&head(n), b"")).collect();
    let text = part("name=\"log\"", &vec![b't'; 100_000]);
    let end = format!("--{BOUNDARY}--\r\n").into_bytes();
    let answer = post(&world.link("acme"), BOUNDARY, &[text, files, end].concat(), true);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["uploads"].as_array().unwrap().len(), 45, "{answer:?}");
    let endless = part("name=\"log\"", &vec![b't'; 2_000_000]);
    let answer = post(&world.link("acme"), BOUNDARY, &endless, true);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
}

#[test]
fn hundreds_of_refusals_are_summarised() {
    let world = World::start();
    let refused: Vec<u8> = (0..900).flat_map(|_| part("name=\"f\"; filename=\"..\"", b"x")).collect();
    let good = part("name=\"f\"; filename=\"good.log\"", b"good");
    let end = format!("--{BOUNDARY}--\r\n").into_bytes();
    let answer = post(&world.link("acme"), BOUNDARY, &[refused, good, end].concat(), true);
    let uploads = answer.json()["uploads"].as_array().unwrap().clone();
    assert_eq!((answer.status, uploads.len()), (400, 102), "{answer:?}");
    assert_eq!(uploads[100]["sha256"], sha256(b"good"), "what is good is kept, and named");
    assert!(uploads[101]["detail"].as_str().unwrap().starts_with("800 more files"), "{answer:?}");
}

#[test]
fn endless_part_headers_are_refused() {
    let world = SHARED.world();
    let bomb = format!("--{BOUNDARY}\r\nX: {}", "x".repeat(10_000_000));
    let answer = post(&world.link("acme"), BOUNDARY, bomb.as_bytes(), false);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{answer:?}");
    world.until_at_rest();
}
