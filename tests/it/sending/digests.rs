//! Digests from the sender: in headers, in trailers, and in side files sent before or after the file.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::{
    Answer, RawClient, Shared, World, comments_naming, curl, curl_raw, eventually_async, noise, sha256,
};

static SHARED: Shared = Shared::with(&["link_open_uploads = 64"]);

/// What `sha256sum`, `md5sum` and so on print for a file.
fn sum(program: &str, folder: &std::path::Path, name: &str) -> String {
    let output = Command::new(program).arg(name).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The digest that one of these programs prints, in base64, as HTTP wants it.
fn base64(program: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), bytes).unwrap();
    let line = sum(program, folder.path(), "f");
    let hex = line.split(' ').next().unwrap();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    STANDARD.encode((0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>())
}

/// A link of its own on a ticket, so that equal names do not meet.
fn link(world: &World) -> String {
    world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"])
}

fn send(world: &World, link: &str, name: &str, bytes: &[u8], more: &[&str]) -> Answer {
    let file = world.path(name, bytes);
    curl(&[more, &["-T", &file, &format!("{link}/")]].concat())
}

fn state_of(link: &str, receipt: &Value) -> Value {
    curl(&[&format!("{link}/uploads/{}", receipt["id"].as_str().unwrap())]).json()
}

#[test]
fn announced_md5_sha1_and_sha512_are_compared() {
    let world = SHARED.world();
    let bytes = noise(6_000_000, 1);
    let (md5, sha1, sha512) =
        (base64("md5sum", &bytes), base64("sha1sum", &bytes), base64("sha512sum", &bytes));
    let zero = base64("md5sum", b"other");
    for (header, expected) in [
        (format!("Repr-Digest: md5=:{md5}:"), Ok(json!(["md5"]))),
        (format!("Repr-Digest: sha=:{sha1}:, sha-512=:{sha512}:"), Ok(json!(["sha-1", "sha-512"]))),
        (format!("Content-Digest: md5=:{md5}:"), Ok(json!(["md5"]))),
        (format!("Content-MD5: {md5}"), Ok(json!(["md5"]))),
        (format!("Repr-Digest: md5=:{zero}:"), Err("md5")),
        (format!("Content-MD5: {zero}"), Err("md5")),
    ] {
        let answer = send(&world, &link(&world), "a.bin", &bytes, &["-H", &header]);
        match expected {
            Ok(checked) => {
                assert_eq!(
                    (answer.status, &answer.json()["checked"]),
                    (201, &checked),
                    "{header} {answer:?}"
                );
            }
            Err(algorithm) => {
                assert_eq!(answer.status, 422, "{header} {answer:?}");
                assert_eq!(answer.problem(), "/problems/digest-mismatch", "{answer:?}");
                assert_eq!(answer.json()["algorithm"], algorithm, "{answer:?}");
            }
        }
    }
}

#[test]
fn trailer_is_compared() {
    let world = SHARED.world();
    let bytes = noise(300_000, 2);
    let (right, wrong) = (base64("sha256sum", &bytes), base64("sha256sum", b"other"));
    for (trailer, status, said) in [
        (format!("Repr-Digest: sha-256=:{right}:"), 201, json!(["sha-256"])),
        (format!("Content-Digest: sha-256=:{right}:"), 201, json!(["sha-256"])),
        // Only SHA-256 was computed; nothing else is reported as checked.
        ("Repr-Digest: md5=:AAAAAAAAAAAAAAAAAAAAAA==:".to_owned(), 201, json!([])),
        ("X-Other: 1".to_owned(), 201, json!([])),
        (format!("Repr-Digest: sha-256=:{wrong}:"), 422, json!("/problems/digest-mismatch")),
        ("Repr-Digest: sha-256=nonsense".to_owned(), 400, json!("/problems/bad-request")),
    ] {
        let link = link(&world);
        let headers = ["Transfer-Encoding: chunked", "Trailer: Repr-Digest, Content-Digest, X-Other"];
        let mut raw = RawClient::request("PUT", &format!("{link}/t.bin"), &headers);
        for piece in bytes.chunks(100_000) {
            assert!(raw.chunk(piece));
        }
        assert!(raw.send(format!("0\r\n{trailer}\r\n\r\n").as_bytes()));
        let answer = raw.answer().unwrap();
        let field = if status == 201 { "checked" } else { "type" };
        assert_eq!((answer.status, &answer.json()[field]), (status, &said), "{trailer}: {answer:?}");
    }
    world.until_at_rest();
}

