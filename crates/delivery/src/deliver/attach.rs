//! Uploads one file from its bucket to the desk, which returns a token for the next comment.
//! Invariant: the bytes stream; the desk's upload fails unless their number and checksum are as recorded.

use bucket::{Crc64, Crc64Hasher};
use bytes::Bytes;
use desk::{BoxError, UploadToken};
use futures_util::{Stream, StreamExt, stream};
use ledger::{Upload, now_ms};

use crate::error::JobError;
use crate::shared::Shared;

/// A token with less time left is not used any more: the comment may take a while.
const TOKEN_LEFT_MS: i64 = 10 * 60 * 1000;

/// The token of an earlier upload to the desk, if it is valid for long enough.
pub(super) fn valid_token(upload: &Upload) -> Option<&str> {
    let (token, until) = upload.desk_token.as_ref()?;
    (until - now_ms() >= TOKEN_LEFT_MS).then_some(token)
}

pub(super) async fn upload_to_desk(shared: &Shared, upload: &Upload) -> Result<UploadToken, JobError> {
    let bucket = shared.bucket_of(upload).map_err(JobError::Bucket)?;
    let read = bucket.read(&upload.object_key, None).await?;
    let recorded = upload.length.and_then(|length| u64::try_from(length).ok());
    let (Some(size), true) = (recorded, Some(read.length) == upload.length) else {
        return Err(JobError::Bucket(format!("the object has {} bytes, which is not its size", read.length)));
    };
    let crc64 = upload.crc64.as_deref().and_then(Crc64::from_hex);
    let body = verified(read.stream(), crc64);
    Ok(shared.desk.upload(&upload.name, &upload.content_type, size, body).await?)
}

/// Ends the stream with an error unless the bytes have this checksum.
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
                Some((Err("the bucket returned other bytes than were stored".into()), None))
            }
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wrong_bytes_end_in_an_error() {
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
