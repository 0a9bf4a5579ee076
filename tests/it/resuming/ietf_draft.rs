//! Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): one row for each sentence that binds a server. `104` is
//! left out: the server library cannot send it, and the draft excuses a server that cannot. Sections are numbered as in -12,
//! the newest version compared.

mod rest;

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tests::{
    Answer, RawClient, Shared, World, ask, break_off, noise, repr_digest, sha256, side_by_side, until_offset,
};

/// Over HTTP/2 there is room for the windows of every row's connections at a time.
static SHARED: Shared =
    Shared::with(&["link_open_uploads = 1000", "max_upload_bytes = 50000000", "memory_bytes = 1073741824"]);

const PART: &str = "Content-Type: application/partial-upload";
/// Makes the gateway announce that it reads the body, so that the next request comes later.
const AWAITED: &str = "Expect: 100-continue";
const WHOLE: &str = "Upload-Complete: ?1";
const OPEN: &str = "Upload-Complete: ?0";

/// A sentence, and what shows that it holds.
struct Row(&'static str, fn(&Bench));

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// A world, and the link that the rows share.
struct Bench {
    _world: std::sync::Arc<World>,
    link: String,
}

impl Bench {
    /// An address of its own: equal files of one name would be one.
    fn target(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("{}/{}.bin", self.link, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A new upload without a byte ("careful creation"); answers its address.
    fn create(&self, headers: &[&str]) -> String {
        let answer = ask("PUT", &self.target(), &[&[OPEN], headers].concat(), b"");
        answer.is(201).header("location").to_owned()
    }
}

fn head(url: &str) -> Answer {
    ask("HEAD", url, &[], b"")
}

fn patch(url: &str, offset: usize, headers: &[&str], body: &[u8]) -> Answer {
    let offset = format!("Upload-Offset: {offset}");
    ask("PATCH", url, &[&[PART, offset.as_str()], headers].concat(), body)
}

/// It is the receipt of these bytes, and so the answer of the resource that the file was sent to.
#[track_caller]
fn is_receipt(answer: Answer, bytes: &[u8]) {
    let receipt = answer.is(201).has("upload-complete", "?1").json();
    assert_eq!(
        (receipt["size"].as_u64(), receipt["sha256"].as_str()),
        (Some(bytes.len() as u64), Some(&*sha256(bytes)))
    );
}

const TEN: &[u8] = b"0123456789";

const STATE: &[Row] = &[
    Row("4.1.1 offset: what is acknowledged never goes back", |bench| {
        let url = bench.create(&[]);
        patch(&url, 0, &[OPEN], b"01234").is(204).has("upload-offset", "5");
        for wrong in [0, 4, 6] {
            patch(&url, wrong, &[OPEN], b"x").is(409);
            head(&url).has("upload-offset", "5");
        }
    }),
    Row(
        "4.1.1 offset: an integer, its parameters passed over; anything else is as if it were missing",
        |bench| {
            let url = bench.create(&[]);
            for wrong in ["-1", "1.0", "x", "\"0\"", "9999999999999999"] {
                ask("PATCH", &url, &[PART, OPEN, &format!("Upload-Offset: {wrong}")], b"x")
                    .refuses(400, "/bad-request");
            }
            ask("PATCH", &url, &[PART, OPEN, "Upload-Offset: 0", "Upload-Offset: 0"], b"x")
                .refuses(400, "/bad-request");
            ask("PATCH", &url, &[PART, OPEN], b"x").refuses(400, "/bad-request");
            ask("PATCH", &url, &[PART, "Upload-Complete: ?0;a", "Upload-Offset: 0;b=1"], b"0").is(204);
            head(&url).has("upload-offset", "1");
        },
    ),
    Row(
        "4.1.2 completeness: only the client completes, also when the offset has reached the length",
        |bench| {
            let url = bench.create(&["Upload-Length: 10"]);
            patch(&url, 0, &[OPEN], TEN).is(204).has("upload-complete", "?0").has("upload-offset", "10");
            head(&url).has("upload-complete", "?0").has("upload-offset", "10");
            is_receipt(patch(&url, 10, &[WHOLE], b""), TEN);
            head(&url).has("upload-complete", "?1").has("upload-offset", "10");
        },
    ),
    Row("4.1.2 completeness: a value that cannot be read completes nothing", |bench| {
        for wrong in ["Upload-Complete: 1", "Upload-Complete: true", "Upload-Complete: ?2"] {
            ask("PUT", &bench.target(), &[wrong], b"01").refuses(400, "/bad-request").lacks("location");
            let url = bench.create(&[]);
            patch(&url, 0, &[wrong], b"01").refuses(400, "/bad-request");
            head(&url).has("upload-complete", "?0").has("upload-offset", "0");
        }
    }),
    Row("4.1.3 length: told by Upload-Length, or by Upload-Complete: ?1 and Content-Length", |bench| {
        head(&bench.create(&["Upload-Length: 10"])).has("upload-length", "10");
        let url = bench.create(&[]);
        head(&url).lacks("upload-length");
        patch(&url, 0, &[OPEN, "Upload-Length: 10"], b"01234").is(204);
        head(&url).has("upload-length", "10");
        let named = bench.target();
        break_off("PUT", &named, &[WHOLE], 10, b"012");
        until_offset(&named, &[], 3).has("upload-length", "10").has("upload-complete", "?0");
    }),
    Row("4.1.3 length: told twice, it must be the same", |bench| {
        let kind = "inconsistent-upload-length";
        ask("PUT", &bench.target(), &[WHOLE, "Upload-Length: 11"], TEN).refuses(400, kind).lacks("location");
        ask("PUT", &bench.target(), &[OPEN, "Upload-Length: 9"], TEN).refuses(400, kind).lacks("location");
        let url = bench.create(&["Upload-Length: 10"]);
        patch(&url, 0, &[OPEN, "Upload-Length: 11"], b"x").refuses(400, kind);
        patch(&url, 0, &[WHOLE], b"012345678").refuses(400, kind);
        is_receipt(patch(&url, 0, &[WHOLE, "Upload-Length: 10"], TEN), TEN);
    }),
    Row("4.1.3 length: any other value of Upload-Length is ignored", |bench| {
        for wrong in ["-1", "1.5", "x", "\"10\"", "1000000000000000"] {
            let line = format!("Upload-Length: {wrong}");
            let url = bench.create(&[&line]);
            head(&url).lacks("upload-length");
            patch(&url, 0, &[OPEN, &line], b"01").is(204);
            is_receipt(patch(&url, 2, &[WHOLE, &line], b"23456789"), TEN);
        }
    }),
    Row("4.1.4 limits: OPTIONS has Upload-Limit, and Accept-Patch with the media type", |bench| {
        for url in [bench.link.clone(), format!("{}/a.bin", bench.link), format!("{}/uploads", bench.link)] {
            ask("OPTIONS", &url, &[], b"")
                .is(200)
                .names("accept-patch", "application/partial-upload")
                .has("upload-limit", "max-size=50000000, max-age=172800");
        }
    }),
    Row("4.1.4 limits: OPTIONS says which draft is spoken", |bench| {
        let methods = ask("OPTIONS", &bench.link, &[], b"").json()["methods"].to_string();
        assert!(methods.contains("draft-ietf-httpbis-resumable-upload-12"), "{methods}");
    }),
    Row("4.1.4 limits: 413 has Upload-Limit", |bench| {
        let answer = ask("PUT", &bench.target(), &[OPEN, "Upload-Length: 50000001"], b"");
        answer.refuses(413, "/too-large").has("upload-limit", "max-size=50000000").lacks("location");
        let url = bench.create(&[]);
        let answer = patch(&url, 0, &[OPEN, "Upload-Length: 50000001"], b"x");
        answer.refuses(413, "/too-large").has("upload-limit", "max-size=50000000");
        head(&url).is(204).has("upload-offset", "0").lacks("upload-length");
    }),
    Row("4.1.4 limits: 413 has Upload-Limit, whenever it is found", |bench| {
        let bytes = noise(50_000_001, 54);
        let chunked = ["Transfer-Encoding: chunked", WHOLE];
        for headers in [&[WHOLE][..], &[OPEN], &chunked] {
            let answer = ask("PUT", &bench.target(), headers, &bytes).refuses(413, "/too-large");
            answer.has("upload-limit", "max-size=50000000").has("upload-complete", "?0");
        }
    }),
    Row("4.1.4 limits: do not shrink, but for the age", |bench| {
        let url = bench.create(&[]);
        for answer in [head(&url), patch(&url, 0, &[OPEN], b"0"), head(&url)] {
            let limits = answer.header("upload-limit");
            let age =
                limits.strip_prefix("max-size=50000000, max-age=").unwrap_or_else(|| panic!("{answer:?}"));
            assert!((172_700..=172_800).contains(&age.parse::<u32>().unwrap()), "{limits}");
        }
    }),
];

const CREATION: &[Row] = &[
    Row("4.2 creation: by any method that has content", |bench| {
        for (method, url) in [
            ("PUT", bench.target()),
            ("PUT", bench.link.clone()),
            ("POST", bench.link.clone()),
            ("POST", format!("{}/", bench.link)),
            ("POST", format!("{}/uploads", bench.link)),
        ] {
            let named = format!("Content-Disposition: inline; filename=\"{}\"", bench.target().len());
            let answer = ask(method, &url, &[OPEN, "Upload-Draft-Interop-Version: 8", &named], b"01234");
            let answer = answer.is(201).has("upload-offset", "5").has("upload-complete", "?0");
            let upload = answer.header("location").to_owned();
            head(&upload).is(204).has("upload-offset", "5");
            ask("DELETE", &upload, &[], b"").is(204);
        }
    }),
    Row("4.2 creation: the whole file at once is answered by the resource itself", |bench| {
        is_receipt(ask("PUT", &bench.target(), &[WHOLE], TEN), TEN);
        let named = "Content-Disposition: inline; filename=\"x\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.bin";
        let answer = ask("POST", &bench.link, &[WHOLE, named], TEN);
        assert_eq!(answer.json()["name"], "größe 1.bin");
        is_receipt(answer, TEN);
    }),
    Row("4.2 creation: unfinished, 201 with Location and Upload-Limit", |bench| {
        for body in [&b""[..], TEN] {
            let answer = ask("PUT", &bench.target(), &[OPEN], body);
            let answer = answer.is(201).has("upload-complete", "?0").names("upload-limit", "max-size=");
            assert!(answer.header("location").starts_with(&format!("{}/uploads/", bench.link)), "{answer:?}");
        }
    }),
    Row("4.2 creation: an empty file", |bench| {
        is_receipt(ask("PUT", &bench.target(), &[WHOLE], b""), b"");
    }),
    Row(
        "4.2 creation: of a body that breaks off as much as possible is kept, and it is not complete",
        |bench| {
            let (target, bytes) = (bench.target(), noise(10_000_000, 51));
            break_off("PUT", &target, &[WHOLE], bytes.len(), &bytes[..9_000_000]);
            let at = until_offset(&target, &[], 9_000_000)
                .has("upload-complete", "?0")
                .header("location")
                .to_owned();
            is_receipt(patch(&at, 9_000_000, &[WHOLE], &bytes[9_000_000..]), &bytes);
        },
    ),
    Row(
        "4.2 creation: Upload-Complete asks for it; a client of a draft that does not say it is told",
        |bench| {
            for headers in [&["Upload-Draft-Interop-Version: 8"][..], &[PART]] {
                let answer = ask("POST", &format!("{}/uploads", bench.link), headers, TEN);
                answer.refuses(400, "/bad-request").lacks("location");
            }
        },
    ),
    Row("4.2 creation, 4.4 append: a refusal says that nothing is complete", |bench| {
        let (url, done) = (bench.create(&[]), bench.create(&[]));
        is_receipt(patch(&done, 0, &[WHOLE], TEN), TEN);
        let (slash, uploads) = (format!("{}/a%2Fb", bench.link), format!("{}/uploads", bench.link));
        let unknown = bench.link.replace("/u/", "/u/x");
        let other = format!("{}?ticket=9", bench.target());
        let wrong = format!("Content-Digest: {}", repr_digest(b"else"));
        for (method, url, headers, status) in [
            ("PUT", &slash, &[OPEN][..], 400),
            ("PUT", &unknown, &[WHOLE], 404),
            ("POST", &unknown, &[OPEN], 404),
            ("PUT", &other, &[WHOLE], 404),
            ("PUT", &bench.target(), &[WHOLE, "Upload-Length: 11"], 400),
            ("PUT", &bench.target(), &[WHOLE, "Upload-Length: 50000001"], 400),
            ("PUT", &bench.target(), &["Upload-Complete: 1"], 400),
            ("PUT", &bench.target(), &[WHOLE, "Repr-Digest: nonsense"], 400),
            ("PUT", &bench.target(), &[WHOLE, &wrong], 422),
            ("POST", &uploads, &["Upload-Draft-Interop-Version: 8"], 400),
            ("PATCH", &format!("{url}x"), &[PART, OPEN, "Upload-Offset: 0"], 404),
            ("PATCH", &url, &[PART, OPEN], 400),
            ("PATCH", &url, &[PART, "Upload-Offset: 0"], 400),
            ("PATCH", &url, &["Content-Type: text/plain", OPEN, "Upload-Offset: 0"], 415),
            ("PATCH", &url, &[PART, OPEN, "Upload-Offset: 7"], 409),
            ("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0", "Upload-Length: 11"], 400),
            ("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0", &wrong], 422),
            ("PATCH", &done, &[PART, WHOLE, "Upload-Offset: 0"], 409),
            ("PATCH", &done, &[PART, WHOLE, "Upload-Offset: 10"], 400),
        ] {
            ask(method, url, headers, TEN).is(status).has("upload-complete", "?0");
        }
        // Answers to anything but a creation or an append carry no such header, nor do other protocols'.
        ask("GET", &format!("{url}x"), &["Upload-Draft-Interop-Version: 8"], b"")
            .is(404)
            .lacks("upload-complete");
        ask("PUT", &slash, &[], b"x").is(400).lacks("upload-complete");
    }),
    Row("4.2 creation: two are two", |bench| {
        assert_ne!(bench.create(&[]), bench.create(&[]));
    }),
    Row("4.3 offset: HEAD and GET have offset, completeness, length, limits, and are not stored", |bench| {
        let url = bench.create(&["Upload-Length: 10"]);
        patch(&url, 0, &[OPEN], b"01234").is(204);
        for (method, status) in [("HEAD", 204), ("GET", 200)] {
            ask(method, &url, &[], b"")
                .is(status)
                .has("upload-offset", "5")
                .has("upload-complete", "?0")
                .has("upload-length", "10")
                .names("upload-limit", "max-age=")
                .has("cache-control", "no-store");
        }
        patch(&url, 5, &[WHOLE], b"56789").is(201);
        for method in ["HEAD", "GET"] {
            let answer = ask(method, &url, &[], b"").has("upload-offset", "10").has("upload-complete", "?1");
            let answer = answer.has("upload-length", "10").has("cache-control", "no-store");
            answer.has("upload-limit", "max-size=50000000");
        }
    }),
    Row("4.3 offset: the one that was told is accepted, though an older request still hangs", |bench| {
        let (url, bytes) = (bench.create(&[]), noise(10_000_000, 52));
        let mut hanging =
            RawClient::request("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0", "Content-Length: 10000000"]);
        assert!(hanging.send(&bytes[..9_000_000]));
        // One part of 8 MiB is durable as soon as a byte follows it.
        let offset = 8_388_608;
        until_offset(&url, &[], offset);
        is_receipt(patch(&url, offset, &[WHOLE], &bytes[offset..]), &bytes);
        assert!(hanging.answer().is_none_or(|answer| answer.status == 409));
    }),
];

