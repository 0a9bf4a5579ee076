//! Acknowledged bytes that are gone from their bucket. Invariant: one answer of the bucket, however often it is repeated, does
//! not prove that. Everything that can be asked about the bytes must agree, including a listing that names what is there.

use bucket::Bucket;
use ledger::Tail;

use crate::{Error, Result};

/// The error for an open or completing upload whose bucket says that it has no such multipart upload. We never remove one.
pub(crate) async fn multipart(bucket: &Bucket, upload_id: &str, key: &str, multipart_id: &str) -> Error {
    match bucket.has_lost(key, multipart_id).await {
        Ok(true) => gone(upload_id, "multipart upload"),
        Ok(false) => Error::Unavailable("the bucket says that a multipart upload is gone, but has it".into()),
        Err(error) => error.into(),
    }
}

/// Reads a piece of a tail, which the bucket may have lost.
pub(crate) async fn read_tail(bucket: &Bucket, upload_id: &str, tail: &Tail) -> Result<bucket::Read> {
    match bucket.read(&tail.key, None).await {
        Err(bucket::Error::NotFound(_)) => Err(match bucket.head(&tail.key).await {
            Ok(None) => gone(upload_id, "tail"),
            Ok(Some(_)) => {
                Error::Unavailable("the bucket says that a piece of a tail is gone, but has it".into())
            }
            Err(error) => error.into(),
        }),
        other => Ok(other?),
    }
}

/// Bytes that were acknowledged as durable are lost: the sender must start over.
fn gone(upload_id: &str, what: &str) -> Error {
    tracing::error!(
        upload.id = upload_id,
        "the {what} of an unfinished upload has vanished from its bucket: does a lifecycle rule end it before the resume \
         window does?"
    );
    Error::Gone
}
