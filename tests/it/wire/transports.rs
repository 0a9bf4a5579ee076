//! The core of the interface over every transport: HTTP/1.1 and HTTP/2, plain and TLS, in one table. A run with
//! `WEIGHBRIDGE_TEST_TRANSPORT` uses one of them for every other test; these use all four.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tests::{RawClient, Transport, World, curl, curl_raw, noise, piped, sha256, side_by_side};

/// A link of its own on ticket 1002 of `acme`, with every right on its uploads.
fn link(world: &World, more: &[&str]) -> String {
    let all = ["--partner", "acme", "--ticket", "1002", "--rights", "list,remove"];
    world.gateway.make_link(&[&all, more].concat())
}

/// Runs this against a world for each transport.
fn over_each(limits: &[&str], check: impl AsyncFn(&World, Transport) + Sync) {
    side_by_side(2, &Transport::ALL, async |&transport| {
        check(&World::over(transport, limits), transport).await
    });
}

#[test]
fn known_and_unknown_lengths() {
    over_each(&[], async |world, transport| {
        let (url, bytes) = (format!("{}/", link(world, &[])), noise(9_000_000, 1));
        let path = world.path("known.bin", &bytes);
        let version = ["-o", "/dev/null", "-w", "%{http_version}"];
        let health = format!("{}/healthz", world.gateway.url);
        let spoken = curl(&[&version[..], &[&health]].concat()).body;
        assert_eq!(spoken, if transport.is_http2() { "2" } else { "1.1" }, "it is what it says");
        assert_eq!(world.gateway.url.starts_with("https:"), transport.is_tls());

        let known = curl(&["-T", &path, &url]);
        let (pipe, mut cat) = piped(&path);
        let named = format!("{url}unknown.bin");
        let unknown = curl_raw(&["-H", "Accept: application/json", "-T", "-", &named], pipe);
        cat.wait().unwrap();
        for (answer, name) in [(known, "known.bin"), (unknown, "unknown.bin")] {
            assert_eq!(answer.status, 201, "{answer:?}");
            let receipt = answer.json();
            assert_eq!((&receipt["name"], &receipt["sha256"]), (&name.into(), &sha256(&bytes).into()));
            assert!(answer.headers["location"].starts_with(&url), "{answer:?}");
            assert_eq!(answer.headers.contains_key("strict-transport-security"), transport.is_tls());
        }

        let two = [format!("file=@{path}"), format!("file=@{}", world.path("b.log", b"b"))];
        let form = curl(&["-F", &two[0], "-F", &two[1], url.trim_end_matches('/')]);
        assert_eq!(form.status, 201, "{form:?}");
        let names: Vec<_> =
            form.json()["uploads"].as_array().unwrap().iter().map(|u| u["name"].clone()).collect();
        assert_eq!(names, ["known.bin", "b.log"]);
        world.until_at_rest();
    });
}

#[test]
fn early_refusals() {
    over_each(&[], async |world, transport| {
        let small = link(world, &["--max-bytes", "1000"]);
        let file = world.path("large.bin", &noise(40_000_000, 2));
        for (url, status, kind) in [
            (format!("{}/u/unknown/a", world.gateway.url), 404, "/problems/unknown-link"),
            (format!("{small}/a"), 413, "/problems/too-large"),
            (format!("{}/a?ticket=9", link(world, &[])), 404, "/problems/unknown-ticket"),
        ] {
            let refused = curl(&["--expect100-timeout", "60", "-T", &file, &url]);
            assert_eq!((refused.status, refused.problem().as_str()), (status, kind), "{refused:?}");
            // HTTP/2 has no reason to wait; the answer still arrives while the client is writing, and stops it.
            let heads = ["-H", "Expect:", "-o", "/dev/null", "-w", "%{size_upload}"];
            let sent = curl(&[&heads[..], &["-T", &file, &url]].concat());
            assert_eq!(sent.status, status, "{sent:?}");
            let bytes: u64 = sent.body.parse().unwrap();
            assert!(!transport.is_http2() || bytes < 40_000_000, "{bytes} bytes were sent for nothing");
        }
        // The limit is met only in the middle.
        let (pipe, mut cat) = piped(&file);
        let answer = curl_raw(&["-H", "Accept: application/json", "-T", "-", &format!("{small}/a")], pipe);
        let _ = cat.wait();
        assert_eq!((answer.status, answer.problem().as_str()), (413, "/problems/too-large"), "{answer:?}");
        world.until_at_rest();
        assert_eq!(world.stored().await, [""; 0]);
    });
}

