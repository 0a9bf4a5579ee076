//! The rows of tus' extensions other than creation: expiration, checksum, termination; and those not offered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::{RawClient, ask, noise, sha256};

use super::{AWAITED, BYTES, Row, TUS, delete, head, patch};

/// `Upload-Checksum` of these bytes by SHA-256.
fn checksum(bytes: &[u8]) -> String {
    let hex = sha256(bytes);
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    format!("Upload-Checksum: sha256 {}", STANDARD.encode((0..64).step_by(2).map(byte).collect::<Vec<_>>()))
}

pub(super) const ROWS: &[Row] = &[
    Row(
        "expiration: Upload-Expires in the answers to POST and PATCH, a date of HTTP, never later than before",
        |bench| {
            let created = bench.post(&["Upload-Length: 10"], b"").is(201);
            let expires = created.header("upload-expires").to_owned();
            let shape: String = expires.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert!(shape.len() == 29 && shape.ends_with("0000 00:00:00 GMT"), "{expires}");
            let url = created.header("location");
            patch(url, 0, &[], b"0").is(204).has("upload-expires", &expires);
            head(url).has("upload-expires", &expires);
            // In every answer: also where it is refused.
            patch(url, 5, &[], b"5").is(409).has("upload-expires", &expires);
            patch(url, 1, &["Upload-Length: 11"], b"1").is(400).has("upload-expires", &expires);
            patch(url, 1, &[&checksum(b"else")], b"1").is(460).has("upload-expires", &expires);
            ask("PATCH", url, &[TUS, "Upload-Offset: 1"], b"1").is(415).has("upload-expires", &expires);
            patch(url, 1, &[], b"123456789").is(204).lacks("upload-expires");
            head(url).lacks("upload-expires");
        },
    ),
    Row("checksum: Tus-Checksum-Algorithm in the answer to OPTIONS, sha1 among them", |bench| {
        ask("OPTIONS", &bench.uploads, &[], b"").has("tus-checksum-algorithm", "sha256,sha1,md5");
    }),
    Row("checksum: the bytes are compared", |bench| {
        let url = bench.ten();
        patch(&url, 0, &["Upload-Checksum: sha1 EZBKTot39iQuLSiHBQI62tAKkxA="], b"01234").is(204);
        patch(&url, 5, &[&checksum(b"56789")], b"56789").is(204).has("upload-offset", "10");
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row("checksum: 460 where they differ, and the bytes are discarded", |bench| {
        let (bytes, url) = (noise(9_000_000, 43), bench.create(&["Upload-Length: 9000000"]));
        patch(&url, 0, &[], &bytes[..100]).is(204);
        let wrong = checksum(b"else");
        patch(&url, 100, &[&wrong], &bytes[100..200]).refuses(460, "/digest-mismatch");
        // Also where parts of it were stored before its end came, and where it would have ended the file.
        patch(&url, 100, &[&wrong], &bytes[100..]).refuses(460, "/digest-mismatch");
        head(&url).is(200).has("upload-offset", "100");
        patch(&url, 100, &[&checksum(&bytes[100..])], &bytes[100..]).is(204).has("upload-offset", "9000000");
        assert!(bench.stored(&url) == bytes);
    }),
    Row("checksum: 400 for an algorithm that is not supported, or what cannot be read", |bench| {
        let url = bench.ten();
        for wrong in
            ["crc32 AAAAAA==", "sha1", "sha1 !", "sha1 AAAA", "SHA1", "SHA1 EZBKTot39iQuLSiHBQI62tAKkxA="]
        {
            patch(&url, 0, &[&format!("Upload-Checksum: {wrong}")], b"01234").refuses(400, "/bad-request");
        }
        head(&url).has("upload-offset", "0");
    }),
    Row("checksum: of a body that breaks off nothing counts", |bench| {
        let url = bench.ten();
        let line = checksum(b"0123456789");
        let lines = [TUS, BYTES, "Upload-Offset: 0", &line, "Content-Length: 10", AWAITED];
        let mut broken = RawClient::request("PATCH", &url, &lines);
        broken.until_continued();
        assert!(broken.send(b"01234"));
        broken.leave();
        // The next one takes over from whatever is left of it.
        patch(&url, 0, &[&line], b"0123456789").is(204).has("upload-offset", "10");
        assert_eq!(bench.stored(&url), b"0123456789");
    }),
    Row("checksum: with the bytes of a creation", |bench| {
        let good = checksum(b"01234");
        bench.post(&["Upload-Length: 10", BYTES, &good], b"01234").is(201).has("upload-offset", "5");
        let answer = bench.post(&["Upload-Length: 10", BYTES, &good], b"56789");
        answer.refuses(460, "/digest-mismatch");
    }),
    Row("termination: DELETE is answered 204, and later requests 404 or 410", |bench| {
        let url = bench.ten();
        patch(&url, 0, &[], b"01234").is(204);
        delete(&url).is(204);
        head(&url).is(410).lacks("upload-offset");
        patch(&url, 5, &[], b"56789").refuses(410, "/upload-gone").lacks("upload-offset");
        delete(&url).is(410);
    }),
    Row("termination: also of a file that is whole, by a link that may remove", |bench| {
        let url = bench.ten();
        patch(&url, 0, &[], b"0123456789").is(204);
        delete(&url).is(204);
        head(&url).is(410);
    }),
    Row("termination: ends what is being sent", |bench| {
        let url = bench.ten();
        let mut sending = RawClient::request(
            "PATCH",
            &url,
            &[TUS, BYTES, "Upload-Offset: 0", "Content-Length: 10", AWAITED],
        );
        sending.until_continued();
        assert!(sending.send(b"012"));
        delete(&url).is(204);
        assert!(sending.answer().is_none_or(|answer| answer.status == 409 || answer.status == 410));
        head(&url).is(410);
    }),
    Row("concatenation: is not offered, and refused", |bench| {
        for kind in ["partial", "final;/a /b"] {
            bench
                .post(&["Upload-Length: 10", &format!("Upload-Concat: {kind}")], b"")
                .refuses(400, "/bad-request")
                .lacks("location");
        }
    }),
    Row("cross-origin: a page elsewhere may send and read what the protocol has", |bench| {
        let asks = ["Origin: https://app.example", "Access-Control-Request-Method: PATCH"];
        let ahead =
            ask("OPTIONS", &bench.uploads, &asks, b"").is(200).has("access-control-allow-origin", "*");
        for header in
            ["Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Checksum"]
        {
            assert!(ahead.header("access-control-allow-headers").contains(header), "{header}");
        }
        for method in ["POST", "PATCH", "HEAD", "DELETE"] {
            assert!(ahead.header("access-control-allow-methods").contains(method), "{method}");
        }
        let created =
            bench.post(&["Upload-Length: 10", asks[0]], b"").has("access-control-allow-origin", "*");
        for header in ["Location", "Upload-Offset", "Upload-Expires", "Tus-Resumable"] {
            assert!(created.header("access-control-expose-headers").contains(header), "{header}");
        }
    }),
];
