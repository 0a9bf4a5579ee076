//! The S3 operations that the gateway uses, path-style. Signatures are not checked: tests look at them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use md5::Digest as _;
use percent_encoding::percent_decode_str;

use super::{Checking, Kept, Quirks, RecordedRequest, State, Unfinished, plain};

/// Nobody compares times.
const MODIFIED: &str = "2026-11-22T10:00:00.000Z";

/// S3's name for what a request asks for.
pub(crate) fn operation(method: &Method, target: &str) -> &'static str {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has_key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (method.as_str(), has_key) {
        ("HEAD", false) => "HeadBucket",
        ("GET", false) if has("lifecycle") => "GetBucketLifecycleConfiguration",
        ("GET", false) if has("versioning") => "GetBucketVersioning",
        ("GET", false) if has("versions") => "ListObjectVersions",
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
        "ListMultipartUploads" => list_uploads(state, asked, &path),
        "ListObjectsV2" => list_objects(state, asked, &path),
        "ListObjectVersions" if quirks.versioned => list_versions(state, asked, &path),
        "GetObject" if asked.fields().contains_key("uploadId") => list_parts(state, asked),
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
            match asked.fields().get("versionId") {
                Some(id) => drop(state.versions.remove(id)),
                None => {
                    state.objects.remove(&path);
                    version(quirks, state, &path, "DeleteMarker");
                }
            }
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
    let kept = kept(quirks, state, asked);
    let etag = kept.etag.clone();
    version(quirks, state, &path, "Version");
    state.objects.insert(path, kept);
    with(plain(200, ""), "etag", &etag)
}