#[tokio::test]
async fn side_file_sent_first_binds_the_next_upload() {
    let world = SHARED.world();
    for (suffix, program, algorithm) in [("sha256", "sha256sum", "sha-256"), ("md5", "md5sum", "md5")] {
        let link = link(&world);
        let (right, wrong) = (noise(400_000, 3), noise(400_000, 4));
        let folder = world.file("core.gz", &right).parent().unwrap().to_owned();
        let side = sum(program, &folder, "core.gz");
        assert_eq!(send(&world, &link, &format!("core.gz.{suffix}"), side.as_bytes(), &[]).status, 201);
        let refused = send(&world, &link, "core.gz", &wrong, &[]);
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.problem(), "/problems/digest-mismatch");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("core.gz.{suffix}")), "{detail}");
        // Another name, and the same name on another link, are free.
        assert_eq!(send(&world, &link, "other.gz", &wrong, &[]).status, 201);
        let elsewhere = world.gateway.make_link(&["--partner", "globex", "--ticket", "2001"]);
        assert_eq!(send(&world, &elsewhere, "core.gz", &wrong, &[]).status, 201);
        let taken = send(&world, &link, "core.gz", &right, &[]);
        assert_eq!((taken.status, &taken.json()["checked"]), (201, &json!([algorithm])), "{taken:?}");
        // It has bound the next one, and no more.
        assert_eq!(send(&world, &link, "core.gz", &wrong, &[]).status, 201);
    }
}

#[tokio::test]
async fn resent_side_file_replaces_the_wrong_one() {
    let world = SHARED.world();
    let link = link(&world);
    let bytes = noise(1_000, 5);
    assert_eq!(send(&world, &link, "a.log.sha256", sha256(b"x").as_bytes(), &[]).status, 201);
    assert_eq!(send(&world, &link, "a.log", &bytes, &[]).status, 422);
    assert_eq!(send(&world, &link, "a.log.sha256", sha256(&bytes).as_bytes(), &[]).status, 201);
    assert_eq!(send(&world, &link, "a.log", &bytes, &[]).json()["checked"], json!(["sha-256"]));
}

