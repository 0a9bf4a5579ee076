//! The rows after "Upload Append": cancellation, concurrency, statuses, media types, codings and digests; and one row for each
//! draft version whose clients are in use.

use serde_json::json;
use tests::{RawClient, ask, curl, noise, repr_digest as digest, sha256, until_offset};

use super::{AWAITED, Bench, OPEN, PART, Row, TEN, WHOLE, head, is_receipt, patch};

const NEWEST: &str = "Upload-Draft-Interop-Version: 10";

/// A client that says of its draft no more than it must: creates, appends, asks, is refused, ends.
fn speaks(bench: &Bench, version: u32, media_type: &[&str]) {
    let says = format!("Upload-Draft-Interop-Version: {version}");
    let says = says.as_str();
    let created = ask("POST", &format!("{}/uploads", bench.link), &[says, OPEN, "Upload-Length: 10"], b"");
    let created = created.is(201).has("upload-complete", "?0").has("upload-offset", "0");
    let url = created.names("upload-limit", "max-size=").header("location").to_owned();
    let append = |offset: usize, end: &str, body: &[u8]| {
        let offset = format!("Upload-Offset: {offset}");
        ask("PATCH", &url, &[media_type, &[says, end, &offset]].concat(), body)
    };
    append(0, OPEN, b"01234").is(204).has("upload-complete", "?0").has("upload-offset", "5");
    append(7, OPEN, b"7").is(409).has("upload-complete", "?0").has("upload-offset", "5");
    // Of a `?0` that brings all that is missing nothing ends but what it says.
    append(5, OPEN, b"5678").is(204).has("upload-offset", "9");
    for method in ["HEAD", "GET"] {
        let answer = ask(method, &url, &[says], b"").has("upload-offset", "9").has("upload-complete", "?0");
        answer.has("upload-length", "10").has("cache-control", "no-store").names("upload-limit", "max-age=");
    }
    let receipt =
        append(9, WHOLE, b"9").is(201).has("upload-complete", "?1").has("upload-offset", "10").json();
    assert_eq!(receipt["sha256"].as_str(), Some(&*sha256(TEN)));
    ask("HEAD", &url, &[says], b"").is(204).has("upload-complete", "?1").has("upload-offset", "10");
    // The last answer was lost.
    assert_eq!(append(10, WHOLE, b"").is(201).has("upload-complete", "?1").json()["id"], receipt["id"]);
}

pub(super) const VERSIONS: &[Row] = &[
    Row("-03 (interop version 5): no media type", |bench| speaks(bench, 5, &[])),
    Row("-03 (interop version 5): with the media type that came later", |bench| speaks(bench, 5, &[PART])),
    Row("-04, -05 (interop version 6), as Apple's clients since iOS 18.1", |bench| speaks(bench, 6, &[PART])),
    Row("-06 to -08 (interop version 7)", |bench| speaks(bench, 7, &[PART])),
    Row("-09 to -11 (interop version 8)", |bench| speaks(bench, 8, &[PART])),
    Row("-12 (interop version 9)", |bench| speaks(bench, 9, &[PART])),
    Row("-13 (interop version 10)", |bench| speaks(bench, 10, &[PART])),
    Row("a client that uploads all at once needs no word of any of them", |bench| {
        for version in [3, 5, 6, 8, 10] {
            let says = format!("Upload-Draft-Interop-Version: {version}");
            // -01 said it the other way round.
            let old = if version == 3 { "Upload-Incomplete: ?0" } else { WHOLE };
            let receipt = ask("PUT", &bench.target(), &[&says, old], TEN).is(201).json();
            assert_eq!(receipt["sha256"].as_str(), Some(&*sha256(TEN)), "{version}");
        }
    }),
];

