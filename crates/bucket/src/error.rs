//! Errors of a bucket, as facts; the caller decides what to do. Invariant: an object counts as missing or changed only if
//! the answer has S3's error code. A status alone may come from a proxy between us and the store.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object, multipart upload or setting.
    #[error("the bucket has no such {0}")]
    NotFound(&'static str),
    /// The store received other bytes than announced, or the parts do not fit together.
    #[error("the bucket rejected the bytes: {0}")]
    Damaged(String),
    /// The store refuses this request for good, for example because it does not support it.
    #[error("the bucket refuses: {0}")]
    Refused(String),
    #[error("no such bucket: {0}")]
    NoSuchBucket(String),
    /// Wrong or expired credentials, or a policy that denies the request.
    #[error("the bucket refuses: {0}")]
    Forbidden(String),
    /// The credential chain has no credentials at the moment.
    #[error("no usable AWS credentials: {0}")]
    NoCredentials(String),
    /// The object has been replaced since its ETag was read.
    #[error("the object has been replaced")]
    Changed,
    /// The store did not answer, or asks us to retry later.
    #[error("the bucket is unavailable: {0}")]
    Unavailable(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NoCredentials(_))
    }
}

/// Like [`classify`], for the answer to a `HEAD`, which has no body and so no error code. The caller must confirm
/// [`Error::NotFound`] by another request; a 403 is believed.
pub(crate) fn classify_head<E>(error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) => Error::NotFound("object"),
        Some(401 | 403) => Error::Forbidden(describe(error)),
        _ => classify(error),
    }
}

/// Turns an SDK error into one of ours. The SDK has already retried what is worth retrying.
pub(crate) fn classify<E>(error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default();
    let text = describe(error);
    match (code, status) {
        ("NoSuchUpload", _) => Error::NotFound("multipart upload"),
        ("NoSuchBucket", _) => Error::NoSuchBucket(text),
        ("NoSuchKey" | "NoSuchVersion", _) => Error::NotFound("object"),
        ("NoSuchLifecycleConfiguration" | "NoSuchTagSet", _) => Error::NotFound("setting"),
        // The SDK reports an empty body as `NotFound`.
        ("" | "NotFound", Some(404)) | ("", Some(200..=299 | 401 | 403 | 412)) => {
            Error::Unavailable(format!(
                "the answer has no S3 error code: check `endpoint`, and any proxy between here and the store: {text}"
            ))
        }
        (_, Some(404)) => Error::Unavailable(text),
        (
            "BadDigest"
            | "InvalidPart"
            | "InvalidPartOrder"
            | "EntityTooSmall"
            | "InvalidDigest"
            | "XAmzContentChecksumMismatch",
            _,
        ) => Error::Damaged(text),
        ("PreconditionFailed", _) => Error::Changed,
        // The clocks differ. The SDK corrects for that with the store's next answer.
        ("RequestTimeTooSkewed", _) => Error::Unavailable(text),
        // An expired session is answered with 400.
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) | (_, Some(401 | 403)) => {
            Error::Forbidden(text)
        }
        _ if lacks_credentials(error) => Error::NoCredentials(chain(error)),
        // A 5xx, but permanent.
        ("NotImplemented", _) | (_, Some(501)) => Error::Refused(text),
        // CompleteMultipartUpload may answer one of these with status 200.
        ("InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout" | "IncompleteBody", _)
        | (_, None | Some(408 | 409 | 429 | 500..)) => Error::Unavailable(text),
        _ => Error::Refused(text),
    }
}

/// The answer in words.
fn describe<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let request = error.raw_response().and_then(|r| r.headers().get("x-amz-request-id")).unwrap_or("-");
    // A bucket in another region names it in a header, but not in the message.
    let region = error
        .raw_response()
        .filter(|response| matches!(response.status().as_u16(), 301 | 307 | 400))
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
        .map_or_else(String::new, |region| format!("; the bucket is in region {region}"));
    format!(
        "{}{region} (status {}, request {request})",
        error
            .code()
            .zip(error.message())
            .map_or_else(|| chain(error), |(code, message)| format!("{code}: {message}")),
        status.map_or_else(|| "none".into(), |status| status.to_string()),
    )
}

/// Requires the ETag that S3 sends with everything it stores or reads. An answer without one is not from the store.
pub(crate) fn require_etag(etag: Option<String>) -> Result<String> {
    etag.filter(|etag| !etag.is_empty()).ok_or_else(|| {
        Error::Unavailable(
            "the answer has no ETag: check `endpoint`, and any proxy between here and the store".into(),
        )
    })
}

fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<CredentialsError>)
}

/// The error and its causes.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The error followed by its causes, on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    fn answered(status: u16, code: &str) -> SdkError<ErrorMetadata> {
        let mut metadata = ErrorMetadata::builder();
        if !code.is_empty() {
            metadata = metadata.code(code).message("in the store's words");
        }
        SdkError::service_error(
            metadata.build(),
            HttpResponse::new(status.try_into().unwrap(), SdkBody::empty()),
        )
    }

    fn kind(error: &Error) -> &'static str {
        match error {
            Error::NotFound(what) => what,
            Error::Damaged(_) => "damaged",
            Error::Refused(_) => "refused",
            Error::NoSuchBucket(_) => "no such bucket",
            Error::Forbidden(_) => "forbidden",
            Error::NoCredentials(_) => "no credentials",
            Error::Changed => "changed",
            Error::Unavailable(_) => "unavailable",
        }
    }

    #[test]
    fn a_status_alone_proves_nothing() {
        for (status, code, expected) in [
            (404, "NoSuchKey", "object"),
            (404, "NoSuchVersion", "object"),
            (404, "NoSuchUpload", "multipart upload"),
            (404, "NoSuchLifecycleConfiguration", "setting"),
            (404, "NoSuchBucket", "no such bucket"),
            (404, "", "unavailable"),
            // An empty body.
            (404, "NotFound", "unavailable"),
            (404, "RouteNotFound", "unavailable"),
            (412, "PreconditionFailed", "changed"),
            (412, "", "unavailable"),
            (403, "AccessDenied", "forbidden"),
            (403, "", "unavailable"),
            (401, "", "unavailable"),
            (400, "ExpiredToken", "forbidden"),
            (403, "RequestTimeTooSkewed", "unavailable"),
            (400, "BadDigest", "damaged"),
            (400, "", "refused"),
            (409, "", "unavailable"),
            (200, "InternalError", "unavailable"),
            (200, "", "unavailable"),
            (501, "", "refused"),
            (503, "SlowDown", "unavailable"),
        ] {
            let error = classify(&answered(status, code));
            assert_eq!(kind(&error), expected, "{status} {code}: {error}");
        }
        for (status, expected) in
            [(404, "object"), (403, "forbidden"), (412, "unavailable"), (503, "unavailable")]
        {
            assert_eq!(kind(&classify_head(&answered(status, ""))), expected, "{status}");
        }
        let text = classify(&answered(404, "")).to_string();
        assert!(text.contains("no S3 error code") && text.contains("status 404"), "{text}");
    }

    #[test]
    fn an_answer_without_an_etag_is_an_error() {
        assert_eq!(require_etag(Some("\"a\"".into())).unwrap(), "\"a\"");
        for none in [None, Some(String::new())] {
            assert!(require_etag(none).unwrap_err().is_transient());
        }
    }
}
