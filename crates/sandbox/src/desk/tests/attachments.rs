//! Uploads, their tokens, and the bytes behind `content_url`.

use std::time::Duration;

use futures_util::stream;

use super::*;

fn files(bench: &TestDesk) -> usize {
    std::fs::read_dir(bench.dir.path().join("files")).unwrap().count()
}

#[tokio::test]
async fn upload_becomes_an_attachment() {
    let bench = bench();
    let upload = bench.upload("crash%20%C3%A4.log", "hello").await;
    assert_eq!(upload["attachment"]["file_name"], "crash ä.log");
    assert_eq!(upload["attachment"]["size"], 5);
    assert_eq!(upload["attachment"]["malware_scan_result"], "not_scanned");
    let token = upload["token"].clone();
    let answer = bench
        .update(1001, json!({"comment": {"body": "see", "public": false, "uploads": [token]}}), 200)
        .await;
    assert_eq!(answer["audit"]["events"][0]["attachments"][0]["file_name"], "crash ä.log");
    let comments = bench.get("/api/v2/tickets/1001/comments.json").await;
    let attachment = &comments["comments"][1]["attachments"][0];
    let url = attachment["content_url"].as_str().unwrap();
    assert!(url.starts_with("http://desk.test/attachments/token/"), "{url}");
    let content = bench.send("GET", url, &[], "").await;
    assert_eq!((content.status, &content.bytes[..]), (200, &b"hello"[..]));
    assert_eq!(content.header("content-type"), "text/plain");
    assert_eq!(content.header("content-length"), "5");
    assert!(content.header("content-disposition").starts_with("attachment; filename="));
    assert_eq!(bench.send("GET", url, &[("authorization", "")], "").await.status, 401);
}

#[tokio::test]
async fn token_is_valid_once() {
    let bench = bench();
    let token = bench.upload("a", "1").await["token"].clone();
    let comment = json!({"comment": {"body": "x", "uploads": [token]}});
    bench.update(1001, comment.clone(), 200).await;
    let refused = bench.update(1001, comment, 422).await;
    assert_eq!(refused["error"], "RecordInvalid");
    bench.update(1001, json!({"comment": {"body": "x", "uploads": ["unknown"]}}), 422).await;
    assert_eq!(bench.get("/api/v2/tickets/1001/comments").await["count"], 2);
}

#[tokio::test]
async fn refused_update_consumes_no_token() {
    let bench = bench();
    let token = bench.upload("a", "1").await["token"].clone();
    let stale = json!({"comment": {"body": "x", "uploads": [token]}, "safe_update": true,
        "updated_stamp": "2020-01-01T00:00:00Z"});
    bench.update(1001, stale, 409).await;
    bench.update(2001, json!({"comment": {"body": "x", "uploads": [token]}}), 422).await;
    bench.update(1001, json!({"comment": {"body": "x", "uploads": [token]}}), 200).await;
}

#[tokio::test]
async fn several_files_may_share_a_token() {
    let bench = bench();
    let token = bench.upload("a", "1").await["token"].as_str().unwrap().to_owned();
    let second = bench.upload(&format!("b&token={token}"), "22").await;
    assert_eq!((&second["token"], second["attachments"].as_array().unwrap().len()), (&json!(token), 2));
    assert_eq!(second["attachment"]["file_name"], "b");
    bench.update(1001, json!({"comment": {"body": "x", "uploads": [token]}}), 200).await;
    let comments = bench.get("/api/v2/tickets/1001/comments").await;
    assert_eq!(comments["comments"][1]["attachments"].as_array().unwrap().len(), 2);
    let path = format!("/api/v2/uploads?filename=c&token={token}");
    assert_eq!(bench.send("POST", &path, &[("content-type", "a/b")], "x").await.status, 422, "consumed");
}

#[tokio::test]
async fn unused_token_expires_after_an_hour() {
    let bench = bench();
    let upload = bench.upload("a", "1").await;
    let url = upload["attachment"]["content_url"].as_str().unwrap();
    bench.desk.advance(Duration::from_secs(3590));
    assert_eq!(bench.send("GET", url, &[], "").await.status, 200);
    bench.desk.advance(Duration::from_secs(11));
    assert_eq!(bench.send("GET", url, &[], "").await.status, 404);
    bench.update(1001, json!({"comment": {"body": "x", "uploads": [upload["token"]]}}), 422).await;
    assert_eq!(files(&bench), 1);
    bench.upload("b", "2").await;
    assert_eq!(files(&bench), 1, "the next upload clears the expired one away");
}

#[tokio::test]
async fn refused_uploads() {
    let refused_extensions = vec!["exe".to_owned()];
    let bench =
        TestDesk::new(DeskOptions { max_attachment_bytes: 4, refused_extensions, ..DeskOptions::default() });
    let cases = [
        ("?filename=a", "text/plain", "12345", 413, "AttachmentTooBig"),
        ("?filename=a", "text/plain", "1234", 201, ""),
        ("?filename=a.EXE", "text/plain", "1", 422, "AttachmentUnprocessable"),
        ("?filename=a", "", "1", 422, "RecordInvalid"),
        ("?filename=", "text/plain", "1", 422, "RecordInvalid"),
        ("", "text/plain", "1", 422, "RecordInvalid"),
        ("?filename=a&token=nope", "text/plain", "1", 422, "RecordInvalid"),
    ];
    for (query, content_type, body, status, error) in cases {
        let path = format!("/api/v2/uploads{query}");
        // Once with a declared length, once without.
        for length in [body.len().to_string(), String::new()] {
            let headers = [("content-type", content_type), ("content-length", &length)];
            let answer = bench.send("POST", &path, &headers, body).await;
            assert_eq!(answer.status, status, "{query} {length}");
            assert_eq!(
                answer.json().get("error").map_or("", |error| error.as_str().unwrap()),
                error,
                "{query}"
            );
        }
    }
    assert_eq!(files(&bench), 2);
}

#[tokio::test]
async fn broken_body_leaves_nothing() {
    let bench = bench();
    let frames = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("cut"))];
    let path = "/api/v2/uploads?filename=a";
    let answer =
        bench.send("POST", path, &[("content-type", "a/b")], Body::from_stream(stream::iter(frames))).await;
    assert_eq!((answer.status, files(&bench)), (400, 0));
}
