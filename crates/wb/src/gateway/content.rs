//! The bytes of an upload, by range: from the bucket through a presigned URL, or streamed by the gateway.
//! All ranges share one presigned URL. When the bucket refuses it, one of them gets a new one from the gateway.

use std::sync::Arc;

use anyhow::Context;
use reqwest::{Response, StatusCode, header};
use tokio::sync::Mutex;
use url::Url;

use super::client::{Gateway, from_reqwest, refusal};
use crate::exit::{failed, mismatch};
use crate::retry::RequestError;

pub(crate) struct Content {
    gateway: Arc<Gateway>,
    url: Url,
    size_bytes: u64,
    /// The presigned URL, if the gateway redirects to a bucket. Locked while one range gets it, so that no other does.
    presigned: Mutex<Option<Url>>,
}

impl Content {
    pub(crate) fn new(gateway: &Arc<Gateway>, id: &str, size_bytes: u64, via_gateway: bool) -> Self {
        let mut url = gateway.url(&["uploads", id, "content"]);
        if via_gateway {
            url.set_query(Some("via=gateway"));
        }
        Self { gateway: Arc::clone(gateway), url, size_bytes, presigned: Mutex::new(None) }
    }

    /// An answer with the bytes from `start`.
    pub(crate) async fn open(&self, start: u64, end: u64) -> Result<Response, RequestError> {
        let range = format!("bytes={start}-{}", end - 1);
        let known = self.presigned.lock().await.clone();
        if let Some(url) = &known {
            let response = self.fetch(url.clone(), &range).await?;
            // S3 answers 403 for an expired signature and 400 for an expired session.
            let expired = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            if !expired.contains(&response.status()) {
                return self.check(response, start).await;
            }
        }
        let mut presigned = self.presigned.lock().await;
        // Another range may have a new URL by now.
        let fresh = match presigned.clone().filter(|url| known.as_ref() != Some(url)) {
            Some(url) => url,
            None => {
                let response = self.ask(&range).await?;
                if !response.status().is_redirection() {
                    drop(presigned);
                    return self.check(response, start).await;
                }
                let url = self.location(&response).map_err(RequestError::permanent)?;
                *presigned = Some(url.clone());
                url
            }
        };
        drop(presigned);
        let response = self.fetch(fresh, &range).await?;
        self.check(response, start).await
    }

    /// Sends the request to the gateway, with the token.
    async fn ask(&self, range: &str) -> Result<Response, RequestError> {
        let request = self.gateway.client(&self.url).get(self.url.clone()).header(header::RANGE, range);
        let request = request.header(header::AUTHORIZATION, &self.gateway.token);
        request.send().await.map_err(|error| self.gateway.no_answer(error))
    }

    /// Sends the request to a bucket, without the token: the host may be anyone's.
    async fn fetch(&self, url: Url, range: &str) -> Result<Response, RequestError> {
        let request = self.gateway.client(&url).get(url).header(header::RANGE, range);
        request.send().await.map_err(from_reqwest)
    }

    fn location(&self, response: &Response) -> anyhow::Result<Url> {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = self.url.join(location.context("the gateway's redirect has no address")?)?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(failed("the gateway redirects to an address that is not HTTP")),
        }
    }

    /// Checks that the answer has the requested bytes.
    async fn check(&self, response: Response, start: u64) -> Result<Response, RequestError> {
        let (first, total) = match response.status() {
            StatusCode::PARTIAL_CONTENT => content_range(&response)
                .ok_or_else(|| RequestError::permanent(failed("the answer has no Content-Range")))?,
            StatusCode::OK => (0, response.content_length().unwrap_or(self.size_bytes)),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(RequestError::permanent(mismatch(format!(
                    "fewer than {} bytes are stored",
                    self.size_bytes
                ))));
            }
            _ => return Err(refusal(response, None).await),
        };
        if total != self.size_bytes {
            let text = format!("{total} bytes are stored, the receipt says {}", self.size_bytes);
            return Err(RequestError::permanent(mismatch(text)));
        }
        if first != start {
            return Err(RequestError::permanent(failed("the answer has another range than requested")));
        }
        Ok(response)
    }
}

/// First byte and total of `Content-Range: bytes 0-9/100` (RFC 9110, 14.4).
fn content_range(response: &Response) -> Option<(u64, u64)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()?))
}