/// The body of a request, as an object or a part.
fn kept(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Kept {
    Kept {
        crc64: checksum(quirks, asked, &asked.body),
        bytes: asked.body.clone(),
        size: asked.size,
        etag: next(state),
        metadata: metadata(asked),
    }
}

fn get(state: &mut State, asked: &RecordedRequest, path: &str) -> Response<Full<Bytes>> {
    let Some(kept) = state.objects.get(path).cloned() else { return refused(404, "NoSuchKey") };
    if asked.operation == "GetObject" {
        if kept.bytes.len() as u64 != kept.size {
            return refused(501, "NotImplemented");
        }
        state.read_bytes += kept.size;
    }
    let span = range(asked.header("range"), kept.bytes.len());
    let bytes = span.map_or_else(|| kept.bytes.clone(), |(first, end)| kept.bytes.slice(first..end));
    let length = if span.is_some() { bytes.len() as u64 } else { kept.size };
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

/// The range of bytes in `bytes=FIRST-LAST`.
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
    let part = kept(quirks, state, asked);
    let etag = part.etag.clone();
    let Some(upload) = state.uploads.get_mut(&field("uploadId")) else { return refused(404, "NoSuchUpload") };
    upload.parts.insert(field("partNumber").parse().unwrap(), part);
    with(plain(200, ""), "etag", &etag)
}

fn complete(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let id =
        asked.target.split("uploadId=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
    let Some(upload) = state.uploads.get(id) else { return refused(404, "NoSuchUpload") };
    let (mut bytes, mut size) = (BytesMut::new(), 0);
    let list = String::from_utf8_lossy(&asked.body).into_owned();
    for number in list.split("<PartNumber>").skip(1) {
        let number = number.split('<').next().unwrap().parse().unwrap();
        let Some(part) = upload.parts.get(&number) else { return refused(400, "InvalidPart") };
        bytes.extend_from_slice(&part.bytes);
        size += part.size;
    }
    let bytes = if quirks.discards { Bytes::new() } else { bytes.freeze() };
    let crc64 = checksum(quirks, asked, &bytes);
    if quirks.checking == Checking::Whole {
        let claimed = asked.header("x-amz-checksum-crc64nvme");
        let claimed_size = asked.header("x-amz-mp-object-size");
        if (!claimed.is_empty() && crc64.as_deref() != Some(claimed))
            || (!claimed_size.is_empty() && claimed_size != size.to_string())
        {
            return refused(400, "BadDigest");
        }
    }
    let upload = state.uploads.remove(id).unwrap();
    let etag = next(state);
    let kept = Kept { bytes, size, etag: etag.clone(), crc64, metadata: upload.metadata };
    version(quirks, state, &upload.path, "Version");
    state.objects.insert(upload.path, kept);
    plain(200, &format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"))
}

/// The bucket of a path, and the prefix that a listing asks for.
fn listed(asked: &RecordedRequest, path: &str) -> (String, String) {
    let bucket = format!("/{}/", path.trim_matches('/'));
    let prefix = asked.fields().remove("prefix").unwrap_or_default();
    (bucket, prefix)
}

/// The key of a path in this bucket, if it has the prefix.
fn key(path: &str, (bucket, prefix): &(String, String)) -> Option<String> {
    let key = percent_decode_str(path.strip_prefix(bucket.as_str())?).decode_utf8_lossy().into_owned();
    key.starts_with(prefix.as_str()).then(|| escape(&key))
}

fn list_objects(state: &State, asked: &RecordedRequest, path: &str) -> Response<Full<Bytes>> {
    let listed = listed(asked, path);
    let items: String = state
        .objects
        .iter()
        .filter_map(|(path, kept)| Some((key(path, &listed)?, kept)))
        .map(|(key, Kept { size, etag, .. })| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>{MODIFIED}</LastModified><ETag>{etag}</ETag>\
                 <Size>{size}</Size></Contents>"
            )
        })
        .collect();
    plain(200, &format!("<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"))
}

/// Keeps a version of a path, or a delete marker, if this store keeps any. Their content is not kept.
fn version(quirks: &Quirks, state: &mut State, path: &str, kind: &'static str) {
    if quirks.versioned {
        let id = next(state).trim_matches('"').to_owned();
        state.versions.insert(id, (path.to_owned(), kind));
    }
}

fn list_versions(state: &State, asked: &RecordedRequest, path: &str) -> Response<Full<Bytes>> {
    let listed = listed(asked, path);
    let items: String = state
        .versions
        .iter()
        .filter_map(|(id, (path, kind))| {
            let key = key(path, &listed)?;
            Some(format!("<{kind}><Key>{key}</Key><VersionId>{id}</VersionId></{kind}>"))
        })
        .collect();
    plain(200, &format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{items}</ListVersionsResult>"))
}

fn list_uploads(state: &State, asked: &RecordedRequest, path: &str) -> Response<Full<Bytes>> {
    let listed = listed(asked, path);
    let items: String = state
        .uploads
        .iter()
        .filter_map(|(id, upload)| Some((id, key(&upload.path, &listed)?)))
        .map(|(id, key)| {
            format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{MODIFIED}</Initiated></Upload>"
            )
        })
        .collect();
    let answer = format!("<IsTruncated>false</IsTruncated>{items}");
    plain(200, &format!("<ListMultipartUploadsResult>{answer}</ListMultipartUploadsResult>"))
}

fn list_parts(state: &State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let Some(upload) = state.uploads.get(&asked.fields()["uploadId"]) else {
        return refused(404, "NoSuchUpload");
    };
    let items: String = upload
        .parts
        .iter()
        .map(|(number, Kept { size, etag, crc64, .. })| {
            let crc64 = crc64
                .as_deref()
                .map_or(String::new(), |crc64| format!("<ChecksumCRC64NVME>{crc64}</ChecksumCRC64NVME>"));
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{size}</Size>{crc64}</Part>"
            )
        })
        .collect();
    plain(200, &format!("<ListPartsResult><IsTruncated>false</IsTruncated>{items}</ListPartsResult>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether the body matches its checksum, as far as this store checks.
fn is_undamaged(quirks: &Quirks, asked: &RecordedRequest) -> bool {
    quirks.discards
        || match quirks.checking {
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

/// The CRC-64/NVME that the store keeps with these bytes.
fn checksum(quirks: &Quirks, asked: &RecordedRequest, bytes: &[u8]) -> Option<String> {
    let claimed = asked.header("x-amz-checksum-crc64nvme");
    match quirks.checking {
        Checking::Whole if quirks.discards => (!claimed.is_empty()).then(|| claimed.to_owned()),
        Checking::Whole => Some(crc64(bytes)),
        _ => None,
    }
}

/// CRC-64/NVME in S3's form.
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
