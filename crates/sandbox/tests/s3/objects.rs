//! Single objects: bytes and metadata survive, whole and in ranges, with signed and presigned requests.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, Delete, ObjectIdentifier};

use crate::{BUCKET, MIB, TestStore, code, crc64, pattern};

#[tokio::test]
async fn round_trips_keep_bytes_and_metadata() {
    let world = TestStore::start().await;
    for length in [0, 1, 1000, MIB - 1, MIB, 3 * MIB + 17] {
        let key = format!("1001/id/{length}");
        let data = pattern(length, 7);
        let call = world.client.put_object().bucket(BUCKET).key(&key).checksum_crc64_nvme(crc64(&data));
        let call = call.content_type("text/x-log").metadata("ticket", "1001").metadata("name", "a b (1).log");
        let put = call.body(data.clone().into()).customize().disable_payload_signing().send().await.unwrap();
        assert_eq!(put.checksum_crc64_nvme(), Some(crc64(&data).as_str()));

        let call = world.client.head_object().bucket(BUCKET).key(&key).checksum_mode(ChecksumMode::Enabled);
        let head = call.send().await.unwrap();
        assert_eq!(head.content_length(), i64::try_from(length).ok());
        assert_eq!(head.content_type(), Some("text/x-log"));
        assert_eq!(head.e_tag(), put.e_tag());
        assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&data).as_str()));
        assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
        assert_eq!(head.metadata().unwrap()["name"], "a b (1).log");
        assert!(head.last_modified().is_some());
        assert!(world.get(&key).await == data, "{length}");
    }
}

#[tokio::test]
async fn bodies_as_the_sdk_sends_them_by_default() {
    let world = TestStore::start().await;
    let access = &world.sandbox.s3;
    let defaults = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .endpoint_url(&access.endpoint)
        .region(aws_sdk_s3::config::Region::new(access.region.clone()))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            &access.access_key_id,
            &access.secret_access_key,
            None,
            None,
            "test",
        ))
        .force_path_style(true)
        .build();
    let client = aws_sdk_s3::Client::from_conf(defaults);
    let data = pattern(2 * MIB + 5, 3);
    // In memory: a signed payload and a CRC32 in a header. From a file: signed chunks and a CRC32 in the trailer.
    let file = world.dir.path().join("body");
    std::fs::write(&file, &data).unwrap();
    for (key, body) in
        [("memory", data.clone().into()), ("file", ByteStream::from_path(&file).await.unwrap())]
    {
        client.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
        let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert!(answer.body.collect().await.unwrap().to_vec() == data, "{key}");
    }
}

#[tokio::test]
async fn ranges() {
    let world = TestStore::start().await;
    let data = pattern(600 * 1024, 1);
    world.put("log", &data).await;
    let size = data.len();
    let cases = [
        ("bytes=0-0", 0..1),
        ("bytes=10-19", 10..20),
        ("bytes=262143-262144", 262_143..262_145),
        ("bytes=5-", 5..size),
        ("bytes=-7", size - 7..size),
        ("bytes=-99999999", 0..size),
        ("bytes=100-99999999", 100..size),
    ];
    for (range, expected) in cases {
        let answer = world.client.get_object().bucket(BUCKET).key("log").range(range).send().await.unwrap();
        let said = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(answer.content_range(), Some(said.as_str()), "{range}");
        assert_eq!(answer.content_length(), i64::try_from(expected.len()).ok());
        assert!(answer.body.collect().await.unwrap().to_vec() == data[expected], "{range}");
    }
    let beyond =
        world.client.get_object().bucket(BUCKET).key("log").range(format!("bytes={size}-")).send().await;
    assert_eq!(code(&beyond.unwrap_err()), "InvalidRange");
}

#[tokio::test]
async fn presigned_urls() {
    let world = TestStore::start().await;
    let data = pattern(300_000, 5);
    world.put("1001/x/büro & co.log", &data).await;
    let minutes = || PresigningConfig::expires_in(Duration::from_secs(300)).unwrap();
    let call = world.client.get_object().bucket(BUCKET).key("1001/x/büro & co.log");
    let call = call.response_content_disposition("attachment; filename=\"x.log\"");
    let call = call.response_content_type("application/octet-stream");
    let url = call.presigned(minutes()).await.unwrap().uri().to_owned();

    let http = reqwest::Client::new();
    for (range, status, expected) in [(None, 200, &data[..]), (Some("bytes=9-99"), 206, &data[9..100])] {
        let mut request = http.get(&url);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"x.log\"");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert!(answer.bytes().await.unwrap() == expected);
    }
    let tampered = http.get(url.replace("x.log", "y.log")).send().await.unwrap();
    assert_eq!(tampered.status().as_u16(), 403);
    let unsigned = url.split('?').next().unwrap();
    assert_eq!(http.get(unsigned).send().await.unwrap().status().as_u16(), 403);

    let url = world.client.put_object().bucket(BUCKET).key("put").presigned(minutes()).await.unwrap();
    let answer = http.put(url.uri()).body(data.clone()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(world.get("put").await == data);
}

