//! What was acknowledged is gone from its bucket. Invariant: that takes more than one answer of the bucket, however often it
//! is given: whatever can be asked about it must agree, a listing among it that names what is there.

use bucket::Bucket;
use ledger::Tail;

use crate::{Error, Result};

/// What it means that a bucket says it has no such multipart upload, of an upload that is open or completing. Nothing of ours
/// removes one.
pub(crate) async fn parts(bucket: &Bucket, upload_id: &str, key: &str, multipart_id: &str) -> Error {
    match bucket.has_lost(key, multipart_id).await {
        Ok(true) => gone(upload_id, "multipart upload"),
        Ok(false) => Error::Unavailable("it says that a multipart upload is gone, and has it".into()),
        Err(error) => error.into(),
    }
}

/// The same of a piece of a tail.
pub(crate) async fn tail(bucket: &Bucket, upload_id: &str, tail: &Tail) -> Error {
    match bucket.head(&tail.key).await {
        Ok(None) => gone(upload_id, "tail"),
        Ok(Some(_)) => Error::Unavailable("it says that a piece of a tail is gone, and has it".into()),
        Err(error) => error.into(),
    }
}

/// Its sender begins again: these bytes were said to be durable, and no more of the same could make that true.
fn gone(upload_id: &str, what: &str) -> Error {
    tracing::error!(
        upload.id = upload_id,
        "the {what} of an unfinished upload has vanished from its bucket: does a lifecycle rule end it before the resume \
         window does?"
    );
    Error::Gone
}

/// What a bucket that may have lost a piece of a tail answers to reading it.
pub(crate) async fn read_tail(bucket: &Bucket, upload_id: &str, piece: &Tail) -> Result<bucket::Read> {
    match bucket.read(&piece.key, None).await {
        Err(bucket::Error::NotFound(_)) => Err(tail(bucket, upload_id, piece).await),
        other => Ok(other?),
    }
}
