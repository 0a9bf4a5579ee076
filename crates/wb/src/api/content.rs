//! The bytes of one upload, by range: from the bucket through a presigned URL, or streamed by the gateway.
//! A presigned URL is shared by all ranges until the bucket refuses it; then one of them asks the gateway for a new one.

use std::sync::Arc;

use anyhow::Context;
use reqwest::{Response, StatusCode, header};
use tokio::sync::Mutex;
use url::Url;

use super::{Api, refusal};
use crate::{
    download::{Item, Proof, Source},
    failure::{failed, mismatch, not_found},
    receipt::Receipt,
    trouble::Trouble,
};

/// Where the bytes of one upload come from.
pub(crate) struct Content {
    api: Arc<Api>,
    url: Url,
    size_bytes: u64,
    /// The presigned URL, once the gateway has sent us to a bucket. Held while asking, so that only one range asks.
    place: Mutex<Option<Url>>,
}

/// A completed upload as something to fetch.
///
/// # Errors
/// Status 3 for an upload that is still open.
pub(crate) fn item(api: &Arc<Api>, receipt: &Receipt, via_gateway: bool) -> anyhow::Result<Item> {
    let Some((size_bytes, sha256)) = receipt.proof() else {
        return Err(not_found("the upload is not complete: there is nothing to fetch yet"));
    };
    let content = Content::new(api, &receipt.id, size_bytes, via_gateway);
    Ok(Item {
        id: receipt.id.clone(),
        name: receipt.name.clone(),
        size_bytes,
        proof: Proof::Receipt(sha256.to_owned()),
        source: Arc::new(Source::Gateway(content)),
        facts: serde_json::to_value(receipt)?,
    })
}

impl Content {
    /// The bytes of upload `id`, which has `size_bytes` of them.
    fn new(api: &Arc<Api>, id: &str, size_bytes: u64, via_gateway: bool) -> Self {
        let mut url = api.url(&["uploads", id, "content"]);
        if via_gateway {
            url.set_query(Some("via=gateway"));
        }
        Self { api: Arc::clone(api), url, size_bytes, place: Mutex::new(None) }
    }

    /// Appends the bytes from `start` to before `end` to `piece`. What has arrived stays there when it fails,
    /// so that the next try goes on behind it. `arrived` hears of every chunk.
    pub(crate) async fn read(
        &self,
        start: u64,
        end: u64,
        piece: &mut Vec<u8>,
        arrived: impl Fn(u64),
    ) -> Result<(), Trouble> {
        let mut response = self.open(start, end).await?;
        let mut missing = end - start;
        while missing > 0 {
            let Some(chunk) = response.chunk().await.map_err(Trouble::from_client)? else {
                return Err(Trouble::passing(failed("the answer ended early")));
            };
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX).min(missing);
            piece.extend_from_slice(&chunk[..usize::try_from(length).unwrap_or(chunk.len())]);
            arrived(length);
            missing -= length;
        }
        Ok(())
    }

    /// An answer that begins at `start`.
    async fn open(&self, start: u64, end: u64) -> Result<Response, Trouble> {
        let range = format!("bytes={start}-{}", end - 1);
        let known = self.place.lock().await.clone();
        if let Some(url) = &known {
            let response = self.fetch(url.clone(), &range).await?;
            // S3 answers 403 for an expired signature and 400 for an expired session.
            let expired = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            if !expired.contains(&response.status()) {
                return self.check(response, start).await;
            }
        }
        let mut place = self.place.lock().await;
        // Another range may have asked while this one waited.
        let fresh = match place.clone().filter(|url| known.as_ref() != Some(url)) {
            Some(url) => url,
            None => {
                let response = self.ask(&range).await?;
                if !response.status().is_redirection() {
                    drop(place);
                    return self.check(response, start).await;
                }
                let url = self.location(&response).map_err(Trouble::lasting)?;
                *place = Some(url.clone());
                url
            }
        };
        drop(place);
        let response = self.fetch(fresh, &range).await?;
        self.check(response, start).await
    }

    /// Asks the gateway, with the token.
    async fn ask(&self, range: &str) -> Result<Response, Trouble> {
        let request = self.api.client(&self.url).get(self.url.clone()).header(header::RANGE, range);
        let request = request.header(header::AUTHORIZATION, &self.api.token);
        request.send().await.map_err(|error| self.api.no_answer(error))
    }

    /// Without the token: the address is the gateway's word, the host may be anyone's.
    async fn fetch(&self, url: Url, range: &str) -> Result<Response, Trouble> {
        let request = self.api.client(&url).get(url).header(header::RANGE, range);
        request.send().await.map_err(Trouble::from_client)
    }

    fn location(&self, response: &Response) -> anyhow::Result<Url> {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = self.url.join(location.context("the gateway redirects to nowhere")?)?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(failed("the gateway redirects to an address that is not http")),
        }
    }

    /// Refuses an answer with other bytes than were asked for.
    async fn check(&self, response: Response, start: u64) -> Result<Response, Trouble> {
        let (first, total) = match response.status() {
            StatusCode::PARTIAL_CONTENT => content_range(&response)
                .ok_or_else(|| Trouble::lasting(failed("the answer does not say which range it holds")))?,
            StatusCode::OK => (0, response.content_length().unwrap_or(self.size_bytes)),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Trouble::lasting(mismatch(format!(
                    "less is stored than {} bytes",
                    self.size_bytes
                ))));
            }
            _ => return Err(refusal(response).await),
        };
        if total != self.size_bytes {
            let text = format!("{total} bytes are stored, the receipt says {}", self.size_bytes);
            return Err(Trouble::lasting(mismatch(text)));
        }
        if first != start {
            return Err(Trouble::lasting(failed("the answer holds another range than was asked for")));
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