pub(super) const ROWS: &[Row] = &[
    Row("4.5 cancellation: 2xx, and the upload is no more", |bench| {
        let url = bench.create(&[]);
        let mut sending = RawClient::request(
            "PATCH",
            &url,
            &[PART, WHOLE, "Upload-Offset: 0", "Content-Length: 10", AWAITED],
        );
        sending.until_continued();
        assert!(sending.send(b"0123"));
        ask("DELETE", &url, &[], b"").is(204);
        assert!(sending.answer().is_none_or(|answer| answer.status == 409 || answer.status == 410));
        head(&url).is(410).lacks("upload-offset");
        patch(&url, 0, &[WHOLE], TEN).refuses(410, "/upload-gone");
    }),
    Row("4.6 concurrency: the newer request ends the older", |bench| {
        let url = bench.create(&[]);
        let (file, part) = (noise(9_000_000, 46), 8 << 20);
        let mut older =
            RawClient::request("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0", "Content-Length: 9000000"]);
        assert!(older.send(&file[..8_900_000]));
        until_offset(&url, &[], part);
        is_receipt(patch(&url, part, &[WHOLE], &file[part..]), &file);
        assert!(older.answer().is_none_or(|answer| answer.status == 409));
    }),
    Row(
        "4.6 concurrency: who asks for the offset ends its older request, and the offset told is accepted",
        |bench| {
            for method in ["HEAD", "GET"] {
                let (url, file, part) = (bench.create(&[]), noise(18_000_000, 47), 8 << 20);
                let mut older = RawClient::request(
                    "PATCH",
                    &url,
                    &[PART, WHOLE, "Upload-Offset: 0", "Content-Length: 18000000"],
                );
                assert!(older.send(&file[..9_000_000]));
                until_offset(&url, &[], part);
                let told: usize = ask(method, &url, &[NEWEST], b"").header("upload-offset").parse().unwrap();
                // A rest smaller than a part is kept, too.
                assert!((part + 1..=9_000_000).contains(&told), "{told}");
                // Bytes that the older request still sends change nothing.
                older.send(&file[9_000_000..17_000_000]);
                is_receipt(patch(&url, told, &[WHOLE], &file[told..]), &file);
                assert!(older.answer().is_none_or(|answer| answer.status == 409));
            }
        },
    ),
    Row("4.6 concurrency: who watches with plain curl ends nothing", |bench| {
        let (url, file) = (bench.create(&[]), noise(9_000_000, 48));
        let mut sending =
            RawClient::request("PATCH", &url, &[PART, WHOLE, "Upload-Offset: 0", "Content-Length: 9000000"]);
        assert!(sending.send(&file[..8_900_000]));
        until_offset(&url, &[], 8 << 20);
        ask("GET", &url, &[], b"").is(200).has("upload-complete", "?0");
        assert!(sending.send(&file[8_900_000..]));
        is_receipt(sending.answer().unwrap(), &file);
    }),
    Row("5 status 104: is not sent, and does not stand in for 100", |bench| {
        let headers = [WHOLE, NEWEST, "Content-Length: 10", AWAITED];
        let mut raw = RawClient::request("PUT", &bench.target(), &headers);
        raw.until_continued();
        assert!(raw.send(TEN));
        is_receipt(raw.answer().unwrap(), TEN);
    }),
    Row("6 media type: in any case of letters, of a block of any size", |bench| {
        let url = bench.create(&[]);
        let shouted = "Content-Type: Application/Partial-Upload";
        ask("PATCH", &url, &[shouted, OPEN, "Upload-Offset: 0"], b"").is(204).has("upload-offset", "0");
        ask("PATCH", &url, &[shouted, OPEN, "Upload-Offset: 0"], b"0").is(204).has("upload-offset", "1");
        is_receipt(patch(&url, 1, &[WHOLE], &TEN[1..]), TEN);
    }),
    Row(
        "8 content codings: none is undone, so none is taken, neither with a creation nor with an append",
        |bench| {
            let gzip = "Content-Encoding: gzip";
            for (headers, body) in [([OPEN, gzip], &b""[..]), ([WHOLE, gzip], TEN)] {
                let answer =
                    ask("PUT", &bench.target(), &headers, body).refuses(415, "/unsupported-media-type");
                answer.has("upload-complete", "?0").lacks("location");
            }
            let url = bench.create(&[]);
            patch(&url, 0, &[WHOLE, gzip], TEN)
                .refuses(415, "/unsupported-media-type")
                .has("upload-complete", "?0");
            head(&url).has("upload-offset", "0").has("upload-complete", "?0");
        },
    ),
    Row("9 transfer codings: do not count", |bench| {
        let url = bench.create(&["Upload-Length: 10"]);
        let mut raw = RawClient::request(
            "PATCH",
            &url,
            &[PART, OPEN, "Upload-Offset: 0", "Transfer-Encoding: chunked"],
        );
        for piece in [&TEN[..1], &TEN[1..5], b""] {
            raw.chunk(piece);
        }
        raw.answer().unwrap().is(204).has("upload-offset", "5");
        is_receipt(patch(&url, 5, &[WHOLE], &TEN[5..]), TEN);
    }),
    Row("10.1 Repr-Digest: of another file, the upload has failed", |bench| {
        for headers in [&[][..], &["Upload-Length: 10"]] {
            let wrong = format!("Repr-Digest: {}", digest(b"else"));
            let url = bench.create(&[headers, &[&wrong]].concat());
            patch(&url, 0, &[OPEN], b"01234").is(204);
            patch(&url, 5, &[WHOLE], b"56789").refuses(422, "/digest-mismatch");
            head(&url).is(410);
            let right = format!("Repr-Digest: {}", digest(TEN));
            let url = bench.create(&[headers, &[&right]].concat());
            patch(&url, 0, &[OPEN], b"01234").is(204);
            let answer = patch(&url, 5, &[WHOLE], b"56789");
            assert_eq!(answer.json()["checked"], json!(["sha-256"]));
            is_receipt(answer, TEN);
        }
    }),
    Row("10.1 Want-Repr-Digest: the answer to the request that completes the upload has it", |bench| {
        let (wanted, right) = ("Want-Repr-Digest: sha-512=9, sha-256=3", digest(TEN));
        ask("PUT", &bench.target(), &[WHOLE, wanted], TEN).is(201).has("repr-digest", &right);
        ask("PUT", &bench.target(), &[wanted], TEN).is(201).has("repr-digest", &right);
        ask("PUT", &bench.target(), &[OPEN, wanted], TEN).is(201).lacks("repr-digest");
        let url = bench.create(&[]);
        patch(&url, 0, &[OPEN, wanted], &TEN[..5]).is(204).lacks("repr-digest");
        patch(&url, 5, &[WHOLE, wanted], &TEN[5..]).is(201).has("repr-digest", &right);
        patch(&url, 10, &[WHOLE, wanted], b"").is(201).has("repr-digest", &right);
        // Of a GET it would be the digest of the receipt's text.
        ask("GET", &url, &[wanted], b"").is(200).lacks("repr-digest");
        for other in
            ["Want-Repr-Digest: sha-256=0", "Want-Repr-Digest: sha-512=9", "Want-Content-Digest: sha-256=1"]
        {
            ask("PUT", &bench.target(), &[WHOLE, other], TEN).is(201).lacks("repr-digest");
        }
    }),
    Row("10.2 Content-Digest: of other bytes, they are not appended", |bench| {
        let (url, wrong) = (bench.create(&[]), format!("Content-Digest: {}", digest(b"else")));
        patch(&url, 0, &[OPEN], b"01").is(204);
        for end in [OPEN, WHOLE] {
            patch(&url, 2, &[end, &wrong], b"23456789").refuses(422, "/digest-mismatch");
            head(&url).is(204).has("upload-offset", "2").has("upload-complete", "?0");
        }
        is_receipt(
            patch(&url, 2, &[WHOLE, &format!("Content-Digest: {}", digest(b"23456789"))], b"23456789"),
            TEN,
        );
    }),
    Row("10.2 Content-Digest: with the bytes of a creation", |bench| {
        let wrong = format!("Content-Digest: {}", digest(b"else"));
        ask("PUT", &bench.target(), &[OPEN, &wrong], TEN).refuses(422, "/digest-mismatch");
        let right = format!("Content-Digest: {}", digest(TEN));
        ask("PUT", &bench.target(), &[OPEN, &right], TEN).is(201).has("upload-offset", "10");
    }),
    Row("13 security: another link's upload does not exist", |bench| {
        let url = bench.create(&[]);
        let other = curl(&["-I", &url.replace("/u/", "/u/x")]);
        other.is(404).lacks("upload-offset");
    }),
];
