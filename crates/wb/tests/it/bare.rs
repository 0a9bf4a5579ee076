//! An S3 server that keeps no checksums, as some stores do: one object, whatever the key.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::store::Store;
use crate::{read, run};

const CONTENT: &[u8] = b"nothing vouches for me";

async fn serve(listener: TcpListener) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(async |request| Ok::<_, io::Error>(answer(&request)));
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = Response::builder().header(header::ETAG, "\"1\"");
    if request.uri().path().ends_with(".receipt.json") {
        return answer.status(404).body("<Error><Code>NoSuchKey</Code></Error>".into()).unwrap();
    }
    if request.method() == Method::HEAD {
        return answer.header(header::CONTENT_LENGTH, CONTENT.len()).body(Full::default()).unwrap();
    }
    let last = CONTENT.len() - 1;
    assert_eq!(request.headers()[header::RANGE], format!("bytes=0-{last}"));
    let range = format!("bytes 0-{last}/{}", CONTENT.len());
    answer.status(206).header(header::CONTENT_RANGE, range).body(CONTENT.into()).unwrap()
}

#[test]
fn an_object_without_a_checksum_is_unverified() {
    let store = Store::new();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(serve(listener));
    let wb = |arguments: &[&str]| run(store.command(arguments).env("AWS_ENDPOINT_URL_S3", &endpoint));

    let saved = wb(&["get", "plain.bin"]).ends(0);
    assert!(saved.text().trim_end().ends_with(" unverified"), "{}", saved.text());
    assert!(saved.stderr.starts_with("warning: `plain.bin` is unverified"), "{}", saved.stderr);
    assert_eq!(read(store.path("plain.bin")), CONTENT);

    let saved = wb(&["--json", "get", "plain.bin"]).ends(0).objects().remove(0);
    assert_eq!((&saved["unverified"], saved["verified_by"].is_null()), (&true.into(), true), "{saved}");

    let refused = wb(&["get", "plain.bin", "--require-verified", "-o", "strict"]).ends(5);
    assert!(refused.stderr.contains("unverified: the object has no receipt"), "{}", refused.stderr);
    assert!(store.names("strict").is_empty());

    let verified = wb(&["verify", "plain.bin"]).ends(3);
    assert!(verified.stdout.is_empty() && verified.stderr.contains("to compare with"), "{}", verified.stderr);
}
