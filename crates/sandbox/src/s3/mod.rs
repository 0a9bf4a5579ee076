//! The embedded S3 server: the protocol by `s3s`, the operations and the durable store by us.
//! Invariant: bodies stream with back-pressure in both directions; nothing here holds a whole one.

mod api;
mod checksum;
mod multipart;
mod objects;
mod store;

use http::{HeaderMap, Method, Uri};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

pub(crate) use self::store::{REGION, Store};

/// The HTTP service over a store, for one key pair. Requests without a valid signature are refused.
pub(crate) fn service(store: Store, access_key_id: &str, secret_access_key: &str) -> S3Service {
    let mut builder = S3ServiceBuilder::new(api::Api { store });
    builder.set_auth(SimpleAuth::from_single(access_key_id, secret_access_key));
    builder.build()
}

/// The operations that faults may name; [`operation`] returns one of these.
pub(crate) const OPERATIONS: [&str; 21] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLifecycleConfiguration",
    "GetBucketLocation",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "Other",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
];

/// The S3 operation that a request asks for (path-style addressing), by S3's own name.
pub(crate) fn operation(method: &Method, uri: &Uri, headers: &HeaderMap) -> &'static str {
    let path = uri.path().trim_start_matches('/');
    let has_key = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let query = uri.query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let copy = headers.contains_key("x-amz-copy-source");
    match (method.as_str(), path.is_empty(), has_key) {
        ("GET", true, _) => "ListBuckets",
        ("HEAD", false, false) => "HeadBucket",
        ("HEAD", false, true) => "HeadObject",
        ("PUT", false, false) if query.is_empty() || has("x-id") => "CreateBucket",
        ("POST", false, false) if has("delete") => "DeleteObjects",
        ("GET", false, false) if has("lifecycle") => "GetBucketLifecycleConfiguration",
        ("GET", false, false) if has("location") => "GetBucketLocation",
        ("GET", false, false) if has("uploads") => "ListMultipartUploads",
        ("GET", false, false) if has("list-type") => "ListObjectsV2",
        ("GET", false, false) => "ListObjects",
        ("GET", false, true) if has("uploadId") => "ListParts",
        ("GET", false, true) => "GetObject",
        ("POST", false, true) if has("uploads") => "CreateMultipartUpload",
        ("POST", false, true) if has("uploadId") => "CompleteMultipartUpload",
        ("PUT", false, true) if has("uploadId") && copy => "UploadPartCopy",
        ("PUT", false, true) if has("uploadId") => "UploadPart",
        ("PUT", false, true) if copy => "CopyObject",
        ("PUT", false, true) => "PutObject",
        ("DELETE", false, true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false, true) => "DeleteObject",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_by_request() {
        for (method, uri, expected) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/bucket", "CreateBucket"),
            ("PUT", "/bucket/", "CreateBucket"),
            ("GET", "/bucket/?list-type=2&prefix=a", "ListObjectsV2"),
            ("GET", "/bucket?uploads", "ListMultipartUploads"),
            ("GET", "/bucket?lifecycle", "GetBucketLifecycleConfiguration"),
            ("POST", "/bucket/?delete", "DeleteObjects"),
            ("PUT", "/bucket/a/b?x-id=PutObject", "PutObject"),
            ("PUT", "/bucket/a?x-id=UploadPart&partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "/bucket/a?uploads", "CreateMultipartUpload"),
            ("POST", "/bucket/a?uploadId=x", "CompleteMultipartUpload"),
            ("DELETE", "/bucket/a?x-id=AbortMultipartUpload&uploadId=x", "AbortMultipartUpload"),
            ("GET", "/bucket//a", "GetObject"),
            ("GET", "/bucket/a?uploadId=x", "ListParts"),
            ("PATCH", "/bucket/a", "Other"),
        ] {
            let actual = operation(&method.parse().unwrap(), &uri.parse().unwrap(), &HeaderMap::new());
            assert_eq!(actual, expected, "{method} {uri}");
            assert!(OPERATIONS.contains(&actual));
        }
    }
}