#[tokio::test]
async fn side_file_sent_after_is_compared() {
    let world = World::start();
    for (suffix, program, algorithm) in [("sha256", "sha256sum", "sha-256"), ("md5", "md5sum", "md5")] {
        let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
        let bytes = noise(21_000_000, 6);
        let file = send(&world, &link, "dump.bin", &bytes, &[]).json();
        let wrong = format!(
            "{}  dump.bin\n",
            sum(program, world.sandbox.scratch(), "/dev/null").split(' ').next().unwrap()
        );
        let refused = send(&world, &link, &format!("dump.bin.{suffix}"), wrong.as_bytes(), &[]);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (422, "/problems/digest-mismatch"),
            "{refused:?}"
        );
        // The file stays; support gets one note about it.
        let id = file["id"].as_str().unwrap();
        eventually_async("the mismatch is on the ticket", async || {
            let comments = world.sandbox.comments(&ticket).await;
            let marks = comments.iter().filter(|c| c["body"].as_str().unwrap().contains("Digest mismatch"));
            (marks.count() == 1 && comments_naming(&comments, id) == 1).then_some(())
        })
        .await;
        let now = state_of(&link, &file);
        assert_eq!((&now["sha256"], &now["checked"]), (&json!(sha256(&bytes)), &json!([])), "{now}");
        assert!(now["mismatch"].as_str().unwrap().starts_with(algorithm), "{now}");
        assert_eq!(world.sandbox.listed(&ticket).len(), 1);
        // A retry says the same, and marks nothing twice.
        let again = send(&world, &link, &format!("dump.bin.{suffix}"), wrong.as_bytes(), &[]);
        assert_eq!(again.status, 422, "{again:?}");
        let folder = world.file("dump.bin", &bytes).parent().unwrap().to_owned();
        let right = sum(program, &folder, "dump.bin");
        let taken = send(&world, &link, &format!("dump.bin.{suffix}"), right.as_bytes(), &[]);
        assert_eq!(taken.status, 201, "{taken:?}");
        assert_eq!(state_of(&link, &file)["checked"], json!([algorithm]));
        eventually_async("all notes are written", async || {
            (world.metric("weighbridge_jobs_waiting") == 0.0).then_some(())
        })
        .await;
        let comments = world.sandbox.comments(&ticket).await;
        let marks = comments.iter().filter(|c| c["body"].as_str().unwrap().contains("Digest mismatch"));
        assert_eq!(marks.count(), 1, "{comments:#?}");
        // A file that has its side file is left alone by the next one, which is about the next file.
        assert_eq!(send(&world, &link, &format!("dump.bin.{suffix}"), wrong.as_bytes(), &[]).status, 201);
        let next = send(&world, &link, "dump.bin", &noise(100, 7), &[]);
        assert_eq!(next.status, 422, "{next:?}");
    }
}

#[tokio::test]
async fn side_file_sent_meanwhile_is_compared() {
    let world = World::start();
    for (suffix, algorithm, digits) in [("sha256", "sha-256", 64), ("md5", "md5", 32)] {
        let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
        let bytes = noise(300_000, 8);
        let (first, rest) = (world.path("first", &bytes[..100_000]), world.path("rest", &bytes[100_000..]));
        let url = format!("{link}/mid.bin");
        let begun = curl(&["-H", "Content-Range: bytes 0-99999/300000", "-T", &first, &url]);
        assert_eq!(begun.status, 204, "{begun:?}");
        let wrong = "0".repeat(digits);
        assert_eq!(send(&world, &link, &format!("mid.bin.{suffix}"), wrong.as_bytes(), &[]).status, 201);
        let done = curl(&["-H", "Content-Range: bytes 100000-299999/300000", "-T", &rest, &url]);
        if suffix == "sha256" {
            // Computed while the file arrived: none of it is durable yet.
            assert_eq!(
                (done.status, done.problem().as_str()),
                (422, "/problems/digest-mismatch"),
                "{done:?}"
            );
            continue;
        }
        assert_eq!((done.status, &done.json()["checked"]), (201, &json!([])), "{done:?}");
        let mismatch = done.json()["mismatch"].as_str().unwrap().to_owned();
        assert!(mismatch.starts_with(&format!("{algorithm} {wrong} ")), "{mismatch}");
        eventually_async("the mismatch is on the ticket", async || {
            let comments = world.sandbox.comments(&ticket).await;
            let marks = comments.iter().filter(|c| c["body"].as_str().unwrap().contains("Digest mismatch"));
            (marks.count() == 1).then_some(())
        })
        .await;
        // A retry that asks for text or a page gets the mismatch, too; the next file of the name is free.
        let (file, url) = (world.path("mid.bin", &bytes), format!("{link}/"));
        for accept in ["Accept: */*", "Accept: text/html"] {
            let again = curl_raw(&["-H", accept, "-T", &file, &url], Stdio::null());
            assert!(
                again.status == 201 && again.body.contains(&mismatch[algorithm.len()..][..33]),
                "{again:?}"
            );
        }
        let next = send(&world, &link, "mid.bin", &noise(100, 9), &[]);
        assert_eq!((next.status, &next.json()["mismatch"]), (201, &Value::Null), "{next:?}");
    }
}

