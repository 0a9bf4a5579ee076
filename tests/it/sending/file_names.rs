//! File names. A usable name arrives unchanged (NFC) in the receipt, the object's key and the note. Others are refused with the
//! reason, before the body.

use std::process::Stdio;

use tests::{Shared, World, curl, curl_raw, eventually_async, object};

static SHARED: Shared = Shared::with(&[]);

/// Percent-encodes everything: no tool in between changes it.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn accepted(world: &World, segment: &str, name: &str) {
    let url = format!("{}/{segment}", world.link("globex"));
    let answer = curl(&["--path-as-is", "-T", &world.path("sent", segment.as_bytes()), &url]);
    assert_eq!(answer.status, 201, "{segment}: {answer:?}");
    let receipt = answer.json();
    assert_eq!(receipt["name"], name, "{segment}");
    let key = format!("2001/{}/{name}", receipt["id"].as_str().unwrap());
    assert_eq!(object(&world.sandbox.bucket(Some("globex")).await, &key).await, segment.as_bytes(), "{key}");
}

#[tokio::test]
async fn usable_names_arrive_unchanged() {
    let world = SHARED.world();
    for name in [
        "plain.log",
        "with space.log",
        " leading and trailing ",
        "ünï€öde 日本語.tar.gz",
        "📎.png",
        "quote\"and'apostrophe",
        "100%",
        "a%20b",
        "%2F",
        "a+b&c=d;e#f?g",
        "...",
        ".hidden",
        "-rf",
        "<script>alert(1)<|script>",
        "$(touch x)`y`",
        "con",
        "a:b*c",
        "trailing.",
        "uploads.log",
        "x".repeat(255).as_str(),
        "é".repeat(127).as_str(),
    ] {
        accepted(&world, &encoded(name), name).await;
    }
    for (segment, name) in [
        ("e%CC%81.log", "é.log"),
        ("%EF%AC%81", "\u{fb01}"),
        ("%E1%84%92%E1%85%A1%E1%86%AB", "한"),
        ("a&b=c;d+e,f@g!h", "a&b=c;d+e,f@g!h"),
    ] {
        accepted(&world, segment, name).await;
    }
}

#[test]
fn unusable_names_are_refused_before_the_body() {
    let world = SHARED.world();
    let long = encoded(&"x".repeat(256));
    let long_in_bytes = encoded(&"é".repeat(128));
    // 3 bytes as sent, 6 after normalization: the limit is on the stored name.
    let grows = encoded(&"\u{0958}".repeat(80));
    let file = world.path("big", &vec![7; 3_000_000]);
    for segment in [
        "a%2Fb",
        "%2Fetc%2Fpasswd",
        "a%2fb",
        "..",
        "%2e%2e",
        ".",
        "%2E",
        "..%2Fx",
        "../x",
        "a/b",
        "a//b",
        "a%5Cb",
        "%5C",
        "a%00b",
        "%0A",
        "a%0D%0Ab",
        "%1F",
        "%7F",
        "a%C2%85b",
        "%E2%80%AEgpj.exe",
        "a%E2%81%A6b",
        "%E2%80%8Fx",
        "a%FFb",
        "%C3",
        "%ED%A0%80",
        &long,
        &long_in_bytes,
        &grows,
        "uploads",
        "escalate",
        "send.sh",
        "send.ps1",
    ] {
        let url = format!("{}/{segment}", world.link("globex"));
        // Not `-T`: that tidies `..` up before it sends.
        let body = format!("@{file}");
        // Waiting for an answer before the body is of HTTP/1.1.
        let arguments = [
            "--http1.1",
            "--path-as-is",
            "-X",
            "PUT",
            "--expect100-timeout",
            "60",
            "-H",
            "Expect: 100-continue",
            "--data-binary",
        ];
        let arguments = [&arguments[..], &[&body, &url]].concat();
        let answer = curl(&arguments);
        assert_eq!(answer.status, 400, "{segment}: {answer:?}");
        assert_eq!(answer.problem(), "/problems/bad-name", "{segment}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

#[test]
fn same_rules_for_headers_and_forms() {
    let world = SHARED.world();
    let link = world.link("globex");
    let file = world.path("sent", b"refused");
    for name in ["a/b", "..", "a\\b", "\u{202e}gpj.exe", "x\u{85}y"] {
        let escaped = name.replace('\\', "\\\\");
        let header = format!("Content-Disposition: attachment; filename=\"{escaped}\"");
        let answer = curl(&["-X", "PUT", "-H", &header, "--data-binary", "x", &link]);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "/problems/bad-name"),
            "{name}: {answer:?}"
        );
        let part = format!("file=@{file};filename=\"{escaped}\"");
        let answer = curl(&["-F", &part, &link]);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "/problems/bad-name"),
            "{name}: {answer:?}"
        );
    }
}

#[test]
fn names_of_our_routes_are_sent_by_form() {
    let world = SHARED.world();
    for name in ["uploads", "escalate", "send.sh", "send.ps1"] {
        let file = world.path(name, name.as_bytes());
        let refused = curl(&["-T", &file, &format!("{}/", world.link("globex"))]);
        assert_eq!(refused.problem(), "/problems/bad-name", "{refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("curl -F"), "it says how: {refused:?}");
        let answer = curl(&["-F", &format!("file=@{file}"), &world.link("globex")]);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["name"], name);
    }
}

#[tokio::test]
async fn name_reaches_page_note_and_attachment() {
    let world = World::start();
    let name = "<b>ünï<|b> [a](b) `c` \"d\" 'e' 100%.log".to_owned();
    let receipt = world.sandbox.sent(&world.link("acme"), &name, b"unharmed");
    let id = receipt["id"].as_str().unwrap();
    let page = curl_raw(
        &["-H", "Accept: text/html", &format!("{}/uploads/{id}", world.link("acme"))],
        Stdio::null(),
    );
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("&lt;b&gt;ünï&lt;|b&gt;") && !page.body.contains("<b>ünï"), "{}", page.body);
    eventually_async("the file is attached under its name", async || {
        let attached = world.sandbox.attachments("1001").await;
        attached.contains(&(name.clone(), b"unharmed".to_vec())).then_some(())
    })
    .await;
}
