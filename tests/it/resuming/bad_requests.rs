//! Requests that contradict themselves or carry only part of a file. Each is read literally, and durable bytes stay.

use std::process::Command;

use serde_json::json;
use tests::{Answer, RawClient, Shared, World, ask, noise, repr_digest, sha256};

static SHARED: Shared = Shared::with(&["link_open_uploads = 64"]);

/// A link of its own, so that equal names do not meet.
fn link(world: &World) -> String {
    world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"])
}

/// An upload of 20 bytes that begins with the draft's creation; its own address.
fn created(link: &str, name: &str, headers: &[&str], bytes: &[u8]) -> String {
    let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"");
    let all = [&["Upload-Complete: ?0", disposition.as_str()], headers].concat();
    ask("POST", &format!("{link}/uploads"), &all, bytes).is(201).header("location").to_owned()
}

fn chunked(url: &str, headers: &[&str], bytes: &[u8], trailer: &str) -> Answer {
    let all = [&["Transfer-Encoding: chunked", "Trailer: Content-Digest"], headers].concat();
    let mut raw = RawClient::request("PUT", url, &all);
    assert!(raw.chunk(bytes));
    assert!(raw.send(format!("0\r\n{trailer}\r\n").as_bytes()));
    raw.answer().unwrap()
}

fn content_digest(bytes: &[u8]) -> String {
    format!("Content-Digest: {}", repr_digest(bytes))
}

#[test]
fn ietf_draft_by_name_needs_the_end() {
    let world = SHARED.world();
    let link = link(&world);
    let own = created(&link, "half.bin", &[], b"abc");
    let named = format!("{link}/half.bin");
    ask("PUT", &named, &["Upload-Complete: ?0", "Upload-Offset: 3"], b"def")
        .is(204)
        .has("upload-offset", "6")
        .has("upload-complete", "?0");
    ask("HEAD", &own, &[], b"").has("upload-offset", "6").has("upload-complete", "?0");
    let done = ask("PUT", &named, &["Upload-Complete: ?1", "Upload-Offset: 6"], b"g").is(201).json();
    assert_eq!((&done["size"], &done["sha256"]), (&json!(7), &json!(sha256(b"abcdefg"))));
}

#[test]
fn digest_of_a_range_is_not_the_files() {
    let world = SHARED.world();
    let (link, bytes) = (link(&world), noise(20, 1));
    let url = format!("{link}/ranges.bin");
    let (first, last) = ("Content-Range: bytes 0-11/20", "Content-Range: bytes 12-19/20");
    let wrong = content_digest(b"other");
    ask("PUT", &url, &[first, &wrong], &bytes[..12]).refuses(422, "/problems/digest-mismatch");
    ask("HEAD", &url, &[], b"").is(404);
    ask("PUT", &url, &[first, &content_digest(&bytes[..12])], &bytes[..12]).is(204);
    ask("PUT", &url, &[last, &wrong], &bytes[12..]).refuses(422, "/problems/digest-mismatch");
    let done = ask("PUT", &url, &[last, &content_digest(&bytes[12..])], &bytes[12..]).is(201).json();
    assert_eq!(done["sha256"], sha256(&bytes));
    // The same in trailers, where no digest of a range is computed.
    let url = format!("{link}/trailers.bin");
    let digest = |bytes: &[u8]| format!("{}\r\n", content_digest(bytes));
    let open = chunked(&url, &[first], &bytes[..12], &digest(&bytes[..12]));
    assert_eq!(open.status, 204, "{open:?}");
    let done = chunked(&url, &[last], &bytes[12..], &digest(&bytes[12..]));
    assert_eq!((done.status, &done.json()["sha256"]), (201, &json!(sha256(&bytes))), "{done:?}");
    world.until_at_rest();
}

/// As a person pastes it who forgets to write the file's name, or is in another folder.
#[test]
fn printed_command_without_its_file_is_harmless() {
    let world = SHARED.world();
    let bytes = noise(100_000, 2);
    for headers in [&["Content-Length: 100000"][..], &["Transfer-Encoding: chunked"]] {
        let url = format!("{}/paste.bin", link(&world));
        let mut raw = RawClient::request("PUT", &url, headers);
        let sent = if headers[0].starts_with('C') {
            raw.send(&bytes[..60_000])
        } else {
            raw.chunk(&bytes[..60_000])
        };
        assert!(sent);
        raw.half_close();
        let refused = raw.answer().unwrap();
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        let command = &detail[detail.find("test -r ").unwrap()..];
        let run = |command: &str| {
            let mut shell = Command::new("sh");
            let shell = world.sandbox.shell_environment(&mut shell);
            shell.args(["-c", command]).current_dir(world.sandbox.scratch()).output().unwrap()
        };
        assert!(!run(command).status.success(), "{command}");
        // Nor does one whose file is shorter than was said.
        if headers[0].starts_with('C') {
            ask("PUT", &url, &["Upload-Offset: 60000"], b"").refuses(400, "inconsistent-upload-length");
        }
        ask("HEAD", &url, &[], b"").has("upload-offset", "60000").has("upload-complete", "?0");
        let file = world.path("paste.bin", &bytes);
        assert!(run(&command.replace("FILE", &format!("'{file}'"))).status.success(), "{command}");
        ask("HEAD", &url, &[], b"").has("upload-offset", "100000").has("upload-complete", "?1");
    }
}

