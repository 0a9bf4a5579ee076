//! The bytes of an object, by range.
//! Invariant: all ranges are of the same object; if it is replaced in between, the read fails.

use bucket::Bucket;
use futures_util::StreamExt;

use super::store::refused;
use crate::exit::{failed, mismatch};
use crate::retry::RequestError;

pub(crate) struct ObjectContent {
    bucket: Bucket,
    key: String,
    etag: Option<String>,
}

impl ObjectContent {
    pub(crate) fn new(bucket: Bucket, key: String, etag: Option<String>) -> Self {
        Self { bucket, key, etag }
    }

    /// See [`crate::source::Source::read`].
    pub(crate) async fn read(
        &self,
        start: u64,
        end: u64,
        piece: &mut Vec<u8>,
        received: impl Fn(u64),
    ) -> Result<(), RequestError> {
        let read = self.bucket.read_same(&self.key, Some((start, end - 1)), self.etag.as_deref()).await;
        let read = read.map_err(|error| request_error(&error))?;
        if u64::try_from(read.length) != Ok(end - start) {
            return Err(RequestError::permanent(mismatch("the answer has another range than requested")));
        }
        let mut missing = end - start;
        let mut chunks = Box::pin(read.stream());
        while missing > 0 {
            let Some(chunk) = chunks.next().await else {
                return Err(RequestError::transient(failed("the answer ended early")));
            };
            let chunk = chunk.map_err(|error| request_error(&error))?;
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX).min(missing);
            piece.extend_from_slice(&chunk[..usize::try_from(length).unwrap_or(chunk.len())]);
            received(length);
            missing -= length;
        }
        Ok(())
    }
}

fn request_error(error: &bucket::Error) -> RequestError {
    let is_transient = error.is_transient();
    let error = refused(error);
    if is_transient { RequestError::transient(error) } else { RequestError::permanent(error) }
}
