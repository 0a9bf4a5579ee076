//! The bytes of an object, by range.
//! Invariant: all ranges are of the same object; if it is replaced in between, the read fails.

use bucket::{Bucket, Read};

use super::store::refused;
use crate::exit::mismatch;
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

    /// The bytes `start..end`.
    pub(crate) async fn open(&self, start: u64, end: u64) -> Result<Read, RequestError> {
        let read = self.bucket.read_same(&self.key, Some((start, end - 1)), self.etag.as_deref()).await;
        let read = read.map_err(|error| request_error(&error))?;
        if u64::try_from(read.length) != Ok(end - start) {
            return Err(RequestError::permanent(mismatch("the answer has another range than requested")));
        }
        Ok(read)
    }
}

pub(crate) fn request_error(error: &bucket::Error) -> RequestError {
    let is_transient = error.is_transient();
    let error = refused(error);
    if is_transient { RequestError::transient(error) } else { RequestError::permanent(error) }
}
