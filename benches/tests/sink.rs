//! The sink understood by the AWS SDK, through the calls the gateway makes, and by `curl`'s senders.

use benches::{
    senders::{Length, send_all},
    sink,
};
use bucket::{Bucket, Config, Crc64, Crc64Hasher, Credentials, Error, PartTag, Payload};
use tokio::net::TcpListener;

async fn start() -> (String, Bucket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(tests::serve_discarding(listener));
    let credentials =
        Credentials::Static { access_key_id: "bench".to_owned(), secret_access_key: "bench".to_owned() };
    let config = Config {
        bucket: sink::BUCKET.to_owned(),
        prefix: String::new(),
        endpoint: Some(url.clone()),
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        path_style: true,
        credentials,
        expected_owner: None,
        kms_key: None,
    };
    (url, Bucket::new(config).await)
}

fn payload(length: usize) -> Payload {
    let bytes = vec![7; length];
    let mut hasher = Crc64Hasher::new();
    hasher.update(&bytes);
    Payload::new(vec![bytes.into()], hasher.value())
}

#[tokio::test(flavor = "multi_thread")]
async fn small_object_round_trip() {
    let (_, bucket) = start().await;
    bucket.probe().await.unwrap();
    let key = "1001/01A/a <b> & ü.log";
    assert_eq!(bucket.head(key).await.unwrap(), None);
    let payload = payload(1_000);
    bucket.put(key, "text/plain", &vec![("ticket", "1001".to_owned())], &payload).await.unwrap();
    let found = bucket.head(key).await.unwrap().unwrap();
    assert_eq!((found.size, found.crc64), (1_000, Some(payload.crc64())));
    let listed = bucket.list("1001/", None).await.unwrap();
    assert_eq!(listed.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), [key]);
    assert!(bucket.list("2001/", None).await.unwrap().objects.is_empty());
    assert_eq!(bucket.read(key, None).await.unwrap().length, 1_000);
    bucket.delete(key).await.unwrap();
    assert_eq!(bucket.head(key).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_upload_has_the_size_of_its_parts() {
    let (_, bucket) = start().await;
    let id = bucket.create_multipart("k", "text/plain", &Vec::new()).await.unwrap();
    assert_eq!(bucket.multiparts("").await.unwrap(), [("k".to_owned(), id.clone())]);
    let mut tags = Vec::new();
    for (number, length) in [(1, 8 << 20), (2, 1_234)] {
        let payload = payload(length);
        let etag = bucket.put_part("k", &id, number, &payload).await.unwrap();
        tags.push(PartTag { number, etag, crc64: payload.crc64() });
    }
    let size = (8 << 20) + 1_234;
    let whole = tags[0].crc64.then(tags[1].crc64, 1_234);
    let wrong = bucket.complete_multipart("k", &id, &tags, size + 1, whole).await;
    assert!(wrong.is_err() && bucket.head("k").await.unwrap().is_none());
    bucket.complete_multipart("k", &id, &tags, size, whole).await.unwrap();
    let found = bucket.head("k").await.unwrap().unwrap();
    assert_eq!((found.size, found.crc64), (size, Some(whole)));
    assert!(bucket.multiparts("").await.unwrap().is_empty());
    let again = bucket.complete_multipart("k", &id, &tags, size, Crc64::EMPTY).await;
    assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_multipart_upload_is_gone() {
    let (_, bucket) = start().await;
    let id = bucket.create_multipart("k", "text/plain", &Vec::new()).await.unwrap();
    bucket.abort_multipart("k", &id).await.unwrap();
    assert!(bucket.multiparts("").await.unwrap().is_empty());
    assert!(matches!(bucket.put_part("k", &id, 1, &payload(10)).await, Err(Error::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn known_and_unknown_lengths() {
    let (url, bucket) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, vec![1; 3_000_000]).unwrap();
    for length in [Length::Known, Length::Unknown] {
        let names = ["a", "b"].map(|name| format!("{name}-{}", length.name()));
        let urls = names.each_ref().map(|name| format!("{url}/{}/{name}", sink::BUCKET));
        let file = file.clone();
        tokio::task::spawn_blocking(move || send_all(&file, length, &urls)).await.unwrap().unwrap();
        for name in &names {
            assert_eq!(bucket.head(name).await.unwrap().unwrap().size, 3_000_000);
        }
    }
    let urls = [format!("{url}/{}/k?uploadId=none&partNumber=1", sink::BUCKET)];
    let refused = tokio::task::spawn_blocking(move || send_all(&file, Length::Known, &urls)).await.unwrap();
    assert!(refused.unwrap_err().to_string().contains("NoSuchUpload"));
}