#[tokio::test]
async fn odd_keys_stay_apart() {
    let world = TestStore::start().await;
    let long = "k".repeat(1024);
    let wide = "ü".repeat(512);
    let keys = [
        "a",
        "a/",
        "a/b",
        "/a",
        "//a",
        "..",
        "../a",
        "a/../b",
        "./a",
        ".",
        "tmp-x",
        "a b+c%20d",
        "ü/ß",
        "a\\b",
        "日本",
        "a?b=c&d",
        "a#b",
        "100%",
        "'\"<>&",
        long.as_str(),
        wide.as_str(),
    ];
    for key in keys {
        world.put(key, key.as_bytes()).await;
    }
    let world = world.restart().await;
    for key in keys {
        assert_eq!(world.get(key).await, key.as_bytes(), "{key}");
    }
    let listed = world.client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let mut expected = keys.map(str::to_owned);
    expected.sort();
    let listed: Vec<_> = listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect();
    assert_eq!(listed, expected);
    let too_long = crate::put(&world.client, &"k".repeat(1025), b"").await;
    assert_eq!(too_long, Err("KeyTooLongError".to_owned()));
}

#[tokio::test]
async fn conditions_on_writes_and_reads() {
    let world = TestStore::start().await;
    let attempts = (0..8_u8).map(|n| {
        let call =
            world.client.put_object().bucket(BUCKET).key("once").if_none_match("*").body(vec![n; 10].into());
        call.send()
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(code);
    assert_eq!(refused.collect::<Vec<_>>(), ["PreconditionFailed"; 7]);

    let etag = outcomes.into_iter().find_map(Result::ok).unwrap().e_tag.unwrap();
    let put = |tag: &str| {
        world.client.put_object().bucket(BUCKET).key("once").if_match(tag).body(vec![1].into()).send()
    };
    assert_eq!(code(&put("\"other\"").await.unwrap_err()), "PreconditionFailed");
    put(&etag).await.unwrap();

    let get = || world.client.get_object().bucket(BUCKET).key("once");
    let etag = get().send().await.unwrap().e_tag.unwrap();
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    assert_eq!(code(&get().if_match("\"x\"").send().await.unwrap_err()), "PreconditionFailed");
    assert_eq!(world.blobs(), 1, "what was refused or replaced is gone");
}

#[tokio::test]
async fn read_in_flight_survives_deletion() {
    let world = TestStore::start().await;
    let data = pattern(8 * MIB, 2);
    world.put("log", &data).await;
    let mut body = world.client.get_object().bucket(BUCKET).key("log").send().await.unwrap().body;
    let mut read = body.next().await.unwrap().unwrap().to_vec();
    for _ in 0..2 {
        // Deleting a missing object is no error.
        world.client.delete_object().bucket(BUCKET).key("log").send().await.unwrap();
    }
    assert!(!world.exists("log").await);
    read.extend(body.collect().await.unwrap().to_vec());
    assert!(read == data);
}

#[tokio::test]
async fn delete_many() {
    let world = TestStore::start().await;
    for key in ["a", "b", "c"] {
        world.put(key, b"x").await;
    }
    let named = ["a", "b", "nothing"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder().set_objects(Some(named.to_vec())).build().unwrap();
    let answer = world.client.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!((answer.deleted().len(), answer.errors().len()), (3, 0));
    assert_eq!(world.blobs(), 1);
    assert!(world.exists("c").await);
}

#[tokio::test]
async fn disconnected_sender_leaves_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let world = TestStore::start().await;
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = world.client.put_object().bucket(BUCKET).key("half").presigned(expiry).await.unwrap();
    let (host, path) = url.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 9000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&pattern(3 * MIB, 1)).await.unwrap();
    let blobs = async |expected| {
        let reached = async {
            while world.blobs() != expected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    };
    blobs(1).await;
    drop(socket);
    blobs(0).await;
    assert!(!world.exists("half").await);
}

/// One that is still sending when the connection closes takes a refusal for a broken line, and tries again for nothing.
#[tokio::test]
async fn slow_sender_sees_the_refusal() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = TestStore::start().await;
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let part = world.client.upload_part().bucket(BUCKET).key("k").upload_id("nothing").part_number(1);
    let url = part.presigned(expiry).await.unwrap();
    let (host, path) = url.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let body = pattern(4 * MIB, 1);
    let head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    for piece in body.chunks(MIB) {
        let early = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut answer)).await;
        assert!(early.is_err(), "an answer to one that is still sending: {early:?}");
        socket.write_all(piece).await.unwrap();
    }
    let read = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("NoSuchUpload"), "{answer}");
}
