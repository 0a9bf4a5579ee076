//! Resuming with plain curl: by upload, by name, after disconnects, crashes and expired links. Nothing is sent twice or lost.

use serde_json::json;
use tests::{
    Answer, RawClient, Shared, World, comments_naming, curl, eventually, eventually_async, noise, sha256,
};

static SHARED: Shared = Shared::with(&["link_open_uploads = 64"]);

/// A link of its own, so that equal names do not meet.
fn link(world: &World) -> String {
    world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"])
}

/// Sends these bytes of a file whose length is announced, and hangs up.
fn cut_off(url: &str, length: usize, bytes: &[u8]) {
    let mut raw = RawClient::request("PUT", url, &[&format!("Content-Length: {length}")]);
    assert!(raw.send(bytes));
    raw.half_close();
    let answer = raw.answer().unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/interrupted"), "{answer:?}");
    assert_eq!(answer.headers["upload-offset"], bytes.len().to_string(), "{answer:?}");
}

/// The rest of a file, from its offset on.
fn resume(world: &World, url: &str, bytes: &[u8], offset: usize) -> Answer {
    let rest = world.path("rest", &bytes[offset..]);
    curl(&["-H", &format!("Upload-Offset: {offset}"), "-T", &rest, url])
}

#[test]
fn resume_by_name_and_by_address() {
    let world = SHARED.world();
    for sent in [1, 1_000_000, 8_400_000, 17_000_000, 20_999_999] {
        let link = link(&world);
        let bytes = noise(21_000_000, sent as u64);
        let url = format!("{link}/big%20file.bin");
        cut_off(&url, bytes.len(), &bytes[..sent]);
        let state = curl(&["-I", &url]);
        assert_eq!((state.status, &*state.headers["upload-offset"]), (204, &*sent.to_string()), "{state:?}");
        assert_eq!(
            (&*state.headers["upload-complete"], &*state.headers["upload-length"]),
            ("?0", "21000000")
        );
        let own = state.headers["location"].clone();
        assert_eq!(curl(&["-I", &own]).headers["upload-offset"], sent.to_string());
        let done = resume(&world, if sent % 2 == 0 { &url } else { &own }, &bytes, sent);
        assert_eq!((done.status, &done.json()["sha256"]), (201, &json!(sha256(&bytes))), "{done:?}");
        assert_eq!(done.headers["location"], own);
        // Asked again, it is complete; sent again, it is answered with the same receipt.
        let state = curl(&["-I", &url]);
        assert_eq!(
            (&*state.headers["upload-complete"], &*state.headers["upload-offset"]),
            ("?1", "21000000")
        );
        let again = resume(&world, &own, &bytes, sent);
        assert_eq!((again.status, &again.json()["id"]), (201, &done.json()["id"]), "{again:?}");
    }
}

#[test]
fn ranges_append() {
    let world = SHARED.world();
    let (link, bytes) = (link(&world), noise(300_000, 1));
    let url = format!("{link}/pieces.bin");
    for (at, piece) in bytes.chunks(100_000).enumerate() {
        let (from, to) = (at * 100_000, at * 100_000 + piece.len() - 1);
        let file = world.path("piece", piece);
        let range = format!("Content-Range: bytes {from}-{to}/300000");
        let answer = curl(&["-H", &range, "-T", &file, &url]);
        if to == 299_999 {
            assert_eq!(
                (answer.status, &answer.json()["sha256"]),
                (201, &json!(sha256(&bytes))),
                "{answer:?}"
            );
        } else {
            let offset = (to + 1).to_string();
            assert_eq!((answer.status, &*answer.headers["upload-offset"]), (204, &*offset), "{answer:?}");
        }
    }
    // curl's own way to skip what was sent.
    let url = format!("{link}/skipped.bin");
    cut_off(&url, bytes.len(), &bytes[..123_456]);
    let file = world.path("skipped.bin", &bytes);
    let answer = curl(&["-C", "123456", "-T", &file, &url]);
    assert_eq!((answer.status, &answer.json()["sha256"]), (201, &json!(sha256(&bytes))), "{answer:?}");
}