#[test]
fn offset_0_does_not_discard_bytes() {
    let world = SHARED.world();
    let link = link(&world);
    let own = created(&link, "zero.bin", &[], b"");
    let named = format!("{link}/zero.bin");
    ask("HEAD", &named, &[], b"").is(204).has("upload-offset", "0");
    ask("PUT", &named, &["Upload-Offset: 0"], b"all of it").is(201).has("location", &own);
    ask("HEAD", &named, &[], b"").is(204).has("upload-complete", "?1");
    // Where nothing is unfinished, or is of another length or ticket, it is another file.
    let other = ask("PUT", &named, &["Upload-Offset: 0"], b"another one").is(201);
    assert_ne!(other.header("location"), own);
    let longer = created(&link, "zero.bin", &["Upload-Length: 50"], b"");
    let whole = ask("PUT", &named, &["Upload-Offset: 0"], b"a third one").is(201).json();
    assert_eq!(whole["sha256"], sha256(b"a third one"));
    ask("HEAD", &longer, &[], b"").has("upload-offset", "0").has("upload-complete", "?0");
    ask("PUT", &format!("{named}?ticket=1001"), &["Upload-Offset: 0"], b"x").refuses(404, "/unknown-ticket");
    let unbound = world.gateway.make_link(&["--partner", "acme"]);
    let first = ask(
        "POST",
        &format!("{unbound}/uploads?ticket=1001"),
        &["Upload-Complete: ?0", "Content-Disposition: attachment; filename=\"core.txt\""],
        b"",
    )
    .is(201);
    let second = ask("PUT", &format!("{unbound}/core.txt?ticket=1002"), &["Upload-Offset: 0"], b"x").is(201);
    assert_eq!(second.json()["ticket"], "1002");
    ask("HEAD", first.header("location"), &[], b"").has("upload-complete", "?0");
    // One that has come further is not begun again beside itself.
    let own = created(&link, "further.bin", &["Upload-Length: 4"], b"fo");
    let named = format!("{link}/further.bin");
    ask("PUT", &named, &["Upload-Offset: 0"], b"four").refuses(409, "offset").has("upload-offset", "2");
    ask("PUT", &named, &["Upload-Offset: 2"], b"ur").is(201).has("location", &own);
    // The draft by name, too.
    let own = created(&link, "draft.bin", &["Upload-Length: 4"], b"");
    let named = format!("{link}/draft.bin");
    ask("PUT", &named, &["Upload-Offset: 0", "Upload-Complete: ?1"], b"four").is(201).has("location", &own);
}

#[test]
fn chunked_body_is_bounded_by_its_range() {
    let world = SHARED.world();
    let link = link(&world);
    let own = created(&link, "range.bin", &[], &[7; 10]);
    let longer = chunked(&own, &["Content-Range: bytes 10-11/20"], &[7; 5], "");
    longer.refuses(400, "inconsistent-upload-length");
    ask("HEAD", &own, &[], b"").is(204).has("upload-offset", "10");
    let beyond = format!("Content-Range: bytes 10-{}/*", u64::MAX);
    chunked(&own, &[&beyond], b"x", "").refuses(400, "/problems/bad-request");
}

#[test]
fn partial_file_of_an_older_draft_stays_partial() {
    let world = SHARED.world();
    let url = format!("{}/old.bin", link(&world));
    let older = ["Upload-Draft-Interop-Version: 3", "Upload-Incomplete: ?1"];
    ask("PUT", &url, &older, b"half").refuses(400, "/problems/bad-request").names("content-type", "json");
    ask("HEAD", &url, &[], b"").is(404);
    ask("PUT", &url, &["Upload-Incomplete: ?0"], b"whole").is(201);
}

/// Each retry would be another file otherwise.
#[test]
fn non_utf8_name_is_not_replaced() {
    let world = SHARED.world();
    let link = link(&world);
    let line = "Content-Disposition: attachment; filename*=UTF-8''bad%FF.txt";
    ask("PUT", &format!("{link}/"), &[line], b"x").refuses(400, "/problems/bad-name");
    let mut raw = RawClient::request(
        "POST",
        &link,
        &["Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked"],
    );
    let head = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"bad\xff.txt\"\r\n\r\n";
    assert!(raw.chunk(&[&head[..], b"x\r\n--b--\r\n"].concat()));
    assert!(raw.chunk(b""));
    raw.answer().unwrap().refuses(400, "/problems/bad-name");
}
