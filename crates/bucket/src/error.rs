//! What a bucket answered, reported as a fact; the engine decides the remedy.

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

/// Sorts an SDK error into the facts above. The SDK has already retried what is worth retrying.
pub(crate) fn sort<E>(error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let request =
        error.raw_response().and_then(|r| r.headers().get("x-amz-request-id")).unwrap_or("-").to_owned();
    let code = error.code().unwrap_or_default().to_owned();
    // A bucket of another region says which; its message does not.
    let region = error
        .raw_response()
        .filter(|response| matches!(response.status().as_u16(), 301 | 307 | 400))
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
        .map_or_else(String::new, |region| format!("; the bucket is in region {region}"));
    let text = format!(
        "{}{region} (status {}, request {request})",
        error
            .message()
            .filter(|_| !code.is_empty())
            .map_or_else(|| chain(error), |message| { format!("{code}: {message}") }),
        status.map_or_else(|| "none".into(), |status| status.to_string()),
    );
    match (code.as_str(), status) {
        ("NoSuchUpload", _) => Error::NotFound("multipart upload"),
        ("NoSuchBucket", _) => Error::NoSuchBucket(text),
        ("NoSuchKey" | "NotFound", _) | (_, Some(404)) => Error::NotFound("object"),
        (
            "BadDigest"
            | "InvalidPart"
            | "InvalidPartOrder"
            | "EntityTooSmall"
            | "InvalidDigest"
            | "XAmzContentChecksumMismatch",
            _,
        ) => Error::Damaged(text),
        ("PreconditionFailed", _) | (_, Some(412)) => Error::Changed,
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
