//! Hands one file from its bucket to the desk, as a token for the next comment.
//! Invariant: the bytes stream; unless they are as many as recorded and have the recorded checksum, the desk's upload fails.

use bucket::{Bucket, Crc64, Crc64Hasher};
use bytes::Bytes;
use desk::{BoxError, UploadToken};
use futures_util::{Stream, StreamExt, stream};
use ledger::{Upload, now_ms};

use crate::Shared;

/// A token with less than this left is not used any more: the comment may take its time.
const TOKEN_LEFT_MS: i64 = 10 * 60 * 1000;

/// Why a file has no token.
pub(crate) enum Failure {
    /// The desk did not take it.
    Desk(desk::Error),
    /// The bucket did not give it: try later.
    Bucket(String),
}

impl From<desk::Error> for Failure {
    fn from(error: desk::Error) -> Self {
        Self::Desk(error)
    }
}

/// The token of a file handed over before, if it is good for long enough.
pub(crate) fn token_at_hand(upload: &Upload) -> Option<&str> {
    let (token, until) = upload.desk_token.as_ref()?;
    (until - now_ms() >= TOKEN_LEFT_MS).then_some(token)
}

/// Reads the file from its bucket and gives it to the desk.
pub(crate) async fn hand_over(shared: &Shared, upload: &Upload) -> Result<UploadToken, Failure> {
    let bucket = bucket_of(shared, upload).map_err(Failure::Bucket)?;
    let read = bucket.read(&upload.object_key, None).await;
    let read = read.map_err(|error| Failure::Bucket(error.to_string()))?;
    let recorded = upload.length.and_then(|length| u64::try_from(length).ok());
    let (Some(size), true) = (recorded, Some(read.length) == upload.length) else {
        return Err(Failure::Bucket(format!("the object has {} bytes, which is not its size", read.length)));
    };
    let crc64 = upload.crc64.as_deref().and_then(Crc64::from_hex);
    let body = verified(read.stream(), crc64);
    Ok(shared.desk.upload(&upload.name, &upload.content_type, size, body).await?)
}

/// The bucket an upload rests in.
pub(crate) fn bucket_of<'a>(shared: &'a Shared, upload: &Upload) -> Result<&'a Bucket, String> {
    let name = &upload.bucket;
    shared.buckets.named(name).ok_or_else(|| format!("no bucket is configured for {name}"))
}

/// The same stream; at its end an error unless it had this checksum.
fn verified(
    body: impl Stream<Item = bucket::Result<Bytes>> + Send + 'static,
    crc64: Option<Crc64>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    stream::unfold(Some((Box::pin(body), Crc64Hasher::new())), move |state| async move {
        let (mut body, mut hasher) = state?;
        match body.next().await {
            Some(Ok(bytes)) => {
                hasher.update(&bytes);
                Some((Ok(bytes), Some((body, hasher))))
            }
            Some(Err(error)) => Some((Err(error.into()), None)),
            None if crc64.is_some_and(|recorded| recorded != hasher.value()) => {
                Some((Err("the bucket gave other bytes than were stored".into()), None))
            }
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_bytes_are_an_error_at_the_end() {
        let mut hasher = Crc64Hasher::new();
        hasher.update(b"abcd");
        for (recorded, frames, ok) in [
            (Some(hasher.value()), ["ab", "cd"], true),
            (Some(hasher.value()), ["ab", "ce"], false),
            (None, ["ab", "ce"], true),
        ] {
            let frames: Vec<_> = frames.into_iter().map(|f| Ok(Bytes::from_static(f.as_bytes()))).collect();
            let sent: Vec<_> = verified(stream::iter(frames), recorded).collect().await;
            assert_eq!(sent.iter().all(Result::is_ok), ok);
        }
    }
}