#[test]
fn unfinished_files_of_one_name_are_told_apart() {
    let world = SHARED.world();
    let link = link(&world);
    let url = format!("{link}/same.bin");
    let (first, second) = (noise(1_000, 1), noise(2_000, 2));
    cut_off(&url, 1_000, &first[..400]);
    cut_off(&url, 2_000, &second[..500]);
    for answer in [curl(&["-I", &url]), resume(&world, &url, &first, 400)] {
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    let named = resume(&world, &url, &first, 400);
    assert_eq!(named.problem(), "/problems/ambiguous-name");
    let candidates = named.json()["uploads"].as_array().unwrap().clone();
    assert_eq!(candidates.len(), 2, "{candidates:?}");
    assert!(candidates.iter().all(|one| one["id"].is_string() && one["started_at"].is_string()));
    // One that begins with the first byte could be each of them, or none: its length does not tell.
    for offset in ["Upload-Offset: 0", "upload-offset: 0"] {
        let path = world.path("third", &noise(3_000, 3));
        let third = curl(&["-H", offset, "-T", &path, &url]);
        assert_eq!((third.status, third.problem().as_str()), (409, "/problems/ambiguous-name"), "{third:?}");
        assert_eq!(third.json()["uploads"].as_array().unwrap().len(), 2, "{third:?}");
    }
    // The length tells which.
    let rest = world.path("rest", &second[500..]);
    let done = curl(&["-H", "Content-Range: bytes 500-1999/2000", "-T", &rest, &url]);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &json!(sha256(&second))), "{done:?}");
    assert_eq!(resume(&world, &url, &first, 400).json()["sha256"], sha256(&first));
    let nobody = curl(&["-I", &format!("{link}/nobody.bin")]);
    assert_eq!(nobody.status, 404, "{nobody:?}");
}

/// The file has grown since its first bytes were sent, or was another all along.
#[test]
fn excess_bytes_keep_acknowledged_ones() {
    let world = SHARED.world();
    let (link, bytes) = (link(&world), noise(21, 7));
    let kind = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
    for (at, framing) in ["Content-Length: 11", "Transfer-Encoding: chunked"].iter().enumerate() {
        for by_name in [true, false] {
            let named = format!("{link}/grown-{at}-{by_name}.bin");
            let first = world.path("first", &bytes[..10]);
            let begun = curl(&["-H", "Content-Range: bytes 0-9/20", "-T", &first, &named]);
            assert_eq!((begun.status, begun.offset()), (204, 10), "{begun:?}");
            let url = if by_name { &named } else { &begun.headers["location"] };
            let mut raw = RawClient::request("PUT", url, &[framing, "Upload-Offset: 10"]);
            if at == 0 {
                raw.send(&bytes[10..]);
            } else {
                raw.chunk(&bytes[10..]);
                raw.chunk(b"");
            }
            let more = raw.answer().unwrap();
            assert_eq!((more.status, more.problem().as_str()), (400, kind), "{more:?}");
            assert_eq!(curl(&["-I", url]).offset(), 10);
            assert_eq!(resume(&world, url, &bytes[..20], 10).json()["sha256"], sha256(&bytes[..20]));
        }
    }
}

#[test]
fn wrong_offset_or_length_reports_the_right_one() {
    let world = SHARED.world();
    let (link, bytes) = (link(&world), noise(1_000, 3));
    let url = format!("{link}/w.bin");
    cut_off(&url, 1_000, &bytes[..400]);
    let own = curl(&["-I", &url]).headers["location"].clone();
    for offset in [100, 500, 1_000] {
        let wrong = resume(&world, &own, &bytes, offset);
        assert_eq!((wrong.status, &*wrong.headers["upload-offset"]), (409, "400"), "{wrong:?}");
        let kind = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
        assert_eq!(wrong.problem(), kind);
    }
    let rest = world.path("rest", &bytes[400..]);
    let other = curl(&["-H", "Content-Range: bytes 400-999/1001", "-T", &rest, &own]);
    let kind = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
    assert_eq!((other.status, other.problem().as_str()), (400, kind), "{other:?}");
    assert_eq!(curl(&["-T", &rest, &own]).status, 400, "no offset");
    let other_link = curl(&["-I", &own.replace(&link, &world.link("globex"))]);
    assert_eq!(other_link.status, 404, "another link's upload does not exist");
    assert_eq!(resume(&world, &own, &bytes, 400).status, 201);
}

