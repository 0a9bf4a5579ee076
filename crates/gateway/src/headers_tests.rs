//! Tables for each header.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::parameter::NotUtf8;
use super::*;

fn with(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static(name),
        HeaderValue::from_bytes(value.as_bytes()).unwrap(),
    )])
}

fn lines(name: &'static str, values: &[&str]) -> HeaderMap {
    values
        .iter()
        .map(|value| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn lists_come_as_several_lines_and_single_values_do_not() {
    for (values, single, all) in [
        (&[][..], Ok(None), None),
        (&["a"], Ok(Some("a")), Some("a")),
        (&["a", "a"], Ok(Some("a")), Some("a,a")),
        (&["a", "b"], Err(400), Some("a,b")),
        (&["a", ""], Err(400), Some("a,")),
    ] {
        let headers = lines("x-a", values);
        let found = text(&headers, "x-a").map_err(|problem| problem.status.as_u16());
        assert_eq!(found, single, "{values:?}");
        assert_eq!(list(&headers, "x-a").unwrap().as_deref(), all, "{values:?}");
    }
    assert_eq!(token(&lines("authorization", &["Bearer a", "Bearer b"])), None);
    assert!(content_range(&lines("content-range", &["bytes 0-1/2", "bytes 0-1/*"])).is_err());
    assert!(named(&lines("content-disposition", &["inline; filename=a", "inline; filename=b"])).is_err());
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
fn announced_digests() {
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let sha256 = "sha-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let md5 = "md5 d41d8cd98f00b204e9800998ecf8427e";
    let sha1 = "sha-1 da39a3ee5e6b4b0d3255bfef95601890afd80709";
    for (name, value, expected) in [
        ("repr-digest", empty.to_owned(), Ok(sha256.to_owned())),
        ("content-digest", empty.to_owned(), Ok(sha256.to_owned())),
        ("repr-digest", empty.replace("sha", "SHA"), Ok(sha256.to_owned())),
        ("content-digest", "Sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:".into(), Ok(sha1.into())),
        ("repr-digest", "SHA-256=:AAAA:".into(), Err(400)),
        ("repr-digest", format!("unixsum=:AAAA:, {empty}"), Ok(sha256.to_owned())),
        ("repr-digest", format!("{empty}, {empty}"), Ok(sha256.to_owned())),
        ("repr-digest", format!("{empty}, md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"), Ok(format!("{sha256}, {md5}"))),
        ("repr-digest", "sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:;x=1".into(), Ok(sha1.into())),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==".into(), Ok(md5.into())),
        ("repr-digest", "adler=:AAAA:".into(), Ok(String::new())),
        ("repr-digest", "md5=:AAAA:".into(), Err(400)),
        ("repr-digest", "sha-512=:AAAA:".into(), Err(400)),
        ("repr-digest", "sha-256=47DE".into(), Err(400)),
        ("repr-digest", "sha-256=:***:".into(), Err(400)),
        ("repr-digest", "nonsense".into(), Err(400)),
        ("content-md5", "nonsense".into(), Err(400)),
        ("repr-digest", format!("{empty}, sha-256=:{}=:", "A".repeat(43)), Err(422)),
    ] {
        let found = digests(&with(name, &value)).map_err(|problem| problem.status.as_u16());
        let shown = found.map(|all| {
            let each = all.iter().map(|digest| format!("{} {}", digest.algorithm.name(), digest.hex));
            each.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(shown, expected, "{name}: {value}");
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
        ("form-data; name=f; x; filename=a.log", Some("a.log")),
        ("form-data; name=f; filename = \"a.log\"", Some("a.log")),
        ("form-data; filename*=a%20b.log", Some("a b.log")),
        ("form-data; filename*=iso-8859-1'en'%A3%20rates", Some("\u{a3} rates")),
        ("form-data; filename=x; filename*=koi8-r''%c1", Some("x")),
        ("form-data; filename*0=\"a b\"; filename*1=c; filename*2=.log", Some("a bc.log")),
        ("form-data; FileName*1*=%ac.log; filename*0*=utf-8'de'%e2%82", Some("\u{20ac}.log")),
        (
            "form-data; filename*0*=utf-8''%e2%82%ac%20; filename*1=\"100%25.log\"",
            Some("\u{20ac} 100%25.log"),
        ),
        ("form-data; filename*0=a; filename*2=b; filename=c", Some("c")),
        ("form-data; filenames=a; filename2=b", None),
    ] {
        assert_eq!(disposition_filename(value.as_bytes()), Ok(expected.map(str::to_owned)), "{value}");
    }
    let unreadable = [
        &b"attachment; filename*=UTF-8''bad%FF.txt"[..],
        b"form-data; name=\"file\"; filename=\"bad\xff.txt\"",
    ];
    for value in unreadable {
        assert_eq!(disposition_filename(value), Err(NotUtf8("bad\u{fffd}.txt".into())), "{value:?}");
    }
    // A name there is: it is not passed over.
    for value in [
        "form-data; filename*=koi8-r''%c1",
        "form-data; filename*0=a; filename*2=b",
        "form-data; filename*1=a",
        "form-data; filename*x=a",
        "form-data; filename*0*=utf-8''%ff; filename*1=a",
    ] {
        assert!(disposition_filename(value.as_bytes()).is_err(), "{value}");
    }
    let odd = "form-data; name=\"\u{fffd}\"; filename=\"a\u{fffd}.txt\"";
    assert_eq!(disposition_filename(odd.as_bytes()), Ok(Some("a\u{fffd}.txt".into())));
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