#[test]
fn upload_is_a_resource() {
    over_each(&[], async |world, _| {
        let link = link(world, &[]);
        let sent = curl(&["-T", &world.path("r.log", b"resource"), &format!("{link}/")]);
        assert_eq!(sent.status, 201, "{sent:?}");
        let location = sent.headers["location"].as_str();
        let head = curl(&["-I", location]);
        for (name, value) in [("upload-offset", "8"), ("upload-complete", "?1"), ("upload-length", "8")] {
            assert_eq!(head.headers.get(name).map(String::as_str), Some(value), "{name}: {head:?}");
        }
        assert_eq!(curl(&[location]).json()["sha256"], sha256(b"resource"));
        assert_eq!(curl(&["-X", "DELETE", location]).status, 204);
        let gone = curl(&[location]);
        assert!([404, 410].contains(&gone.status) || gone.json()["state"] == "removed", "{gone:?}");
        assert_eq!(curl(&["-X", "LOCK", &link]).status, 405);
    });
}

#[test]
fn digests() {
    over_each(&[], async |world, _| {
        let url = format!("{}/", link(world, &[]));
        let file = world.path("d.log", b"digests");
        let (right, zero) = ("ESvKwT3Ixb8rHTj2d1sZMeG7izlaaMC0KZIl414CbIE=", "A".repeat(43) + "=");
        for (digest, status) in [(zero.as_str(), 422), (right, 201)] {
            let header = format!("Repr-Digest: sha-256=:{digest}:");
            let answer = curl(&["-H", &header, "-T", &file, &url]);
            assert_eq!(answer.status, status, "{answer:?}");
        }
    });
}

#[test]
fn abandoned_upload_is_removed() {
    over_each(&[], async |world, _| {
        let url = format!("{}/half.bin", link(world, &[]));
        let path = world.path("half.bin", &noise(20_000_000, 3));
        let mut sender = tests::curl_command(&["-sS", "--limit-rate", "4M", "-T", &path, &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        world.until_open(1);
        sender.kill().unwrap();
        sender.wait().unwrap();
        world.until_at_rest();
        world.gateway.sweep();
        assert_eq!(world.stored().await, [""; 0]);
        assert_eq!(world.sandbox.listed("1002").len(), 0);
        let again = curl(&["-T", &path, &url]);
        assert_eq!(again.status, 201, "{again:?}");
    });
}

#[test]
fn staff_downloads_and_ranges() {
    over_each(&[], async |world, _| {
        let bytes = noise(3_000_000, 4);
        let receipt = world.sandbox.sent(&link(world, &[]), "core.bin", &bytes);
        let id = receipt["id"].as_str().unwrap();
        let target = world.sandbox.scratch().join("fetched");
        let fetch = |range: &str| {
            let header = format!("Range: {range}");
            let to = ["-H", &header, "-o", target.to_str().unwrap()];
            let answer = world.sandbox.staff(&format!("/uploads/{id}/content?via=gateway"), &to);
            (answer, std::fs::read(&target).unwrap_or_default())
        };
        for (range, status, part) in [
            ("bytes=0-", 206, &bytes[..]),
            ("bytes=1000-1999999", 206, &bytes[1000..2_000_000]),
            ("bytes=-5", 206, &bytes[2_999_995..]),
        ] {
            let (answer, got) = fetch(range);
            assert!(answer.status == status && got == part, "{range}: {answer:?}");
        }
        assert_eq!(fetch("bytes=3000000-").0.status, 416);
        // As a person of support does it, with `wb`.
        let output = world.sandbox.wb(&["get", id, "-o", "downloads"]);
        assert!(output.status.success(), "{}", tests::printed(&output));
        let saved = world.sandbox.scratch().join("downloads");
        let mut found = Vec::new();
        files(&saved, &mut found);
        assert_eq!(found, [bytes]);
    });
}

/// What every file below a folder holds.
fn files(folder: &std::path::Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(std::fs::read(path).unwrap()) }
    }
}

