//! Uploads a file to the desk, to be attached to a comment within the hour.
//!
//! Invariant: the body is streamed and is exactly `size` bytes; a shorter or longer stream fails the upload.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode};
use serde::Deserialize;

use crate::{BoxError, Desk, Error};

/// The slowest accepted upload: one second per 128 KiB is added to the ordinary timeout.
const BYTES_PER_SECOND_MIN: u64 = 128 * 1024;

/// A file on the desk that is not attached to a comment yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadToken {
    /// For [`crate::NewComment::uploads`]; works once.
    pub token: String,
    /// When the desk deletes the file, in milliseconds since the epoch.
    pub expires_at_ms: i64,
}

#[derive(Deserialize)]
struct UploadAnswer {
    upload: UploadShape,
}

#[derive(Deserialize)]
struct UploadShape {
    token: String,
    expires_at: Option<jiff::Timestamp>,
    attachment: Option<AttachmentShape>,
}

#[derive(Deserialize)]
struct AttachmentShape {
    size: u64,
}

impl Desk {
    /// Uploads `size` bytes under this display name. The body is read once, as fast as the desk accepts it.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Refused`] (for example for its file type), or a transient error: retry with a new body.
    pub async fn upload(
        &self,
        name: &str,
        content_type: &str,
        size: u64,
        body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> Result<UploadToken, Error> {
        let timeout = self.shared.request_timeout + Duration::from_secs(size / BYTES_PER_SECOND_MIN);
        let request = self
            .request(Method::POST, &["uploads"])?
            .query(&[("filename", name)])
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, size)
            .timeout(timeout)
            .body(Body::wrap_stream(exactly(size, body)));
        let authorization = self.authorization().await?;
        let answer = self.send(request, &authorization).await?;
        match answer.error() {
            None => accepted(size, answer.parse()?),
            Some(Error::Unauthorized) if answer.status == StatusCode::UNAUTHORIZED => {
                // The body is used up, so the caller has to retry, unless a new token is refused as well.
                self.renew(&authorization).await?.ok_or(Error::Unauthorized)?;
                self.ask_me().await?;
                Err(Error::unavailable("the access token expired before the upload"))
            }
            // The request names no ticket, so the desk's own address is wrong.
            Some(Error::NotFound) => Err(Error::unavailable("no desk accepts uploads at this address")),
            Some(error) => Err(error),
        }
    }
}

fn accepted(size: u64, answer: UploadAnswer) -> Result<UploadToken, Error> {
    let UploadShape { token, expires_at, attachment } = answer.upload;
    if attachment.is_some_and(|attachment| attachment.size != size) {
        return Err(Error::unavailable("the desk stored a different number of bytes than was sent"));
    }
    // Zendesk documents 60 minutes; older desks do not send the time.
    let expires_at = expires_at.unwrap_or_else(|| jiff::Timestamp::now() + Duration::from_secs(55 * 60));
    Ok(UploadToken { token, expires_at_ms: expires_at.as_millisecond() })
}

/// Fails a stream that is not exactly `size` bytes long. Holds the last frame back until the stream has ended, because the
/// HTTP client stops reading once it has `size` bytes.
fn exactly(
    size: u64,
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    stream::unfold(Some((Box::pin(body), size)), |state| async move {
        let (mut body, left) = state?;
        let frame = match body.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some((Err(error), None)),
            None if left > 0 => return Some((Err("the file is shorter than announced".into()), None)),
            None => return None,
        };
        let after = left.checked_sub(frame.len() as u64);
        let more = if after == Some(0) { body.next().await } else { None };
        match (after, more) {
            (None, _) | (_, Some(Ok(_))) => Some((Err("the file is longer than announced".into()), None)),
            (_, Some(Err(error))) => Some((Err(error), None)),
            (Some(0), None) => Some((Ok(frame), None)),
            (Some(left), None) => Some((Ok(frame), Some((body, left)))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_the_wrong_length_fails() {
        for (size, frames, ok) in [
            (0, vec![], true),
            (3, vec!["ab", "c"], true),
            (3, vec!["ab"], false),
            (3, vec!["ab", "cd"], false),
            (0, vec!["a"], false),
        ] {
            let frames: Vec<Result<Bytes, BoxError>> =
                frames.into_iter().map(|frame| Ok(Bytes::from_static(frame.as_bytes()))).collect();
            let sent: Vec<_> = exactly(size, stream::iter(frames)).collect().await;
            assert_eq!(sent.iter().all(Result::is_ok), ok, "{size}");
        }
    }
}
