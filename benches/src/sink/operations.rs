//! S3 requests to answers: just enough of the protocol for the AWS SDK and for `curl -T`.

use std::{collections::HashMap, fmt::Write, sync::Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED},
    http::request::Parts,
};
use percent_encoding::percent_decode_str;

use super::store::{Metadata, Multipart, Object, Refusal, Store, Stored};

/// Bodies up to this size are kept: receipts and probes, never content worth measuring.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Pieces of tails are read back.
const PIECE_BYTES_MAX: usize = 64 << 20;
/// The path that tells how many bytes of objects were read.
pub(super) const READ_BYTES: &str = "read-bytes";
/// Nobody compares times here.
const MODIFIED_HTTP: &str = "Sun, 22 Nov 2026 10:00:00 GMT";
const MODIFIED_ISO: &str = "2026-11-22T10:00:00.000Z";
const CRC64: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");

type Answer = Response<Full<Bytes>>;
type Query = HashMap<String, String>;

/// Reads the body to its end, then answers.
pub(super) async fn answer(request: Request<Incoming>, store: &Mutex<Store>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_start_matches('/');
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let kept_bytes_max = if path.contains("/.weighbridge/") { PIECE_BYTES_MAX } else { KEPT_BYTES_MAX };
    let Ok(stored) = drain(&head.headers, body, kept_bytes_max).await else {
        return refuse(StatusCode::BAD_REQUEST, ("IncompleteBody", "The body ended early."));
    };
    let query = parse_query(head.uri.query().unwrap_or_default());
    // A poisoned lock means a bug in here; the figures would be worthless anyway.
    let Ok(mut store) = store.lock() else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, ("InternalError", "The sink is broken."));
    };
    if path == READ_BYTES {
        let mut answer = reply(StatusCode::OK);
        *answer.body_mut() = Full::new(store.read_bytes.to_string().into());
        return answer;
    }
    match path.split_once('/').filter(|(_, key)| !key.is_empty()) {
        Some(_) => object(&head, &path, &query, stored, &mut store),
        None => bucket(&head.method, path.trim_end_matches('/'), &query, &store),
    }
}

/// Counts the body and drops it, but for a small one.
async fn drain<B: Body<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    mut body: B,
    kept_bytes_max: usize,
) -> Result<Stored, B::Error> {
    let mut size = 0;
    let mut kept = Some(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        size += u64::try_from(data.len()).unwrap_or(u64::MAX);
        kept = kept.filter(|kept| kept.len() + data.len() <= kept_bytes_max).map(|mut kept| {
            kept.extend_from_slice(&data);
            kept
        });
    }
    // aws-chunked bodies carry signatures between the bytes: their length is another, and they cannot be kept as they are.
    let decoded = text(headers, "x-amz-decoded-content-length").and_then(|length| length.parse().ok());
    Ok(Stored {
        size: decoded.unwrap_or(size),
        crc64: text(headers, CRC64.as_str()),
        etag: String::new(),
        body: kept.filter(|_| decoded.is_none()).map(Bytes::from),
    })
}

fn bucket(method: &Method, name: &str, query: &Query, store: &Store) -> Answer {
    let prefix = format!("{name}/{}", query.get("prefix").map_or("", String::as_str));
    let bucket = format!("{name}/");
    if method == Method::HEAD || method == Method::PUT {
        return reply(StatusCode::OK);
    }
    if query.contains_key("uploads") {
        return list_multiparts(&prefix, &bucket, store);
    }
    if query.contains_key("lifecycle") {
        return refuse(StatusCode::NOT_FOUND, ("NoSuchLifecycleConfiguration", "There is no lifecycle."));
    }
    if method == Method::GET && (query.contains_key("list-type") || query.is_empty()) {
        return list_objects(name, &prefix, &bucket, store);
    }
    refuse(StatusCode::NOT_IMPLEMENTED, ("NotImplemented", "The sink does not know this."))
}

