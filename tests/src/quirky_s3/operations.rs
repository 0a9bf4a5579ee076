//! The S3 operations, path-style, as far as the gateway uses them. Signatures are not checked: tests look at them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use md5::Digest as _;

use super::{Checking, Kept, Quirks, RecordedRequest, State, Unfinished, plain};

/// S3's name of what a request asks for.
pub(crate) fn operation(method: &Method, target: &str) -> &'static str {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has_key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (method.as_str(), has_key) {
        ("HEAD", false) => "HeadBucket",
        ("GET", false) if has("lifecycle") => "GetBucketLifecycleConfiguration",
        ("GET", false) if has("versioning") => "GetBucketVersioning",
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("GET", false) => "ListObjectsV2",
        ("GET", true) if has("tagging") => "GetObjectTagging",
        ("HEAD", true) => "HeadObject",
        ("GET", true) => "GetObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) => "CompleteMultipartUpload",
        ("PUT", true) if has("uploadId") => "UploadPart",
        ("PUT", true) => "PutObject",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        _ => "Other",
    }
}

pub(super) fn answer(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let operation = asked.operation.as_str();
    if quirks.denied.contains(&operation) {
        return refused(403, "AccessDenied");
    }
    let path = asked.target.split('?').next().unwrap_or_default().to_owned();
    let tells_checksums =
        asked.headers.keys().any(|name| name.starts_with("x-amz-checksum-a") || name.contains("crc64nvme"));
    if quirks.checking == Checking::Md5 && tells_checksums {
        return refused(501, "NotImplemented");
    }
    match operation {
        "HeadBucket" => match quirks.elsewhere {
            None => plain(200, ""),
            Some(region) => with(plain(301, ""), "x-amz-bucket-region", region),
        },
        "GetBucketLifecycleConfiguration" => match &quirks.lifecycle {
            Some(xml) => plain(200, xml),
            None => refused(404, "NoSuchLifecycleConfiguration"),
        },
        "GetBucketVersioning" => {
            let status = if quirks.versioned { "<Status>Enabled</Status>" } else { "" };
            plain(200, &format!("<VersioningConfiguration>{status}</VersioningConfiguration>"))
        }
        "GetObjectTagging" => plain(200, "<Tagging><TagSet></TagSet></Tagging>"),
        "ListMultipartUploads" => plain(
            200,
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        ),
        "ListObjectsV2" => {
            plain(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        "PutObject" => put(quirks, state, asked, path),
        "GetObject" | "HeadObject" => get(state, asked, &path),
        "CreateMultipartUpload" => create(state, asked, path),
        "UploadPart" => part(quirks, state, asked),
        "CompleteMultipartUpload" => complete(quirks, state, asked),
        "AbortMultipartUpload" => {
            let known = asked.fields().get("uploadId").and_then(|id| state.uploads.remove(id));
            if known.is_some() { plain(204, "") } else { refused(404, "NoSuchUpload") }
        }
        "DeleteObject" => {
            state.objects.remove(&path);
            plain(204, "")
        }
        _ => refused(501, "NotImplemented"),
    }
}

fn put(quirks: &Quirks, state: &mut State, asked: &RecordedRequest, path: String) -> Response<Full<Bytes>> {
    if !is_undamaged(quirks, asked) {
        return refused(400, "BadDigest");
    }
    if quirks.conditional && asked.header("if-none-match") == "*" && state.objects.contains_key(&path) {
        return refused(412, "PreconditionFailed");
    }
    let etag = next(state);
    let kept = Kept {
        crc64: kept_checksum(quirks, &asked.body),
        bytes: asked.body.clone(),
        etag: etag.clone(),
        metadata: metadata(asked),
    };
    state.objects.insert(path, kept);
    with(plain(200, ""), "etag", &etag)
}

fn get(state: &State, asked: &RecordedRequest, path: &str) -> Response<Full<Bytes>> {
    let Some(kept) = state.objects.get(path) else { return refused(404, "NoSuchKey") };
    let span = range(asked.header("range"), kept.bytes.len());
    let bytes = span.map_or_else(|| kept.bytes.clone(), |(first, end)| kept.bytes.slice(first..end));
    let length = bytes.len();
    let body = if asked.operation == "GetObject" { bytes } else { Bytes::new() };
    let mut response = with(Response::new(Full::new(body)), "etag", &kept.etag);
    if let Some((first, end)) = span {
        *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
        response =
            with(response, "content-range", &format!("bytes {first}-{}/{}", end - 1, kept.bytes.len()));
    }
    if asked.operation == "HeadObject" {
        response = with(response, "content-length", &length.to_string());
    }
    for (name, value) in &kept.metadata {
        response = with(response, name, value);
    }
    match &kept.crc64 {
        Some(crc64) if asked.header("x-amz-checksum-mode") == "ENABLED" => {
            with(response, "x-amz-checksum-crc64nvme", crc64)
        }
        _ => response,
    }
}

/// The first byte and the one after the last of `bytes=FIRST-LAST`.
fn range(asked: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let last = last.parse().unwrap_or(length - 1);
    Some((first.parse().ok()?, (last + 1).min(length)))
}

fn create(state: &mut State, asked: &RecordedRequest, path: String) -> Response<Full<Bytes>> {
    let id = next(state).trim_matches('"').to_owned();
    let (metadata, parts) = (metadata(asked), Default::default());
    state.uploads.insert(id.clone(), Unfinished { path, parts, metadata });
    plain(
        200,
        &format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
    )
}

fn part(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let url = reqwest::Url::parse(&format!("http://store{}", asked.target)).unwrap();
    let field = |name: &str| {
        url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned()).unwrap_or_default()
    };
    if !is_undamaged(quirks, asked) {
        return refused(400, "BadDigest");
    }
    let etag = next(state);
    let Some(upload) = state.uploads.get_mut(&field("uploadId")) else { return refused(404, "NoSuchUpload") };
    upload.parts.insert(field("partNumber").parse().unwrap(), asked.body.clone());
    with(plain(200, ""), "etag", &etag)
}

fn complete(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let id =
        asked.target.split("uploadId=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
    let Some(upload) = state.uploads.get(id) else { return refused(404, "NoSuchUpload") };
    let mut bytes = BytesMut::new();
    let list = String::from_utf8_lossy(&asked.body).into_owned();
    for number in list.split("<PartNumber>").skip(1) {
        let number = number.split('<').next().unwrap().parse().unwrap();
        let Some(part) = upload.parts.get(&number) else { return refused(400, "InvalidPart") };
        bytes.extend_from_slice(part);
    }
    let bytes = bytes.freeze();
    if quirks.checking == Checking::Whole {
        let claimed = asked.header("x-amz-checksum-crc64nvme");
        let size = asked.header("x-amz-mp-object-size");
        if (!claimed.is_empty() && claimed != crc64(&bytes))
            || (!size.is_empty() && size != bytes.len().to_string())
        {
            return refused(400, "BadDigest");
        }
    }
    let upload = state.uploads.remove(id).unwrap();
    let etag = next(state);
    let kept =
        Kept { crc64: kept_checksum(quirks, &bytes), bytes, etag: etag.clone(), metadata: upload.metadata };
    state.objects.insert(upload.path, kept);
    plain(200, &format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"))
}

/// Whether the body is what its checksum says, as far as this store looks.
fn is_undamaged(quirks: &Quirks, asked: &RecordedRequest) -> bool {
    match quirks.checking {
        Checking::Whole | Checking::Parts => {
            let claimed = asked.header("x-amz-checksum-crc64nvme");
            claimed.is_empty() || claimed == crc64(&asked.body)
        }
        Checking::Md5 => {
            let claimed = asked.header("content-md5");
            claimed.is_empty() || claimed == STANDARD.encode(md5::Md5::digest(&asked.body))
        }
        Checking::Nothing => true,
    }
}

fn kept_checksum(quirks: &Quirks, bytes: &[u8]) -> Option<String> {
    (quirks.checking == Checking::Whole).then(|| crc64(bytes))
}

/// CRC-64/NVME as S3 writes it.
fn crc64(bytes: &[u8]) -> String {
    let mut hasher = bucket::Crc64Hasher::new();
    hasher.update(bytes);
    let value = u64::from_str_radix(&hasher.value().to_hex(), 16).unwrap();
    STANDARD.encode(value.to_be_bytes())
}

fn metadata(asked: &RecordedRequest) -> Vec<(String, String)> {
    let own = asked.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn next(state: &mut State) -> String {
    state.counter += 1;
    format!("\"{:08x}\"", state.counter)
}

fn with(mut response: Response<Full<Bytes>>, name: &str, value: &str) -> Response<Full<Bytes>> {
    let (name, value) = (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    response.headers_mut().insert(name, value);
    response
}

fn refused(status: u16, code: &str) -> Response<Full<Bytes>> {
    plain(status, &format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}
