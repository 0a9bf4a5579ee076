//! The gateway's staff API: the only part that speaks HTTP.
//! The bearer token goes to the gateway's own address and nowhere else: redirects are never followed by the client.

mod content;

use std::time::Duration;

use anyhow::Context;
pub(crate) use content::{Content, item};
use reqwest::{
    Client, Method, Response, StatusCode, header,
    header::{HeaderMap, HeaderValue},
    redirect,
};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    config::{self, Settings},
    failure::{Status, failed, failure, usage},
    receipt::{Link, LinkRequest, ObjectsPage, Partner, Partners, Receipt, UploadsPage},
    trouble::{Retry, Trouble},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for so long a connection counts as dead; S3 itself gives up after 20 to 30 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// No answer of the API is larger; a page of 1,000 receipts is below 1 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A problem's text beyond this is not for people.
const DETAIL_CHARS_MAX: usize = 2_000;
/// Tries of one API call: about three seconds of waiting in all.
const CALL_TRIES_MAX: u32 = 5;
/// A call asked to wait longer than this is given up: the person is told, and decides.
const CALL_PAUSE_MAX: Duration = Duration::from_secs(10);
/// The media type of a problem (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// A gateway and the right to ask it.
pub(crate) struct Api {
    base: Url,
    token: HeaderValue,
    /// Takes the proxy that the environment names.
    proxied: Client,
    /// For what runs on this machine: neither it nor the token is any proxy's business.
    direct: Client,
}

/// Which uploads to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) ticket: Option<String>,
    pub(crate) partner: Option<String>,
    /// RFC 3339
    pub(crate) since: Option<String>,
    /// RFC 3339
    pub(crate) until: Option<String>,
    pub(crate) state: Option<String>,
}

impl Api {
    /// # Errors
    /// Status 2 for a token that cannot stand in a header.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let mut token = HeaderValue::try_from(format!("Bearer {}", settings.token))
            .map_err(|_| usage("the staff token holds characters that no token has"))?;
        token.set_sensitive(true);
        let client = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(SILENCE_MAX)
                .user_agent(concat!("wb/", env!("CARGO_PKG_VERSION")))
        };
        let proxied = client().build().context("set up the HTTP client")?;
        let direct = client().no_proxy().build().context("set up the HTTP client")?;
        Ok(Self { base: settings.url.clone(), token, proxied, direct })
    }

    /// The client for an address.
    fn client(&self, url: &Url) -> &Client {
        if config::is_loopback(url) { &self.direct } else { &self.proxied }
    }

    /// One page of uploads.
    pub(crate) async fn uploads(&self, filter: &Filter, cursor: Option<&str>) -> anyhow::Result<UploadsPage> {
        let mut url = self.url(&["uploads"]);
        let parameters = [
            ("ticket", filter.ticket.as_deref()),
            ("partner", filter.partner.as_deref()),
            ("since", filter.since.as_deref()),
            ("until", filter.until.as_deref()),
            ("state", filter.state.as_deref()),
            ("cursor", cursor),
        ];
        set_query(&mut url, &parameters);
        self.get(url).await.context("list uploads")
    }

    /// Every upload of the filter, in the gateway's order.
    pub(crate) async fn all_uploads(&self, filter: &Filter) -> anyhow::Result<Vec<Receipt>> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.uploads(filter, cursor.as_deref()).await?;
            all.extend(page.uploads);
            cursor = next_cursor(cursor.as_deref(), page.next_cursor)?;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// One receipt.
    pub(crate) async fn upload(&self, id: &str) -> anyhow::Result<Receipt> {
        self.get(self.url(&["uploads", id])).await.with_context(|| format!("upload `{id}`"))
    }

    /// Removes an upload.
    pub(crate) async fn remove_upload(&self, id: &str) -> anyhow::Result<()> {
        let removed = self.call(Method::DELETE, self.url(&["uploads", id]), None).await;
        removed.map(drop).with_context(|| format!("remove `{id}`"))
    }

    /// All partners.
    pub(crate) async fn partners(&self) -> anyhow::Result<Vec<Partner>> {
        let answer: Partners = self.get(self.url(&["partners"])).await.context("list partners")?;
        Ok(answer.partners)
    }

    /// One partner with the organisation's notes.
    pub(crate) async fn partner(&self, id: &str) -> anyhow::Result<Partner> {
        self.get(self.url(&["partners", id])).await.with_context(|| format!("partner `{id}`"))
    }

    /// One page of what lies in a partner's bucket.
    pub(crate) async fn objects(&self, partner: &str, cursor: Option<&str>) -> anyhow::Result<ObjectsPage> {
        let mut url = self.url(&["partners", partner, "objects"]);
        set_query(&mut url, &[("cursor", cursor)]);
        self.get(url).await.with_context(|| format!("list the bucket of `{partner}`"))
    }

    /// Creates an upload link.
    pub(crate) async fn create_link(&self, request: &LinkRequest) -> anyhow::Result<Link> {
        let body = serde_json::to_vec(request)?;
        let answer = self.call(Method::POST, self.url(&["links"]), Some(body)).await;
        read_json(answer.context("create a link")?).await
    }

    /// Revokes an upload link.
    pub(crate) async fn revoke_link(&self, id: &str) -> anyhow::Result<()> {
        let revoked = self.call(Method::DELETE, self.url(&["links", id]), None).await;
        revoked.map(drop).with_context(|| format!("revoke `{id}`"))
    }

    /// `/api/v1/…` below the gateway's address, each segment escaped.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    /// The gateway itself did not answer: its address is what to look at.
    fn no_answer(&self, error: reqwest::Error) -> Trouble {
        let Trouble { error, retry } = Trouble::from_client(error);
        let address = self.base.origin().ascii_serialization();
        let text =
            format!("no answer from {address} (see that it runs, and that WEIGHBRIDGE_URL is its address)");
        Trouble { error: error.context(text), retry }
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> anyhow::Result<T> {
        read_json(self.call(Method::GET, url, None).await?).await
    }

    /// Sends a request until it is answered; only a GET is sent twice when the first may have been performed.
    async fn call(&self, method: Method, url: Url, body: Option<Vec<u8>>) -> anyhow::Result<Response> {
        let mut failures = 0;
        loop {
            let request = self.client(&url).request(method.clone(), url.clone());
            let mut request = request.header(header::AUTHORIZATION, &self.token);
            if let Some(body) = &body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            let trouble = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => refusal(response).await,
                Err(error) => self.no_answer(error),
            };
            failures += 1;
            let repeatable = method == Method::GET || trouble.retry == Retry::NotSent;
            let pause = trouble.pause(failures).filter(|pause| repeatable && *pause <= CALL_PAUSE_MAX);
            match pause {
                Some(pause) if failures < CALL_TRIES_MAX => tokio::time::sleep(pause).await,
                _ => return Err(trouble.error),
            }
        }
    }
}