fn object(head: &Parts, key: &str, query: &Query, mut stored: Stored, store: &mut Store) -> Answer {
    let id = query.get("uploadId").map(String::as_str);
    match (head.method.as_str(), id) {
        ("PUT", Some(id)) => {
            let etag = store.next_id();
            let Some(number) = query.get("partNumber").and_then(|number| number.parse().ok()) else {
                return refuse(StatusCode::BAD_REQUEST, ("InvalidArgument", "The part number is not one."));
            };
            match store.multipart(id, key) {
                Ok(multipart) => {
                    stored.etag.clone_from(&etag);
                    let answer = describe(reply(StatusCode::OK), &stored);
                    multipart.parts.insert(number, stored);
                    answer
                }
                Err(refusal) => refuse(StatusCode::NOT_FOUND, refusal),
            }
        }
        ("PUT", None) => put(head, key, stored, store),
        ("POST", None) if query.contains_key("uploads") => create_multipart(head, key, store),
        ("POST", Some(id)) => complete(head, key, id, &stored, store),
        ("DELETE", Some(id)) => match store.multipart(id, key) {
            Ok(_) => {
                store.multiparts.remove(id);
                reply(StatusCode::NO_CONTENT)
            }
            Err(refusal) => refuse(StatusCode::NOT_FOUND, refusal),
        },
        ("DELETE", None) => {
            store.objects.remove(key);
            reply(StatusCode::NO_CONTENT)
        }
        ("GET", Some(id)) => match store.multipart(id, key) {
            Ok(multipart) => list_parts(id, multipart),
            Err(refusal) => refuse(StatusCode::NOT_FOUND, refusal),
        },
        ("HEAD" | "GET", None) => match store.objects.get(key) {
            Some(object) => {
                if head.method == Method::GET {
                    store.read_bytes += object.stored.size;
                }
                read(&head.method, object)
            }
            None => refuse(StatusCode::NOT_FOUND, ("NoSuchKey", "The specified key does not exist.")),
        },
        _ => refuse(StatusCode::NOT_IMPLEMENTED, ("NotImplemented", "The sink does not know this.")),
    }
}

fn put(head: &Parts, key: &str, mut stored: Stored, store: &mut Store) -> Answer {
    if head.headers.contains_key("if-none-match") && store.objects.contains_key(key) {
        return refuse(StatusCode::PRECONDITION_FAILED, ("PreconditionFailed", "The object exists."));
    }
    stored.etag = store.next_id();
    let answer = describe(reply(StatusCode::OK), &stored);
    store.objects.insert(key.to_owned(), Object { stored, metadata: metadata(&head.headers) });
    answer
}

fn create_multipart(head: &Parts, key: &str, store: &mut Store) -> Answer {
    let id = store.next_id();
    let multipart =
        Multipart { key: key.to_owned(), metadata: metadata(&head.headers), parts: Default::default() };
    store.multiparts.insert(id.clone(), multipart);
    let (bucket, key) = key.split_once('/').unwrap_or_default();
    let (bucket, key) = (escape(bucket), escape(key));
    xml(
        "InitiateMultipartUploadResult",
        &format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>"),
    )
}

fn complete(head: &Parts, key: &str, id: &str, stored: &Stored, store: &mut Store) -> Answer {
    // The list of parts is longer than a kept body from about 300 parts on: then all parts are meant.
    let listed = match &stored.body {
        Some(body) => part_numbers(&String::from_utf8_lossy(body)),
        None => {
            store.multipart(id, key).map(|found| found.parts.keys().copied().collect()).unwrap_or_default()
        }
    };
    let size = text(&head.headers, "x-amz-mp-object-size").and_then(|size| size.parse().ok());
    match store.complete(id, key, &listed, size, stored.crc64.clone()) {
        Ok(object) => {
            let (bucket, key) = key.split_once('/').unwrap_or_default();
            let (bucket, key, etag) = (escape(bucket), escape(key), &object.stored.etag);
            let crc64 = object.stored.crc64.as_deref().unwrap_or_default();
            xml(
                "CompleteMultipartUploadResult",
                &format!(
                    "<Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag>\
                     <ChecksumCRC64NVME>{crc64}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"
                ),
            )
        }
        Err(refusal @ ("NoSuchUpload", _)) => refuse(StatusCode::NOT_FOUND, refusal),
        Err(refusal) => refuse(StatusCode::BAD_REQUEST, refusal),
    }
}

