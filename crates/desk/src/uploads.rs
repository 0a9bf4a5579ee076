//! Handing a file to the desk, to be attached to a comment within the hour.
//!
//! Invariant: the body streams and exactly `size` bytes are sent; a stream that ends early or goes on is a failed upload.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode};
use serde::Deserialize;

use crate::{BoxError, Desk, Error};

/// The slowest upload still waited for: beside the ordinary timeout, one second for each 128 KiB.
const MIN_BYTES_PER_SECOND: u64 = 128 * 1024;

/// A file on the desk that no comment has yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadToken {
    /// For [`crate::NewComment::uploads`]; good once.
    pub token: String,
    /// When the desk throws the file away, in milliseconds since the epoch.
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
    /// Uploads `size` bytes under this display name. The body is read once, as fast as the desk takes it.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Refused`] (for instance for its file type), or a transient one: then with a new body.
    pub async fn upload(
        &self,
        name: &str,
        content_type: &str,
        size: u64,
        body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> Result<UploadToken, Error> {
        let timeout = self.shared.request_timeout + Duration::from_secs(size / MIN_BYTES_PER_SECOND);
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
                // The body is spent, so the retry is the caller's; a new token that is refused, too, ends it here.
                self.renew(&authorization).await?.ok_or(Error::Unauthorized)?;
                self.ask_me().await?;
                Err(Error::unavailable("the access token ran out before the upload"))
            }
            // No ticket is named here: what was not found is the desk's own address.
            Some(Error::NotFound) => Err(Error::unavailable("no desk takes uploads at this address")),
            Some(error) => Err(error),
        }
    }
}

fn accepted(size: u64, answer: UploadAnswer) -> Result<UploadToken, Error> {
    let UploadShape { token, expires_at, attachment } = answer.upload;
    if attachment.is_some_and(|attachment| attachment.size != size) {
        return Err(Error::unavailable("the desk kept another size than was sent"));
    }
    // Documented life: 60 minutes. Older desks do not say.
    let expires_at = expires_at.unwrap_or_else(|| jiff::Timestamp::now() + Duration::from_secs(55 * 60));
    Ok(UploadToken { token, expires_at_ms: expires_at.as_millisecond() })
}

/// The same stream, as long as it keeps its promise. The last frame is held back until the stream has ended, because a
/// sender asks for nothing more once it has all the bytes it announced.
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
    async fn a_body_is_as_long_as_it_says() {
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
