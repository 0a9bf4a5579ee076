//! Waits for one S3 call. Invariant: no call, retries included, takes longer than [`Bucket::CALL_TIMEOUT`].

use std::future::Future;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::classify;
use crate::{Bucket, Error, Result};

/// Waits for the answer and classifies an error. The call is boxed: the SDK's futures are large.
pub(crate) fn bounded<T, E>(
    call: impl Future<Output = std::result::Result<T, SdkError<E>>> + Send,
) -> impl Future<Output = Result<T>> + Send
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded_by(classify, call)
}

/// Like [`bounded`], with another way to classify errors.
pub(crate) fn bounded_by<T, E>(
    classify: impl FnOnce(&SdkError<E>) -> Error + Send,
    call: impl Future<Output = std::result::Result<T, SdkError<E>>> + Send,
) -> impl Future<Output = Result<T>> + Send {
    let call = Box::pin(call);
    async move {
        match tokio::time::timeout(Bucket::CALL_TIMEOUT, call).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => Err(Error::Unavailable("no answer in time".into())),
        }
    }
}
