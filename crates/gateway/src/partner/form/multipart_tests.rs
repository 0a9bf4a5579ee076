//! Any bytes in a part come out the same, however the form is cut into frames; and no form that is not whole completes a part.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use proptest::prelude::*;
use upload::BodyError;

use super::{HEAD_BYTES_MAX, Headers, Multipart, boundary};

/// The parts that are whole, and whether the form is.
type Read = (Vec<(String, Vec<u8>)>, Result<(), BodyError>);

fn read(frames: Vec<Bytes>, boundary: &str) -> Read {
    let mut form = Multipart::new(stream::iter(frames.into_iter().map(Ok)), boundary);
    let mut parts = Vec::new();
    let all = async {
        while let Some(headers) = form.next_part().await? {
            let (mut data, mut bytes) = (form.data(), Vec::new());
            while let Some(piece) = data.next().await {
                bytes.extend_from_slice(&piece?);
            }
            let name = headers.all("x-name").next().unwrap_or_default();
            parts.push((String::from_utf8_lossy(name).into_owned(), bytes));
        }
        Ok(())
    };
    let ended = all.now_or_never().unwrap();
    (parts, ended)
}

fn form(boundary: &str, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        bytes.extend_from_slice(format!("--{boundary}\r\nX-Name: {number}\r\n\r\n").as_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    bytes
}

/// Cuts at these places, in any order, and so often.
fn frames(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]])).collect()
}

fn named(contents: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    contents.iter().enumerate().map(|(number, content)| (number.to_string(), content.clone())).collect()
}

/// Where the first delimiter is, found the slow way.
fn first_delimiter(bytes: &[u8], boundary: &str) -> Option<usize> {
    let begin = format!("\r\n--{boundary}").into_bytes();
    (0..bytes.len()).find(|at| {
        let Some(after) = bytes[*at..].strip_prefix(begin.as_slice()) else { return false };
        let text = String::from_utf8_lossy(after);
        let rest = |text: &str| text.trim_start_matches([' ', '\t']).to_owned();
        rest(&text).starts_with("\r\n")
            || text.strip_prefix("--").is_some_and(|text| {
                let rest = rest(text);
                rest.is_empty() || rest.starts_with("\r\n") || rest.starts_with('\n')
            })
    })
}

/// Bytes that are nearly delimiters.
fn content(boundary: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let pieces = ["\r\n--", "--", "-", "\r\n", "\r", "\n", " ", "\t", "x", "\r\n\r\n", "X-Name: 9", "\0"];
    let own = [boundary.to_owned(), format!("\r\n--{boundary}"), boundary[1..].to_owned()];
    let all: Vec<_> = pieces.iter().map(ToString::to_string).chain(own).collect();
    let piece = prop_oneof![
        8 => prop::sample::select(all).prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let boundary = boundary.to_owned();
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()).prop_filter(
        "holds a delimiter",
        move |content| {
            let followed = [content.as_slice(), format!("\r\n--{boundary}\r\n").as_bytes()].concat();
            first_delimiter(&followed, &boundary) == Some(content.len())
        },
    )
}

