//! tus 1.0.0: one row for each sentence that binds a server, named after its section.

mod extensions;

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::{
    Answer, RawClient, Shared, World, ask, break_off, eventually, noise, object, sha256, side_by_side,
    until_offset,
};

/// Over HTTP/2 there is room for the windows of every row's connections at a time.
static SHARED: Shared =
    Shared::with(&["link_open_uploads = 1000", "max_upload_bytes = 50000000", "memory_bytes = 1073741824"]);
static SHORT: Shared = Shared::with(&["resume_window = \"2s\"", "link_open_uploads = 1000"]);

const TUS: &str = "Tus-Resumable: 1.0.0";
/// Makes the gateway announce that it reads the body, so that the next request comes later.
const AWAITED: &str = "Expect: 100-continue";
const BYTES: &str = "Content-Type: application/offset+octet-stream";

/// A sentence, and what shows that it holds.
struct Row(&'static str, fn(&Bench));

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// A world, and the address for new uploads in it.
struct Bench {
    world: std::sync::Arc<World>,
    uploads: String,
}

impl Bench {
    fn of(shared: &Shared) -> Self {
        let world = shared.world();
        let uploads = format!("{}/uploads", world.link("acme"));
        Self { world, uploads }
    }

    fn post(&self, headers: &[&str], body: &[u8]) -> Answer {
        ask("POST", &self.uploads, &[&[TUS], headers].concat(), body)
    }

    /// A new upload with these headers; answers its address. Its name is its own: equal files would be one.
    fn create(&self, headers: &[&str]) -> String {
        let named = headers.iter().any(|line| line.starts_with("Upload-Metadata"));
        let name = own_name();
        let more: &[&str] = if named { &[] } else { &[&name] };
        self.post(&[headers, more].concat(), b"").is(201).header("location").to_owned()
    }

    /// One of 10 bytes.
    fn ten(&self) -> String {
        self.create(&["Upload-Length: 10"])
    }

    /// The bytes that rest for an upload.
    fn stored(&self, url: &str) -> Vec<u8> {
        let receipt = ask("GET", url, &[], b"").is(200).json();
        let key = format!("1001/{}/{}", receipt["id"].as_str().unwrap(), receipt["name"].as_str().unwrap());
        // A row is within a runtime already.
        let sandbox = &self.world.sandbox;
        std::thread::scope(|threads| {
            let read = threads.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async { object(&sandbox.bucket(None).await, &key).await })
            });
            read.join().unwrap()
        })
    }
}

/// `Upload-Metadata` with a name that no other row uses.
fn own_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}.bin", NEXT.fetch_add(1, Ordering::Relaxed));
    format!("Upload-Metadata: filename {}", STANDARD.encode(name))
}

fn head(url: &str) -> Answer {
    ask("HEAD", url, &[TUS], b"")
}

fn patch(url: &str, offset: usize, headers: &[&str], body: &[u8]) -> Answer {
    let offset = format!("Upload-Offset: {offset}");
    ask("PATCH", url, &[&[TUS, BYTES, offset.as_str()], headers].concat(), body)
}

fn delete(url: &str) -> Answer {
    ask("DELETE", url, &[TUS], b"")
}