/// `100 Continue` is of HTTP/1.1: here alone, plain and over TLS.
#[test]
fn expect_100_continue() {
    side_by_side(2, &[Transport::Http1, Transport::Tls], async |&transport| {
        let world = World::over(transport, &[]);
        let expect = ["Content-Length: 5", "Expect: 100-continue"];
        let mut wanted = RawClient::request("PUT", &format!("{}/a", link(&world, &[])), &expect);
        wanted.until_continued();
        assert!(wanted.send(b"01234"));
        assert_eq!(wanted.answer().unwrap().status, 201);
        let mut refused = RawClient::request("PUT", &format!("{}/u/unknown/a", world.gateway.url), &expect);
        assert_eq!(refused.answer().unwrap().status, 404);
        assert!(!refused.continued);
        let mut slow = RawClient::request(
            "PUT",
            &format!("{}/u/unknown/a", world.gateway.url),
            &["Content-Length: 9000000"],
        );
        assert!(slow.send(&noise(9_000_000, 5)), "a client that writes first may write");
        assert_eq!(slow.answer().unwrap().status, 404);
    });
}

/// Senders at the minimum rate are ended over every transport, and their connections with them.
#[test]
fn stalled_body_times_out() {
    over_each(&["min_rate_window = \"1s\"", "min_rate = 1000000"], async |world, _| {
        let begun = Instant::now();
        let path = world.path("slow.bin", &noise(9_000_000, 6));
        let url = format!("{}/", link(world, &[]));
        let answer = curl(&["--limit-rate", "50k", "-T", &path, &url]);
        assert_eq!((answer.status, answer.problem().as_str()), (408, "/problems/too-slow"), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(60));
        world.until_at_rest();
    });
}

#[test]
fn oversized_head_gets_a_problem() {
    over_each(&[], async |world, _| {
        let large: Vec<_> = (0..40).map(|n| format!("X-{n}: {}", "y".repeat(1000))).collect();
        let headers: Vec<_> = large.iter().flat_map(|header| ["-H", header]).collect();
        for url in [format!("{}/healthz", world.gateway.url), format!("{}/a", link(world, &[]))] {
            let answer = curl(&[&headers[..], &[&url]].concat());
            assert_eq!(answer.status, 431, "{answer:?}");
            assert_eq!(answer.json()["type"], "/problems/bad-request");
            assert!(answer.body.contains("32768 bytes"), "{answer:?}");
        }
    });
}

/// A `POST` that means `HEAD` is a `POST` on the wire: its answer ends, and announces no body that does not come.
#[test]
fn overridden_head_is_answered_whole() {
    over_each(&[], async |world, _| {
        let url = link(world, &[]);
        let unknown = format!("{url}/uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for (url, protocol) in [(&url, "X: y"), (&unknown, "X: y"), (&unknown, "Tus-Resumable: 1.0.0")] {
            let overridden = ["-d", "x", "-H", "X-HTTP-Method-Override: HEAD", "-H", protocol, url];
            let (meant, head) = (curl(&overridden), curl(&["-I", "-H", protocol, url]));
            assert_eq!((meant.exit, meant.status), (0, head.status), "{meant:?}");
            assert_eq!(meant.body, "", "{meant:?}");
        }
    });
}
