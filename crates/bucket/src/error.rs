//! What a bucket answered, reported as a fact; the engine decides the remedy. Invariant: that something is not there, or is
//! another, is S3's word only with S3's code. A status alone may be that of a proxy between us and the store.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// What a bucket answered instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No object, bucket or multipart upload of that name.
    #[error("the bucket has no such {0}")]
    NotFound(&'static str),
    /// The store says that the bytes it got are not the bytes announced, or that the parts do not fit together.
    #[error("the bucket refused the bytes: {0}")]
    Damaged(String),
    /// The store refuses this request however often it is made, for example because it does not know it.
    #[error("the bucket refuses: {0}")]
    Refused(String),
    /// There is no bucket of that name.
    #[error("there is no such bucket: {0}")]
    NoSuchBucket(String),
    /// The store does not allow it: wrong or expired credentials, or a policy.
    #[error("the bucket refuses: {0}")]
    Forbidden(String),
    /// The credential chain came up with nothing, for now.
    #[error("no usable AWS credentials: {0}")]
    NoCredentials(String),
    /// The object is no longer the one that was asked for.
    #[error("the object has been replaced")]
    Changed,
    /// The store did not answer, or says to come back later.
    #[error("the bucket is unavailable: {0}")]
    Unavailable(String),
}

/// Result of every call to a bucket.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NoCredentials(_))
    }
}

/// As [`sort`], for the answer to a `HEAD`, which has no body and so no code: 404 is [`Error::NotFound`], to be confirmed by
/// an answer that has one, and 403 is the store's.
pub(crate) fn sort_head<E>(error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) => Error::NotFound("object"),
        Some(401 | 403) => Error::Forbidden(told(error)),
        _ => sort(error),
    }
}

/// Sorts an SDK error into the facts above. The SDK has already retried what is worth retrying.
pub(crate) fn sort<E>(error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default();
    let text = told(error);
    match (code, status) {
        ("NoSuchUpload", _) => Error::NotFound("multipart upload"),
        ("NoSuchBucket", _) => Error::NoSuchBucket(text),
        ("NoSuchKey" | "NoSuchVersion", _) => Error::NotFound("object"),
        ("NoSuchLifecycleConfiguration" | "NoSuchTagSet", _) => Error::NotFound("setting"),
        // `NotFound` is what the SDK makes of an empty body.
        ("" | "NotFound", Some(404)) | ("", Some(200..=299 | 401 | 403 | 412)) => {
            Error::Unavailable(format!(
                "this answer has no error code of S3: check what stands between here and the store, and `endpoint`: {text}"
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
        // Clocks differ: ours was set, and the SDK follows the store's from its next answer on.
        ("RequestTimeTooSkewed", _) => Error::Unavailable(text),
        // An expired session is a 400.
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) | (_, Some(401 | 403)) => {
            Error::Forbidden(text)
        }
        _ if lacks_credentials(error) => Error::NoCredentials(chain(error)),
        // Not a matter of time, though a 5xx.
        ("NotImplemented", _) | (_, Some(501)) => Error::Refused(text),
        // A complete may answer one of these behind a status of 200.
        ("InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout" | "IncompleteBody", _)
        | (_, None | Some(408 | 409 | 429 | 500..)) => Error::Unavailable(text),
        _ => Error::Refused(text),
    }
}

/// What was answered, in words.
fn told<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let request = error.raw_response().and_then(|r| r.headers().get("x-amz-request-id")).unwrap_or("-");
    // A bucket of another region says which; its message does not.
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

/// The tag that S3 gives whatever it has stored or reads; an answer without one is not the store's, whatever its status.
pub(crate) fn tagged(etag: Option<String>) -> Result<String> {
    etag.filter(|etag| !etag.is_empty()).ok_or_else(|| {
        Error::Unavailable(
            "this answer has no ETag, as every one of S3 has: check what stands between here and the store, and \
             `endpoint`"
                .into(),
        )
    })
}

fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<CredentialsError>)
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
            metadata = metadata.code(code).message("says the store");
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
    fn a_status_alone_is_not_the_word_of_s3() {
        for (status, code, expected) in [
            (404, "NoSuchKey", "object"),
            (404, "NoSuchVersion", "object"),
            (404, "NoSuchUpload", "multipart upload"),
            (404, "NoSuchLifecycleConfiguration", "setting"),
            (404, "NoSuchBucket", "no such bucket"),
            (404, "", "unavailable"),
            // So the SDK calls an empty body.
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
            let sorted = sort(&answered(status, code));
            assert_eq!(kind(&sorted), expected, "{status} {code}: {sorted}");
        }
        for (status, expected) in
            [(404, "object"), (403, "forbidden"), (412, "unavailable"), (503, "unavailable")]
        {
            assert_eq!(kind(&sort_head(&answered(status, ""))), expected, "{status}");
        }
        let said = sort(&answered(404, "")).to_string();
        assert!(said.contains("no error code of S3") && said.contains("status 404"), "{said}");
    }

    #[test]
    fn an_answer_without_a_tag_is_not_the_store_s() {
        assert_eq!(tagged(Some("\"a\"".into())).unwrap(), "\"a\"");
        for none in [None, Some(String::new())] {
            assert!(tagged(none).unwrap_err().is_transient());
        }
    }
}
