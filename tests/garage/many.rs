//! A bucket of 20,000 objects: listed page by page in bounded memory, and one upload found among all.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{bucket, ends, garage, put, put_as_stranger, text, wb_with_keys};

/// Each with its receipt beside it.
const UPLOADS: usize = 9_990;
/// Put there by somebody's own tools. An odd number of them sorts before the uploads, so that pages of 1,000 end between an
/// object and its receipt.
const STRANGERS: usize = 20;
const SORTED_BEFORE: usize = 7;

fn id(number: usize) -> String {
    format!("01KAP7N3V8Q2ZD4T6W9X{number:06}")
}

fn content(number: usize) -> Bytes {
    let mut text = String::new();
    write!(text, "content {number}").unwrap();
    text.into()
}

/// Key and bytes of an upload and of its receipt.
fn upload(number: usize) -> [(String, Bytes); 2] {
    let (id, content, ticket) = (id(number), content(number), 1_000 + number / 100);
    let key = format!("{ticket}/{id}/{number}.log");
    let receipt = json!({"id": id, "name": format!("{number}.log"), "size": content.len(), "partner": "acme",
        "sha256": tests::sha256(&content), "ticket": ticket.to_string(), "destination": "support-uploader",
        "delivery": "done", "received_at": "2026-11-22T10:00:00Z"});
    [(key.clone(), content), (format!("{key}.receipt.json"), receipt.to_string().into())]
}

/// Largest resident size of a running process so far, bytes.
fn peak_rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_objects() {
    let (garage, home) = (garage(), tempfile::tempdir().unwrap());
    let name = garage.make_bucket("many");
    let bucket = bucket(&garage, &name).await;
    stream::iter((0..UPLOADS).flat_map(upload))
        .map(async |(key, bytes)| put(&bucket, &key, &bytes).await)
        .buffer_unordered(32)
        .for_each(async |()| ())
        .await;
    std::fs::write(home.path().join("file"), "a stranger's").unwrap();
    for number in 0..STRANGERS {
        let folder = if number < SORTED_BEFORE { "0-before" } else { "theirs" };
        put_as_stranger(&garage, &name, &format!("{folder}/{number}"), &home.path().join("file"));
    }
    let place = format!("s3://{name}");
    let command =
        |arguments: &[&str]| wb_with_keys(&garage, home.path(), &[&["--s3", &place], arguments].concat());

    // Read slowly: while a line of a page waits here, at most the next page is in memory.
    let mut child = command(&["ls", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut listed: Vec<Value> = Vec::new();
    let mut read = |count: usize| {
        let parsed = lines.by_ref().take(count).map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        listed.extend(parsed);
    };
    read(2_000);
    let early = peak_rss_bytes(child.id());
    read(UPLOADS + STRANGERS - 3_000);
    let late = peak_rss_bytes(child.id());
    read(usize::MAX);
    assert!(child.wait().unwrap().success());
    assert!(late < early + (2 << 20) && late < 128 << 20, "{early} bytes early, {late} late");

    assert_eq!(listed.len(), UPLOADS + STRANGERS);
    let keys: Vec<_> = listed.iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert!(keys.is_sorted(), "in the order of keys, none twice");
    let strangers = listed.iter().filter(|line| line["unverified"] == true);
    assert!(strangers.clone().all(|line| line["id"].is_null()), "an upload without its receipt");
    assert_eq!(strangers.count(), STRANGERS);
    assert_eq!(text(&ends(&mut command(&["ls"]), 0)).lines().count(), UPLOADS + STRANGERS + 1);
    assert_eq!(text(&ends(&mut command(&["ls", "--json", "--ticket", "1042"]), 0)).lines().count(), 100);

    let last = UPLOADS - 1;
    for what in [id(last), format!("{}/{}", 1_000 + last / 100, id(last))] {
        assert_eq!(ends(&mut command(&["get", &what, "-o", "-"]), 0).stdout, content(last));
        ends(&mut command(&["verify", &what]), 0);
    }
    let saved = text(&ends(&mut command(&["--json", "get", "1042", "-o", "out"]), 0));
    assert_eq!(saved.lines().count(), 100);
    ends(&mut command(&["get", &id(UPLOADS)]), 3);
    ends(&mut command(&["verify", "theirs/19"]), 3);
}