fn any_form() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    let boundary = prop_oneof![
        Just("XB".to_owned()),
        Just("-".to_owned()),
        Just("--".to_owned()),
        Just("----=_Part_1_2.3".to_owned()),
        "[ -~]{0,70}[!-~]",
    ];
    boundary.prop_flat_map(|boundary| {
        let contents = prop::collection::vec(content(&boundary), 1..4);
        (Just(boundary), contents)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_out_the_same(
        (boundary, contents) in any_form(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let bytes = form(&boundary, &contents);
        prop_assert_eq!(read(frames(&bytes, &cuts), &boundary), (named(&contents), Ok(())));
        let single = bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        prop_assert_eq!(read(single, &boundary), (named(&contents), Ok(())));
    }

    /// Wherever it breaks off: what is whole is what was sent, and the part that was cut is not.
    #[test]
    fn a_form_that_breaks_off_completes_no_stump(
        (boundary, contents) in any_form(),
        end in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bytes = form(&boundary, &contents);
        // Its last line need not have an end.
        let end = end.index(bytes.len() - 2);
        // Nothing tells data that were cut there from a form that ends there.
        let closing = format!("\r\n--{boundary}--");
        let cut = bytes[..end].trim_ascii_end();
        prop_assume!(!cut.ends_with(closing.as_bytes()));
        let (parts, ended) = read(frames(&bytes[..end], &cuts), &boundary);
        prop_assert!(ended.is_err());
        prop_assert!(parts.len() <= contents.len());
        prop_assert_eq!(&parts[..], &named(&contents)[..parts.len()]);
        let behind_the_last = bytes.len() - format!("\r\n--{boundary}--\r\n").len();
        prop_assert!(end > behind_the_last || parts.len() < contents.len());
    }
}

#[test]
fn what_is_a_delimiter_and_what_is_data() {
    let begin = "--XB\r\nX-Name: 0\r\n\r\nbefore";
    let next = "X-Name: 1\r\n\r\nnext\r\n--XB--";
    let one = |content: &str| (vec![("0".to_owned(), content.as_bytes().to_vec())], true);
    let two = |content: &str| {
        let (mut parts, whole) = one(content);
        parts.push(("1".to_owned(), b"next".to_vec()));
        (parts, whole)
    };
    let none = (vec![], false);
    for (text, expected) in [
        (format!("{begin}\r\n--XB\r\n{next}"), two("before")),
        (format!("{begin}\r\n--XB \t \r\n{next}"), two("before")),
        (format!("{begin}\r\n--XBYTES\r\n--XB\r\n{next}"), two("before\r\n--XBYTES")),
        (format!("{begin}\r\n--XB BYTES\r\n--XB--"), one("before\r\n--XB BYTES")),
        (format!("{begin}\r\n--XB--BYTES\r\n--XB--"), one("before\r\n--XB--BYTES")),
        (format!("{begin}\r\n--XB\n\r\n--XB--"), one("before\r\n--XB\n")),
        (format!("{begin}\r\n--XB-\r\n\r\n--XB--"), one("before\r\n--XB-\r\n")),
        (format!("{begin}\n--XB\r\n\r\n--XB--"), one("before\n--XB\r\n")),
        (
            format!("{begin}\r\n--XB{}\r\n--XB--", " ".repeat(65)),
            one(&format!("before\r\n--XB{}", " ".repeat(65))),
        ),
        (format!("{begin}\r\n--XB--"), one("before")),
        (format!("{begin}\r\n--XB-- \t"), one("before")),
        (format!("{begin}\r\n--XB--\n"), one("before")),
        (format!("{begin}\r\n--XB--\r\n \r\n"), one("before")),
        (format!("preamble\r\n{begin}\r\n--XB--"), one("before")),
        // Malformed: the part before them is not whole.
        (format!("{begin}\r\n--XB-"), none.clone()),
        (format!("{begin}\r\n--XB--\r"), none.clone()),
        (format!("{begin}\r\n--XB\r\n"), none.clone()),
        (format!("{begin}\r\n--XB\r\nBYTES\r\n\r\nmore\r\n--XB--"), none.clone()),
        (format!("{begin}\r\n--XB\r\nB YTES: \r\n\r\nmore\r\n--XB--"), none.clone()),
        (format!("{begin}\r\n--XB\r\n: \r\n\r\nmore\r\n--XB--"), none.clone()),
        (format!("{begin}\r\n--XB\r\nX: \n\r\n\r\nmore\r\n--XB--"), none.clone()),
        (format!("{begin}\r\n--XB\r\n folded\r\n\r\nmore\r\n--XB--"), none.clone()),
        (format!("{begin}\r\n--XB\r\nX: {}\r\n\r\nmore\r\n--XB--", "x".repeat(HEAD_BYTES_MAX)), none.clone()),
        (String::new(), none.clone()),
        ("no form".to_owned(), none.clone()),
        ("x".repeat(100_000), none),
        // Nothing of it is dropped in silence, and what is whole stays so.
        (format!("{begin}\r\n--XB--\r\n--XB\r\n{next}"), (one("before").0, false)),
    ] {
        let (parts, ended) = read(vec![text.clone().into()], "XB");
        assert_eq!((parts, ended.is_ok()), expected, "{text}");
    }
}

#[test]
fn a_body_that_breaks_is_not_a_form_that_ends() {
    let whole = form("XB", &[b"content".to_vec()]);
    for (cut, parts) in [(whole.len(), 1), (whole.len() - 2, 0), (30, 0)] {
        let frames = [Ok(Bytes::copy_from_slice(&whole[..cut])), Err(BodyError::Interrupted)];
        let mut form = Multipart::new(stream::iter(frames), "XB");
        let found = async {
            let mut found = 0;
            while form.next_part().await?.is_some() {
                form.data().try_collect::<Vec<_>>().await?;
                found += 1;
            }
            Ok(found)
        };
        let expected = if parts == 1 { Ok(1) } else { Err(BodyError::Interrupted) };
        assert_eq!(found.now_or_never().unwrap(), expected, "{cut}");
    }
}

#[test]
fn headers_are_read_folded_or_not() {
    for (head, expected) in [
        ("", Some(vec![])),
        ("A: 1\r\n", Some(vec![("A", "1")])),
        ("A:1\r\nb-2: \t x y \r\n", Some(vec![("A", "1"), ("b-2", "x y")])),
        (
            "A: form-data;\r\n\tname=\"f\";\r\n  filename=\"x\"\r\n",
            Some(vec![("A", "form-data; name=\"f\"; filename=\"x\"")]),
        ),
        ("A: \u{fffd}\0\r\n", Some(vec![("A", "\u{fffd}\0")])),
        ("A\r\n", None),
        (" A: 1\r\n", None),
        ("A B: 1\r\n", None),
        ("A: 1\n", None),
    ] {
        let all = |found: Vec<(&str, &str)>| {
            let pair = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
            Headers(found.into_iter().map(pair).collect())
        };
        assert_eq!(Headers::read(head.as_bytes()), expected.map(all), "{head:?}");
    }
}

#[test]
fn boundaries() {
    for (content_type, expected) in [
        ("multipart/form-data; boundary=XB", Some("XB")),
        ("Multipart/Form-Data;charset=utf-8;Boundary=XB; x=y", Some("XB")),
        ("multipart/form-data; boundary=----=_Part_1_2.3", Some("----=_Part_1_2.3")),
        ("multipart/form-data; boundary=\"a b;c=d\"", Some("a b;c=d")),
        ("multipart/form-data; boundary=\"a\\\"b\"", Some("a\"b")),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=XB", None),
        ("text/plain; boundary=XB", None),
    ] {
        assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
    }
    assert!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(201))).is_none());
}