const APPEND: &[Row] = &[
    Row(
        "4.4 append: 204 with Upload-Complete: ?0 until the end, then the answer of the resource itself",
        |bench| {
            let (url, bytes) = (bench.create(&[]), noise(9_000_000, 53));
            let cuts = [0, 1, 70_000, 6_000_000, 6_000_000, 8_999_999];
            for pair in cuts.windows(2) {
                let answer = patch(&url, pair[0], &[OPEN], &bytes[pair[0]..pair[1]]);
                answer.is(204).has("upload-complete", "?0").has("upload-offset", &pair[1].to_string());
            }
            is_receipt(patch(&url, 8_999_999, &[WHOLE], &bytes[8_999_999..]), &bytes);
        },
    ),
    Row("4.4 append: 409 with the right offset, and both in the problem", |bench| {
        let url = bench.create(&[]);
        patch(&url, 0, &[OPEN], b"01234").is(204);
        let answer =
            patch(&url, 7, &[WHOLE], b"789").refuses(409, "http-problem-types#mismatching-upload-offset");
        let answer = answer.has("upload-offset", "5").has("upload-complete", "?0");
        assert_eq!(
            (&answer.json()["expected-offset"], &answer.json()["provided-offset"]),
            (&json!(5), &json!(7))
        );
    }),
    Row(
        "4.4 append: a complete upload is not modified; bytes after its end are an inconsistent length",
        |bench| {
            let url = bench.create(&[]);
            is_receipt(patch(&url, 0, &[WHOLE], TEN), TEN);
            patch(&url, 10, &[WHOLE], b"x").refuses(400, "inconsistent-upload-length");
            patch(&url, 10, &[OPEN], b"x").refuses(400, "inconsistent-upload-length");
            patch(&url, 0, &[WHOLE], TEN)
                .refuses(409, "mismatching-upload-offset")
                .has("upload-offset", "10");
            head(&url).has("upload-offset", "10");
        },
    ),
    Row("4.4 append: whoever lost the last answer has it again", |bench| {
        let url = bench.create(&[]);
        let first = patch(&url, 0, &[WHOLE], TEN).is(201).json();
        let again = patch(&url, 10, &[WHOLE], b"").is(201).has("upload-complete", "?1").json();
        assert_eq!((&first["id"], &first["sha256"]), (&again["id"], &again["sha256"]));
    }),
    Row("4.4 append: Upload-Complete is required", |bench| {
        let url = bench.create(&[]);
        ask("PATCH", &url, &[PART, "Upload-Offset: 0"], b"x").refuses(400, "/bad-request");
        ask("PATCH", &url, &["Content-Type: application/octet-stream", "Upload-Offset: 0"], b"x")
            .refuses(400, "/bad-request");
        head(&url).has("upload-offset", "0").has("upload-complete", "?0");
    }),
    Row("4.4 append: 415 for another media type, but for interop version 5, which had none", |bench| {
        let url = bench.create(&[]);
        for more in [&["Content-Type: text/plain"][..], &[], &["Upload-Draft-Interop-Version: 6"]] {
            let headers = [&[OPEN, "Upload-Offset: 0"], more].concat();
            ask("PATCH", &url, &headers, b"x")
                .refuses(415, "/unsupported-media-type")
                .has("accept-patch", "application/partial-upload");
        }
        head(&url).has("upload-offset", "0");
        let old = "Upload-Draft-Interop-Version: 5";
        is_receipt(ask("PATCH", &url, &[old, WHOLE, "Upload-Offset: 0"], TEN), TEN);
    }),
    Row("4.4 append: past the length it is refused, and cannot be resumed", |bench| {
        for (offset, complete) in [(0, OPEN), (0, WHOLE), (4, WHOLE)] {
            let url = bench.create(&["Upload-Length: 10"]);
            patch(&url, 0, &[OPEN], &TEN[..offset]).is(204);
            let more = [&TEN[offset..], b"x"].concat();
            patch(&url, offset, &[complete], &more).refuses(400, "inconsistent-upload-length");
            patch(&url, offset, &[WHOLE], &TEN[offset..]).refuses(410, "/upload-gone");
        }
        // One that is at another offset is not exceeded by what would not fit there.
        let url = bench.create(&["Upload-Length: 10"]);
        patch(&url, 4, &[WHOLE], TEN).refuses(409, "mismatching-upload-offset");
        is_receipt(patch(&url, 0, &[WHOLE], TEN), TEN);
        let url = bench.create(&["Upload-Length: 10"]);
        let head_lines = [PART, OPEN, "Upload-Offset: 0", "Transfer-Encoding: chunked"];
        let mut raw = RawClient::request("PATCH", &url, &head_lines);
        raw.chunk(b"0123456789x");
        raw.chunk(b"");
        raw.answer().unwrap().refuses(400, "inconsistent-upload-length");
        head(&url).is(410);
        patch(&url, 0, &[WHOLE], TEN).refuses(410, "/upload-gone");
    }),
    Row("4.4 append: of a body that breaks off as much as possible is kept", |bench| {
        let url = bench.create(&[]);
        break_off("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0"], 10, b"0123");
        until_offset(&url, &[], 4).has("upload-complete", "?0");
        is_receipt(patch(&url, 4, &[WHOLE], b"456789"), TEN);
    }),
];

fn check(rows: &[Row]) {
    let world = SHARED.world();
    let link = world.link("acme");
    let bench = Bench { _world: world, link };
    side_by_side(6, rows, async |row: &Row| (row.1)(&bench));
}

#[test]
fn state() {
    check(STATE);
}

#[test]
fn creation_and_offset() {
    check(CREATION);
}

#[test]
fn append() {
    check(APPEND);
}

#[test]
fn cancellation_concurrency_and_digests() {
    check(rest::ROWS);
}

#[test]
fn clients_of_every_draft() {
    check(rest::VERSIONS);
}