impl Trouble {
    fn from_client(error: reqwest::Error) -> Self {
        let retry = if error.is_builder() {
            Retry::Never
        } else if error.is_connect() {
            Retry::NotSent
        } else {
            Retry::Later(None)
        };
        // A presigned URL is a secret, too: it must not end up in a message.
        Self { error: anyhow::Error::new(error.without_url()), retry }
    }
}

/// The cursor of the next page.
///
/// # Errors
/// A cursor that does not advance would never end.
pub(crate) fn next_cursor(before: Option<&str>, next: Option<String>) -> anyhow::Result<Option<String>> {
    if next.is_some() && next.as_deref() == before {
        return Err(failed("the gateway answers the same page again"));
    }
    Ok(next)
}

fn set_query(url: &mut Url, parameters: &[(&str, Option<&str>)]) {
    let given: Vec<_> = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    if !given.is_empty() {
        url.query_pairs_mut().extend_pairs(given);
    }
}

async fn read_json<T: DeserializeOwned>(mut response: Response) -> anyhow::Result<T> {
    let body = read_body(&mut response).await?;
    serde_json::from_slice(&body).context("read the gateway's answer (is this address a gateway's?)")
}

async fn read_body(response: &mut Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(failed("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The parts of a problem (RFC 9457) that are meant for people.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

/// An answer that is not a success, as an error with the status it calls for.
async fn refusal(mut response: Response) -> Trouble {
    let status = response.status();
    let retry = retry_of(status, response.headers());
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    let body = read_body(&mut response).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let text = problem.detail.or(problem.title).unwrap_or_else(|| {
        if status.is_redirection() {
            format!("the answer was a redirect ({status}): is this address the gateway's own?")
        } else {
            format!("the answer was {status}")
        }
    });
    let text: String = text.chars().take(DETAIL_CHARS_MAX).collect();
    // Only the gateway says so of what was asked here; a bucket says it of much else.
    let is_usage = is_problem && matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    let ends_with = if is_usage { Status::Usage } else { status_for(status) };
    Trouble { error: failure(ends_with, text), retry }
}

fn status_for(status: StatusCode) -> Status {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Status::NotAllowed,
        StatusCode::NOT_FOUND | StatusCode::GONE => Status::NotFound,
        _ => Status::Failed,
    }
}

fn retry_of(status: StatusCode, headers: &HeaderMap) -> Retry {
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !passing {
        return Retry::Never;
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Retry::Later(asked.map(Duration::from_secs))
}