const CORE: &[Row] = &[
    Row("headers, Upload-Offset: a non-negative integer", |bench| {
        let url = bench.ten();
        for wrong in ["-1", "1.5", "x", "", "0x0", "+0", "99999999999999999999"] {
            let line = format!("Upload-Offset: {wrong}");
            let line = if wrong.is_empty() { "Upload-Offset;" } else { &line };
            ask("PATCH", &url, &[TUS, BYTES, line], b"01234").refuses(400, "/bad-request");
        }
        ask("PATCH", &url, &[TUS, BYTES], b"01234").refuses(400, "/bad-request");
        head(&url).has("upload-offset", "0");
    }),
    Row("headers, Upload-Length: a non-negative integer", |bench| {
        for wrong in ["-1", "1.5", "x", "1e3"] {
            bench
                .post(&[&format!("Upload-Length: {wrong}")], b"")
                .refuses(400, "/bad-request")
                .lacks("location");
        }
    }),
    Row("headers, Tus-Resumable: in every response", |bench| {
        let url = bench.ten();
        for answer in [
            bench.post(&["Upload-Length: 1"], b""),
            bench.post(&[], b""),
            head(&url),
            head(&format!("{url}0")),
            patch(&url, 3, &[], b"x"),
            patch(&url, 0, &[], b"x"),
            delete(&url),
            patch(&url, 1, &[], b"x"),
        ] {
            answer.has("tus-resumable", "1.0.0");
        }
    }),
    Row(
        "headers, Tus-Resumable: another version is answered 412 with Tus-Version, and not processed",
        |bench| {
            let url = bench.ten();
            for version in ["Tus-Resumable: 0.2.2", "Tus-Resumable: 2.0.0", "Tus-Resumable: 1.0"] {
                let at = "Upload-Offset: 0";
                for answer in [
                    ask("POST", &bench.uploads, &[version, "Upload-Length: 1"], b"").lacks("location"),
                    ask("PATCH", &url, &[version, BYTES, at], b"01234"),
                    ask("HEAD", &url, &[version], b"").lacks("upload-offset"),
                    ask("DELETE", &url, &[version], b""),
                ] {
                    answer.is(412).has("tus-version", "1.0.0").has("tus-resumable", "1.0.0");
                }
            }
            head(&url).is(200).has("upload-offset", "0");
        },
    ),
    Row("headers, X-HTTP-Method-Override: is the method", |bench| {
        let url = bench.ten();
        let over = |method: &str, more: &[&str], body: &[u8]| {
            let line = format!("X-HTTP-Method-Override: {method}");
            ask("POST", &url, &[&[TUS, line.as_str()], more].concat(), body)
        };
        over("PATCH", &[BYTES, "Upload-Offset: 0"], b"01234").is(204).has("upload-offset", "5");
        let line = "X-HTTP-Method-Override: HEAD";
        for method in ["GET", "PUT", "POST"] {
            ask(method, &url, &[TUS, line], b"").is(200).has("upload-offset", "5");
        }
        ask("POST", &url, &[TUS, "X-HTTP-Method-Override: {"], b"").refuses(400, "/bad-request");
        over("DELETE", &[], b"").is(204);
        head(&url).is(410);
    }),
    Row("headers, Tus-Resumable: must be in every request; bytes of unknown meaning end nothing", |bench| {
        let url = bench.ten();
        for line in ["Upload-Offset: 0", "Upload-Offset: 5"] {
            ask("PATCH", &url, &[BYTES, line], b"0123456789").refuses(400, "/bad-request");
        }
        head(&url).is(200).has("upload-offset", "0");
    }),
    Row("HEAD: Upload-Offset, even if it is 0 or the upload is whole", |bench| {
        let url = bench.ten();
        head(&url).is(200).has("upload-offset", "0");
        patch(&url, 0, &[], b"0123456789").is(204);
        head(&url).is(200).has("upload-offset", "10").has("upload-length", "10");
    }),
    Row("HEAD: Upload-Length where the size is known", |bench| {
        head(&bench.ten()).has("upload-length", "10").lacks("upload-defer-length");
    }),
    Row("HEAD: 404, 410 or 403 without Upload-Offset where there is no such upload", |bench| {
        let url = bench.ten();
        head(&format!("{url}0")).is(404).lacks("upload-offset");
        // Another link's upload does not exist here.
        let other = url.replace(&bench.world.link("acme"), &bench.world.link("globex"));
        head(&other).is(404).lacks("upload-offset");
        patch(&other, 0, &[], b"0123456789").is(404).lacks("upload-offset");
        delete(&other).is(404);
        head(&url).is(200);
    }),
    Row("HEAD: Cache-Control: no-store", |bench| {
        let url = bench.ten();
        head(&url).names("cache-control", "no-store");
        patch(&url, 0, &[], b"0123456789").is(204);
        head(&url).names("cache-control", "no-store");
    }),
    Row("PATCH: the bytes are applied at the offset, wherever they are cut", |bench| {
        let (url, bytes) = (bench.create(&["Upload-Length: 9000000"]), noise(9_000_000, 41));
        let cuts = [0, 1, 70_000, 70_000, 6_000_000, 8_999_999, 9_000_000];
        for pair in cuts.windows(2) {
            patch(&url, pair[0], &[], &bytes[pair[0]..pair[1]])
                .is(204)
                .has("upload-offset", &pair[1].to_string());
        }
        assert!(bench.stored(&url) == bytes);
        let receipt = ask("GET", &url, &[], b"").json();
        assert_eq!(
            (receipt["sha256"].as_str(), receipt["size"].as_u64()),
            (Some(&*sha256(&bytes)), Some(9_000_000))
        );
    }),
    Row("PATCH: 415 for any other Content-Type", |bench| {
        let url = bench.ten();
        for other in ["application/octet-stream", "application/partial-upload", "text/plain"] {
            let line = format!("Content-Type: {other}");
            ask("PATCH", &url, &[TUS, &line, "Upload-Offset: 0"], b"0123456789")
                .refuses(415, "/unsupported-media-type");
        }
        ask("PATCH", &url, &[TUS, "Upload-Offset: 0"], b"0123456789").refuses(415, "/unsupported-media-type");
        head(&url).has("upload-offset", "0");
        let shouted = "Content-Type: Application/Offset+Octet-Stream";
        ask("PATCH", &url, &[TUS, shouted, "Upload-Offset: 0"], b"0123456789").is(204);
    }),
    Row("PATCH: 409 where the offsets differ, and the upload is not modified", |bench| {
        let url = bench.ten();
        patch(&url, 0, &[], b"01234").is(204);
        for wrong in [0, 4, 6, 10, 11] {
            patch(&url, wrong, &[], b"x").refuses(409, "mismatching-upload-offset").has("upload-offset", "5");
        }
        patch(&url, 5, &[], b"56789").is(204).has("upload-offset", "10");
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row(
        "PATCH: 409 where the upload is whole and the offset is another; the last answer again where it is the end",
        |bench| {
            let url = bench.ten();
            patch(&url, 0, &[], b"0123456789").is(204);
            patch(&url, 0, &[], b"0123456789").is(409).has("upload-offset", "10");
            patch(&url, 10, &[], b"").is(204).has("upload-offset", "10");
            patch(&url, 10, &[], b"more").refuses(400, "inconsistent-upload-length");
            assert_eq!(bench.stored(&url), b"0123456789");
        },
    ),
    Row("PATCH: 204 with the new Upload-Offset, also where nothing is new", |bench| {
        let url = bench.ten();
        patch(&url, 0, &[], b"").is(204).has("upload-offset", "0");
        patch(&url, 0, &[], b"0").is(204).has("upload-offset", "1");
        patch(&url, 1, &[], b"").is(204).has("upload-offset", "1");
    }),
    Row("PATCH: 404 for an upload that was never there", |bench| {
        patch(&format!("{}/01ARZ3NDEKTSV4RRFFQ69G5FAV", bench.uploads), 0, &[], b"x")
            .is(404)
            .lacks("upload-offset");
    }),
    Row("PATCH: as much as possible of a body that breaks off is stored", |bench| {
        let (url, bytes) = (bench.create(&["Upload-Length: 10000000"]), noise(10_000_000, 42));
        break_off("PATCH", &url, &[TUS, BYTES, "Upload-Offset: 0"], bytes.len(), &bytes[..9_000_000]);
        until_offset(&url, &[TUS], 9_000_000);
        patch(&url, 9_000_000, &[], &bytes[9_000_000..]).is(204).has("upload-offset", "10000000");
        assert!(bench.stored(&url) == bytes);
    }),
    Row("PATCH: more than Upload-Length is refused, and never stored", |bench| {
        let url = bench.ten();
        patch(&url, 0, &[], b"0123456789x").refuses(400, "inconsistent-upload-length");
        head(&url).is(200).has("upload-offset", "0");
        // Also if the length is unknown.
        let mut raw = RawClient::request(
            "PATCH",
            &url,
            &[TUS, BYTES, "Upload-Offset: 0", "Transfer-Encoding: chunked"],
        );
        raw.chunk(b"0123456789x");
        raw.chunk(b"");
        raw.answer().unwrap().refuses(400, "inconsistent-upload-length").has("upload-offset", "0");
        // What was acknowledged is kept, and can still become the file.
        patch(&url, 0, &[], b"01234").is(204);
        let mut raw = RawClient::request(
            "PATCH",
            &url,
            &[TUS, BYTES, "Upload-Offset: 5", "Transfer-Encoding: chunked"],
        );
        raw.chunk(b"56789x");
        raw.chunk(b"");
        raw.answer().unwrap().refuses(400, "inconsistent-upload-length").has("upload-offset", "5");
        patch(&url, 5, &[], b"56789").is(204);
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row("PATCH: of two at a time the newer is served, and no byte is lost", |bench| {
        let url = bench.ten();
        let mut older = RawClient::request(
            "PATCH",
            &url,
            &[TUS, BYTES, "Upload-Offset: 0", "Content-Length: 10", AWAITED],
        );
        older.until_continued();
        assert!(older.send(b"012"));
        patch(&url, 0, &[], b"0123456789").is(204).has("upload-offset", "10");
        assert!(older.answer().is_none_or(|answer| answer.status == 409));
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row("HEAD: the offset told is accepted, though an older request still brings bytes", |bench| {
        let (url, file, part) = (bench.create(&["Upload-Length: 18000000"]), noise(18_000_000, 44), 8 << 20);
        let lines = [TUS, BYTES, "Upload-Offset: 0", "Content-Length: 18000000"];
        let mut older = RawClient::request("PATCH", &url, &lines);
        assert!(older.send(&file[..9_000_000]));
        until_offset(&url, &[], part);
        let told: usize = head(&url).header("upload-offset").parse().unwrap();
        assert!((part + 1..=9_000_000).contains(&told), "{told}");
        older.send(&file[9_000_000..17_000_000]);
        patch(&url, told, &[], &file[told..]).is(204).has("upload-offset", "18000000");
        assert!(older.answer().is_none_or(|answer| answer.status == 409));
        assert!(bench.stored(&url) == file);
    }),
    Row("OPTIONS: 204 or 200 with Tus-Version, Tus-Extension, Tus-Max-Size", |bench| {
        let link = bench.world.link("acme");
        for url in [link.clone(), format!("{link}/uploads"), format!("{}/x", bench.uploads)] {
            ask("OPTIONS", &url, &[], b"")
                .is(200)
                .has("tus-version", "1.0.0")
                .has("tus-max-size", "50000000")
                .has(
                    "tus-extension",
                    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination",
                );
        }
    }),
    Row("OPTIONS: Tus-Resumable of the request is ignored", |bench| {
        ask("OPTIONS", &bench.uploads, &["Tus-Resumable: 0.1.0"], b"").is(200).has("tus-version", "1.0.0");
    }),
];

const CREATION: &[Row] = &[
    Row("creation: 201 with the Location of the new upload", |bench| {
        let location = bench.create(&["Upload-Length: 3"]);
        assert!(location.starts_with(&format!("{}/", bench.uploads)), "{location}");
        assert_ne!(location, bench.create(&["Upload-Length: 3"]));
    }),
    Row("creation: an empty file is whole at once", |bench| {
        let url = bench.create(&["Upload-Length: 0", "Upload-Metadata: filename ZW1wdHk="]);
        head(&url).is(200).has("upload-offset", "0").has("upload-length", "0");
        assert_eq!(bench.stored(&url), b"");
    }),
    Row("creation: 413 over the size that OPTIONS says", |bench| {
        bench.post(&["Upload-Length: 50000001"], b"").refuses(413, "/too-large").lacks("location");
        delete(&bench.create(&["Upload-Length: 50000000"])).is(204);
    }),
    Row("creation: Upload-Length, or else Upload-Defer-Length: 1, and not both", |bench| {
        bench.post(&[], b"").refuses(400, "/bad-request");
        bench.post(&["Upload-Length: 1", "Upload-Defer-Length: 1"], b"").refuses(400, "/bad-request");
        for wrong in ["0", "2", "true"] {
            bench.post(&[&format!("Upload-Defer-Length: {wrong}")], b"").refuses(400, "/bad-request");
        }
    }),
    Row("creation: HEAD repeats Upload-Metadata as it was", |bench| {
        for metadata in [
            "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
            "filename YS5sb2c=, filetype dGV4dC9wbGFpbg==, other 4oKs",
        ] {
            let line = format!("Upload-Metadata: {metadata}");
            head(&bench.create(&["Upload-Length: 10", &line])).has("upload-metadata", metadata);
        }
        let unnamed = bench.post(&["Upload-Length: 10"], b"").is(201);
        head(unnamed.header("location")).lacks("upload-metadata");
    }),
    Row("creation: a key of Upload-Metadata stands once, and its value is base64", |bench| {
        for wrong in ["filename YQ==,filename Yg==", "filename a.log", "filename YQ== Yg=="] {
            bench
                .post(&["Upload-Length: 10", &format!("Upload-Metadata: {wrong}")], b"")
                .refuses(400, "/bad-request");
        }
    }),
    Row("creation: the name in Upload-Metadata is the file's, and is checked as any other", |bench| {
        let encoded = STANDARD.encode("größe.log");
        let url = bench.create(&["Upload-Length: 10", &format!("Upload-Metadata: filename {encoded}")]);
        assert_eq!(ask("GET", &url, &[], b"").json()["name"], "größe.log");
        for wrong in ["../etc/passwd", "a\nb", ".."] {
            let line = format!("Upload-Metadata: filename {}", STANDARD.encode(wrong));
            bench.post(&["Upload-Length: 10", &line], b"").refuses(400, "/bad-name").lacks("location");
        }
    }),
    Row("creation-defer-length: HEAD says Upload-Defer-Length: 1 until the length is known", |bench| {
        let url = bench.create(&["Upload-Defer-Length: 1"]);
        head(&url).has("upload-defer-length", "1").lacks("upload-length");
        patch(&url, 0, &[], b"01234").is(204).has("upload-offset", "5");
        head(&url).has("upload-defer-length", "1").has("upload-offset", "5").lacks("upload-length");
        patch(&url, 5, &["Upload-Length: 10"], b"5").is(204).has("upload-offset", "6");
        head(&url).has("upload-length", "10").lacks("upload-defer-length");
        patch(&url, 6, &[], b"6789").is(204);
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row("creation-defer-length: the length may come last, without a byte", |bench| {
        let url = bench.create(&["Upload-Defer-Length: 1"]);
        patch(&url, 0, &[], b"01234").is(204);
        patch(&url, 5, &["Upload-Length: 5"], b"").is(204).has("upload-offset", "5");
        assert_eq!(bench.stored(&url), b"01234");
    }),
    Row("creation-defer-length: a length that is set does not change", |bench| {
        let url = bench.create(&["Upload-Defer-Length: 1"]);
        patch(&url, 0, &["Upload-Length: 10"], b"01234").is(204);
        patch(&url, 5, &["Upload-Length: 11"], b"5").refuses(400, "inconsistent-upload-length");
        patch(&url, 5, &["Upload-Length: 10"], b"56789").is(204);
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row(
        "creation-defer-length: a length below what there is, or over the limit, is refused and nothing changes",
        |bench| {
            let url = bench.create(&["Upload-Defer-Length: 1"]);
            patch(&url, 0, &[], b"01234").is(204);
            patch(&url, 5, &["Upload-Length: 4"], b"").refuses(400, "inconsistent-upload-length");
            patch(&url, 5, &["Upload-Length: 50000001"], b"5").refuses(413, "/too-large");
            head(&url).is(200).has("upload-offset", "5").has("upload-defer-length", "1");
            patch(&url, 5, &["Upload-Length: 5"], b"").is(204);
        },
    ),
    Row("creation-with-upload: 201 with Location and Upload-Offset, the file whole or not", |bench| {
        for (sent, whole) in [(10, true), (4, false), (0, false)] {
            let answer = bench.post(&["Upload-Length: 10", BYTES, &own_name()], &b"0123456789"[..sent]);
            let answer = answer.is(201).has("upload-offset", &sent.to_string());
            let url = answer.header("location");
            assert_eq!(answer.headers.contains_key("upload-expires"), !whole);
            patch(url, sent, &[], &b"0123456789"[sent..]).is(204);
            assert_eq!(bench.stored(url), b"0123456789");
        }
    }),
    Row("creation-with-upload: with a length that is not known yet", |bench| {
        let answer = bench
            .post(&["Upload-Defer-Length: 1", BYTES, &own_name()], b"01234")
            .is(201)
            .has("upload-offset", "5");
        patch(answer.header("location"), 5, &["Upload-Length: 10"], b"56789").is(204);
        assert_eq!(bench.stored(answer.header("location")), b"0123456789");
    }),
    Row("creation-with-upload: bytes of another type are not the file's", |bench| {
        let answer = bench.post(&["Upload-Length: 4", "Content-Type: text/plain"], b"0123").is(201);
        head(answer.header("location")).has("upload-offset", "0");
    }),
    Row("creation-with-upload: more than Upload-Length is refused", |bench| {
        bench.post(&["Upload-Length: 4", BYTES], b"01234").refuses(400, "inconsistent-upload-length");
    }),
];

fn check(rows: &[Row]) {
    let shared = Bench::of(&SHARED);
    side_by_side(6, rows, async |row: &Row| (row.1)(&shared));
}

#[test]
fn core() {
    check(CORE);
}

#[test]
fn creation() {
    check(CREATION);
}

#[test]
fn expiration_checksum_termination() {
    check(extensions::ROWS);
}

#[test]
fn expiration_ends_an_upload() {
    let bench = Bench::of(&SHORT);
    let url = bench.ten();
    let gone = eventually("the upload has expired", || {
        let answer = head(&url);
        (answer.status != 200).then_some(answer)
    });
    gone.is(410).lacks("upload-offset");
    patch(&url, 0, &[], b"0123456789").refuses(410, "/upload-gone");
}
