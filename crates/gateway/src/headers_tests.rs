//! Tables for each header.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn with(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static(name),
        HeaderValue::from_bytes(value.as_bytes()).unwrap(),
    )])
}

#[test]
fn accept() {
    for (value, expected) in [
        ("*/*", Wanted::Text),
        ("application/json", Wanted::Json),
        ("text/plain, application/json;q=0.5", Wanted::Json),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Wanted::Html),
        ("", Wanted::Text),
    ] {
        assert_eq!(wanted(&with("accept", value)), expected, "{value}");
    }
}

#[test]
fn tokens() {
    for (value, expected) in [
        ("Bearer abc", Some("abc")),
        ("bearer  abc ", Some("abc")),
        ("Basic dXNlcjpwYTpzcw==", Some("pa:ss")),
        ("Basic dXNlcg==", None),
        ("Basic !!", None),
        ("Digest x", None),
        ("abc", None),
    ] {
        assert_eq!(token(&with("authorization", value)).as_deref(), expected, "{value}");
    }
}

#[test]
fn repr_digests() {
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (value, expected) in [
        (empty.to_owned(), Ok(Some(hex))),
        (format!("md5=:AAAA:, {empty}"), Ok(Some(hex))),
        ("sha-512=:AAAA:".into(), Ok(None)),
        ("sha-256=:AAAA:".into(), Err(())),
        ("sha-256=47DE".into(), Err(())),
        ("sha-256=:***:".into(), Err(())),
        ("nonsense".into(), Err(())),
    ] {
        let found = digest(&with("repr-digest", &value), "Repr-Digest").map_err(drop);
        assert_eq!(found, expected.map(|o| o.map(str::to_owned)), "{value}");
    }
}

#[test]
fn content_ranges() {
    for (value, expected) in [
        ("bytes 0-9/10", Some((0, 9, Some(10)))),
        ("bytes 5-9/*", Some((5, 9, None))),
        ("bytes 9-5/10", None),
        ("bytes 0-10/10", None),
        ("bytes */10", None),
        ("0-9/10", None),
    ] {
        let found = content_range(&with("content-range", value)).ok().flatten();
        assert_eq!(found.map(|r| (r.first, r.last, r.total)), expected, "{value}");
    }
}

#[test]
fn dispositions() {
    for (value, expected) in [
        ("attachment; filename=a.log", Some("a.log")),
        ("form-data; name=\"file\"; filename=\"a b.log\"", Some("a b.log")),
        ("form-data; filename=\"a\\\"b.log\"; name=file", Some("a\"b.log")),
        ("form-data; filename=\"a%22b.log\"", Some("a\"b.log")),
        ("form-data; filename=\"é€.log\"", Some("é€.log")),
        ("form-data; filename=\"a;b=c.log\"; name=\"x\"", Some("a;b=c.log")),
        ("form-data; filename=\"C:\\dir\\a.log\"", Some("C:\\dir\\a.log")),
        ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.txt", Some("€.txt")),
        ("form-data; name=\"ticket\"", None),
        ("attachment", None),
        ("form-data; filename=\"", Some("")),
    ] {
        assert_eq!(disposition_filename(value.as_bytes()).as_deref(), expected, "{value}");
    }
}

#[test]
fn attachments_cannot_break_out_of_the_header() {
    assert_eq!(
        attachment("a\"; x=\r\n€.log"),
        "attachment; filename=\"a__ x=___.log\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0A%E2%82%AC.log"
    );
}

#[test]
fn ranges() {
    for (value, size, expected) in [
        ("bytes=0-4", 10, Range::Span(0, 4)),
        ("bytes=5-", 10, Range::Span(5, 9)),
        ("bytes=-3", 10, Range::Span(7, 9)),
        ("bytes=-30", 10, Range::Span(0, 9)),
        ("bytes=0-99", 10, Range::Span(0, 9)),
        ("bytes=10-", 10, Range::Unsatisfiable),
        ("bytes=-0", 10, Range::Unsatisfiable),
        ("bytes=0-", 0, Range::Unsatisfiable),
        ("bytes=4-2", 10, Range::Whole),
        ("bytes=0-1,3-4", 10, Range::Whole),
        ("lines=1-2", 10, Range::Whole),
    ] {
        assert_eq!(range(&with("range", value), size), expected, "{value} of {size}");
    }
}