#[test]
fn side_file_without_a_digest_is_a_plain_file() {
    let world = SHARED.world();
    for text in ["", "see the other file\n", "0123  a.log\n"] {
        let link = link(&world);
        assert_eq!(send(&world, &link, "a.log.md5", text.as_bytes(), &[]).status, 201, "{text:?}");
        assert_eq!(send(&world, &link, "a.log", b"anything", &[]).status, 201, "{text:?}");
    }
}

/// As `(Get-FileHash F).Hash > F.sha256` of Windows PowerShell, `Get-FileHash F > F.sha256` and certutil write them.
#[test]
fn windows_side_files_are_compared() {
    let world = SHARED.world();
    let (right, wrong) = (noise(1_000, 20), noise(1_000, 21));
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfeff_u16].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let texts = |bytes: &[u8]| {
        let hex = sha256(bytes);
        let upper = hex.to_uppercase();
        let table = format!(
            "\r\nAlgorithm  Hash  Path\r\n---------  ----  ----\r\nSHA256  {upper}  C:\\d\\a.log\r\n\r\n"
        );
        let certutil = format!(
            "SHA256 hash of a.log:\r\n{hex}\r\nCertUtil: -hashfile command completed successfully.\r\n"
        );
        [
            utf16(&format!("{upper}\r\n")),
            format!("\u{feff}{upper}\r\n").into_bytes(),
            utf16(&table),
            utf16(&certutil),
            certutil.into_bytes(),
        ]
    };
    for (good, bad) in texts(&right).iter().zip(texts(b"other")) {
        let shown = String::from_utf8_lossy(good);
        let on = link(&world);
        assert_eq!(send(&world, &on, "a.log.sha256", good, &[]).status, 201, "{shown}");
        let refused = send(&world, &on, "a.log", &wrong, &[]);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (422, "/problems/digest-mismatch"),
            "{shown}"
        );
        let taken = send(&world, &on, "a.log", &right, &[]);
        assert_eq!((taken.status, &taken.json()["checked"]), (201, &json!(["sha-256"])), "{shown}");
        // The same digest, sent after its file.
        let on = link(&world);
        assert_eq!(send(&world, &on, "a.log", &right, &[]).status, 201);
        assert_eq!(send(&world, &on, "a.log.sha256", &bad, &[]).status, 422, "{shown}");
        assert_eq!(send(&world, &on, "a.log.sha256", good, &[]).status, 201, "{shown}");
    }
}

/// A truncated digest, or one of another algorithm: the sender wants it compared and is told that it is not.
#[test]
fn unusable_side_file_is_refused() {
    let world = SHARED.world();
    let digest = sha256(b"x");
    for (name, text) in [
        ("a.log.sha256", format!("SHA256 {}...\r\n", &digest[..40])),
        ("a.log.sha256", format!("{}  a.log\n", &digest[..32])),
        ("a.log.md5", format!("{digest}  a.log\n")),
    ] {
        let link = link(&world);
        let refused = send(&world, &link, name, text.as_bytes(), &[]);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "/problems/bad-request"),
            "{refused:?}"
        );
        assert!(refused.json()["detail"].as_str().unwrap().contains("hexadecimal digits"), "{refused:?}");
        assert_eq!(curl(&["-I", &format!("{link}/{name}")]).status, 404, "nothing of it is kept");
    }
}

#[test]
fn side_files_in_a_form() {
    let world = SHARED.world();
    let link = link(&world);
    let (file, side) =
        (world.path("b.log", b"body"), world.path("b.log.sha256", sha256(b"other").as_bytes()));
    let (first, second) = (format!("file=@{side}"), format!("file=@{file}"));
    let answer = curl(&["-F", &first, "-F", &second, &link]);
    assert_eq!(answer.status, 422, "{answer:?}");
    let uploads = answer.json();
    assert_eq!(uploads["uploads"][0]["name"], "b.log.sha256", "{uploads}");
    assert_eq!(uploads["uploads"][1]["type"], "/problems/digest-mismatch", "{uploads}");
}