fn read(method: &Method, object: &Object) -> Answer {
    let mut answer = describe(reply(StatusCode::OK), &object.stored);
    if method == Method::GET {
        let Some(body) = &object.stored.body else {
            return refuse(StatusCode::NOT_IMPLEMENTED, ("NotImplemented", "The sink dropped these bytes."));
        };
        *answer.body_mut() = Full::new(body.clone());
    }
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(object.stored.size));
    headers.insert(LAST_MODIFIED, HeaderValue::from_static(MODIFIED_HTTP));
    headers.extend(object.metadata.iter().cloned());
    answer
}

fn list_objects(bucket_name: &str, prefix: &str, bucket: &str, store: &Store) -> Answer {
    let mut items = String::new();
    for (key, object) in
        store.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix))
    {
        let (key, size) = (escape(&key[bucket.len()..]), object.stored.size);
        // Writing to a string does not fail.
        let _ = write!(
            items,
            "<Contents><Key>{key}</Key><LastModified>{MODIFIED_ISO}</LastModified><Size>{size}</Size></Contents>"
        );
    }
    let name = escape(bucket_name);
    xml("ListBucketResult", &format!("<Name>{name}</Name><IsTruncated>false</IsTruncated>{items}"))
}

fn list_multiparts(prefix: &str, bucket: &str, store: &Store) -> Answer {
    let mut items = String::new();
    for (id, multipart) in store.multiparts.iter().filter(|(_, multipart)| multipart.key.starts_with(prefix))
    {
        let key = escape(&multipart.key[bucket.len()..]);
        let _ = write!(
            items,
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{MODIFIED_ISO}</Initiated></Upload>"
        );
    }
    xml("ListMultipartUploadsResult", &format!("<IsTruncated>false</IsTruncated>{items}"))
}

fn list_parts(id: &str, multipart: &Multipart) -> Answer {
    let mut items = String::new();
    for (number, part) in &multipart.parts {
        let (etag, size) = (&part.etag, part.size);
        let crc64 = part.crc64.as_deref().unwrap_or_default();
        let _ = write!(
            items,
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>\
             <ChecksumCRC64NVME>{crc64}</ChecksumCRC64NVME></Part>"
        );
    }
    xml("ListPartsResult", &format!("<UploadId>{id}</UploadId><IsTruncated>false</IsTruncated>{items}"))
}

/// Tag and checksum, as S3 repeats them.
fn describe(mut answer: Answer, stored: &Stored) -> Answer {
    let headers = answer.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", stored.etag)) {
        headers.insert(ETAG, etag);
    }
    if let Some(crc64) = stored.crc64.as_deref().and_then(|crc64| HeaderValue::try_from(crc64).ok()) {
        headers.insert(CRC64, crc64);
        headers.insert(CHECKSUM_TYPE, HeaderValue::from_static("FULL_OBJECT"));
    }
    answer
}

fn metadata(headers: &HeaderMap) -> Metadata {
    let kept = |name: &HeaderName| name == CONTENT_TYPE || name.as_str().starts_with("x-amz-meta-");
    headers.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn parse_query(query: &str) -> Query {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        // The SDK adds the operation's name to every query.
        .filter(|(name, _)| name != "x-id")
        .collect()
}

/// The numbers in a `CompleteMultipartUpload` document, in its order.
fn part_numbers(document: &str) -> Vec<u32> {
    document
        .split("<PartNumber>")
        .skip(1)
        .filter_map(|rest| rest.split_once('<')?.0.trim().parse().ok())
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn reply(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn xml(element: &str, content: &str) -> Answer {
    let mut answer = reply(StatusCode::OK);
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <{element} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</{element}>"
    );
    *answer.body_mut() = Full::new(text.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

fn refuse(status: StatusCode, (code, message): Refusal) -> Answer {
    let mut answer = xml("Error", &format!("<Code>{code}</Code><Message>{message}</Message>"));
    *answer.status_mut() = status;
    answer
}