#[tokio::test]
async fn committed_bytes_survive_and_one_note_is_written() {
    let mut world = World::start();
    let bytes = noise(40_000_000, 4);
    let url = format!("{}/crash.bin", world.link("acme"));
    for _ in 0..3 {
        let at = curl(&["-I", &url]).headers.get("upload-offset").map_or(0, |at| at.parse().unwrap());
        let (length, offset) = (bytes.len() - at, format!("Upload-Offset: {at}"));
        let mut raw = RawClient::request("PUT", &url, &[&format!("Content-Length: {length}"), &offset]);
        assert!(raw.send(&bytes[at..at + 11_000_000]));
        eventually_async("a part is committed", async || {
            let now: usize = curl(&["-I", &url]).headers.get("upload-offset")?.parse().ok()?;
            (now > at).then_some(())
        })
        .await;
        world.gateway.kill();
        world.gateway.restart();
        let now: usize = curl(&["-I", &url]).headers["upload-offset"].parse().unwrap();
        assert!(now > at && now <= at + 11_000_000, "{at} {now}");
    }
    let at: usize = curl(&["-I", &url]).headers["upload-offset"].parse().unwrap();
    let done = resume(&world, &url, &bytes, at);
    assert_eq!((done.status, &done.json()["sha256"]), (201, &json!(sha256(&bytes))), "{done:?}");
    let id = done.json()["id"].as_str().unwrap().to_owned();
    eventually_async("the ticket has one note", async || {
        (comments_naming(&world.sandbox.comments("1001").await, &id) == 1).then_some(())
    })
    .await;
}

/// The gateway died before anything of a file was durable, and its sender sends it again: there is one file of that name.
#[test]
fn retry_after_an_early_crash_is_one_file() {
    let mut world = World::start();
    let (url, bytes) = (format!("{}/early.bin", world.link("acme")), noise(100_000, 5));
    let _sending = RawClient::request("PUT", &url, &["Content-Length: 100000"]);
    eventually("it has begun", || (curl(&["-I", &url]).status == 204).then_some(()));
    world.gateway.kill();
    world.gateway.restart();
    eventually("nothing is left of it", || (curl(&["-I", &url]).status == 404).then_some(()));
    let sent = curl(&["-T", &world.path("early.bin", &bytes), &url]);
    assert_eq!((sent.status, &sent.json()["sha256"]), (201, &json!(sha256(&bytes))), "{sent:?}");
    let state = curl(&["-I", &url]);
    assert_eq!((state.status, &*state.headers["upload-complete"]), (204, "?1"), "{state:?}");
}

#[test]
fn upload_outlives_an_expired_link_but_not_a_revoked_one() {
    let world = World::start();
    let bytes = noise(1_000, 5);
    let short = world.gateway.make_link(&["--partner", "acme", "--ticket", "1001", "--expires", "2s"]);
    let wanted = r#"{"partner": "acme", "ticket": "1001"}"#;
    let made = world.sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", wanted]).json();
    let revoked = made["url"].as_str().unwrap().to_owned();
    let begun = |link: &str| {
        cut_off(&format!("{link}/late.bin"), 1_000, &bytes[..400]);
        curl(&["-I", &format!("{link}/late.bin")]).headers["location"].clone()
    };
    let (late, gone) = (begun(&short), begun(&revoked));
    eventually("the link expires", || {
        (curl(&["-I", &format!("{short}/late.bin")]).status == 410).then_some(())
    });
    assert_eq!(resume(&world, &late, &bytes, 400).json()["sha256"], sha256(&bytes));
    world.gateway.admin_ok(&["link", "revoke", made["id"].as_str().unwrap()]);
    assert_eq!(resume(&world, &gone, &bytes, 400).status, 410);
}

#[tokio::test]
async fn expired_upload_leaves_nothing() {
    let world = World::with(&["resume_window = \"5s\""]);
    let url = format!("{}/old.bin", world.link("acme"));
    let bytes = noise(10_000_000, 6);
    cut_off(&url, 11_000_000, &bytes);
    let own = curl(&["-I", &url]).headers["location"].clone();
    eventually("it expires", || (world.gateway.sweep()["expired"] == 1).then_some(()));
    assert_eq!(curl(&["-I", &own]).status, 410);
    let bucket = world.sandbox.bucket(None).await;
    eventually_async("nothing is left", async || {
        (tests::objects(&bucket).await.is_empty() && tests::unfinished(&bucket).await.is_empty())
            .then_some(())
    })
    .await;
}
