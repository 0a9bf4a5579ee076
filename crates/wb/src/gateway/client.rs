//! A client for the gateway's staff API.
//! Invariant: the bearer token is sent to the gateway's own address only; the HTTP client never follows a redirect.

use std::time::Duration;

use anyhow::Context;
use api::{
    BucketObject, Contact, ContactList, CreatedLink, Link, LinkExpiry, LinkList, LinkRequest, ObjectPage,
    Partner, PartnerDetails, PartnerList, Problem, Receipt, UploadPage,
};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, header, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::config::{self, Settings};
use crate::exit::{Status, failed, failure, not_found, usage};
use crate::retry::{RequestError, Retry};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be silent; S3 itself gives up after 20 to 30 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Larger than any answer: a page of 1,000 receipts is below 1 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A longer problem text is cut.
const DETAIL_CHARS_MAX: usize = 2_000;
/// Attempts per API call: about three seconds of waiting.
const CALL_ATTEMPTS_MAX: u32 = 5;
/// If the gateway asks for a longer pause, the call fails and the user decides.
const CALL_PAUSE_MAX: Duration = Duration::from_secs(10);
/// RFC 9457.
const PROBLEM: &str = "application/problem+json";

pub(crate) struct Gateway {
    base: Url,
    pub(super) token: HeaderValue,
    /// Uses the environment's proxy.
    proxied: Client,
    /// For this machine: no proxy gets the request or the token.
    direct: Client,
}

/// Which uploads to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) ticket: Option<String>,
    pub(crate) partner: Option<String>,
    /// RFC 3339.
    pub(crate) since: Option<String>,
    /// RFC 3339.
    pub(crate) until: Option<String>,
    pub(crate) state: Option<String>,
}

impl Gateway {
    /// # Errors
    /// Status 2 if the token does not fit in a header.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let mut token = HeaderValue::try_from(format!("Bearer {}", settings.token)).map_err(|_| {
            usage("the staff token contains characters that no token has: check WEIGHBRIDGE_TOKEN")
        })?;
        token.set_sensitive(true);
        let client = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(SILENCE_MAX)
                .user_agent(concat!("wb/", env!("CARGO_PKG_VERSION")))
        };
        let proxied = client().build().context("cannot set up the HTTP client")?;
        let direct = client().no_proxy().build().context("cannot set up the HTTP client")?;
        Ok(Self { base: settings.url.clone(), token, proxied, direct })
    }

    pub(super) fn client(&self, url: &Url) -> &Client {
        if config::is_loopback(url) { &self.direct } else { &self.proxied }
    }

    /// One page of uploads.
    pub(crate) async fn uploads(&self, filter: &Filter, cursor: Option<&str>) -> anyhow::Result<UploadPage> {
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
        self.get(url, None).await.context("cannot list the uploads")
    }

    /// All matching uploads, in the gateway's order.
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

    pub(crate) async fn upload(&self, id: &str) -> anyhow::Result<Receipt> {
        self.get(self.url(&["uploads", id]), Some(no_upload(id))).await
    }

    pub(crate) async fn remove_upload(&self, id: &str) -> anyhow::Result<()> {
        let url = self.url(&["uploads", id]);
        let removed = self.call(Method::DELETE, url, None, Some(no_upload(id))).await;
        removed.map(drop).with_context(|| format!("cannot remove `{id}`"))
    }

    pub(crate) async fn partners(&self) -> anyhow::Result<Vec<Partner>> {
        let answer = self.get(self.url(&["partners"]), None).await;
        answer.map(|list: PartnerList| list.partners).context("cannot list the partners")
    }

    pub(crate) async fn partner(&self, id: &str) -> anyhow::Result<PartnerDetails> {
        self.get(self.url(&["partners", id]), Some(no_partner(id))).await
    }

    /// An unknown partner is an error rather than an empty list: its ID is probably mistyped.
    ///
    /// # Errors
    /// Status 3 if a partner is named that the gateway does not know.
    pub(crate) async fn check_partner(&self, wanted: Option<&str>) -> anyhow::Result<()> {
        let Some(wanted) = wanted else { return Ok(()) };
        if self.partners().await?.iter().any(|partner| partner.id == wanted) {
            return Ok(());
        }
        Err(not_found(no_partner(wanted)))
    }

    pub(crate) async fn contacts(&self, partner: &str) -> anyhow::Result<Vec<Contact>> {
        let answer = self.get(self.url(&["partners", partner, "contacts"]), Some(no_partner(partner))).await;
        answer
            .map(|list: ContactList| list.contacts)
            .with_context(|| format!("cannot list the contacts of `{partner}`"))
    }

    /// Adds a contact, or changes the one with the same address.
    pub(crate) async fn add_contact(&self, partner: &str, contact: &Value) -> anyhow::Result<Contact> {
        let url = self.url(&["partners", partner, "contacts"]);
        let added = self.send(Method::POST, url, contact, Some(no_partner(partner))).await;
        added.with_context(|| format!("cannot add a contact of `{partner}`"))
    }

    pub(crate) async fn disable_contact(&self, partner: &str, id: &str) -> anyhow::Result<()> {
        let unknown = format!(
            "Partner `{partner}` has no contact with the ID `{id}`. Run `wb contact list --partner {partner}`."
        );
        let url = self.url(&["partners", partner, "contacts", id]);
        let disabled = self.call(Method::DELETE, url, None, Some(unknown)).await;
        disabled.map(drop).with_context(|| format!("cannot disable `{id}`"))
    }

    /// One page of the objects in a partner's bucket.
    pub(crate) async fn objects(&self, partner: &str, cursor: Option<&str>) -> anyhow::Result<ObjectPage> {
        let mut url = self.url(&["partners", partner, "objects"]);
        set_query(&mut url, &[("cursor", cursor)]);
        let page = self.get(url, Some(no_partner(partner))).await;
        page.with_context(|| format!("cannot list the bucket of `{partner}`"))
    }

    /// An object that the partner put into its own bucket with its own tools.
    pub(crate) async fn object(&self, partner: &str, key: &str) -> anyhow::Result<BucketObject> {
        self.get(self.object_url(partner, key), None).await
    }

    /// Asks for such an object to be read.
    pub(crate) async fn read_object(&self, partner: &str, key: &str) -> anyhow::Result<BucketObject> {
        read_json(self.call(Method::POST, self.object_url(partner, key), None, None).await?).await
    }

    fn object_url(&self, partner: &str, key: &str) -> Url {
        let mut url = self.url(&["partners", partner, "object"]);
        set_query(&mut url, &[("key", Some(key))]);
        url
    }

    pub(crate) async fn create_link(&self, request: &LinkRequest) -> anyhow::Result<CreatedLink> {
        let body = serde_json::to_vec(request)?;
        let answer = self.call(Method::POST, self.url(&["links"]), Some(body), None).await;
        read_json(answer.context("cannot create a link")?).await
    }

    /// The newest first, revoked and expired ones, too.
    pub(crate) async fn links(&self, partner: Option<&str>) -> anyhow::Result<Vec<Link>> {
        let mut url = self.url(&["links"]);
        set_query(&mut url, &[("partner", partner)]);
        let answer = self.get(url, partner.map(no_partner)).await;
        answer.map(|list: LinkList| list.links).context("cannot list the links")
    }

    pub(crate) async fn renew_link(&self, id: &str, expires_in_s: Option<u64>) -> anyhow::Result<Link> {
        let unknown = format!("No upload link has the ID `{id}`. Run `wb link list`.");
        let body = serde_json::to_value(LinkExpiry { expires_in_s })?;
        let renewed = self.send(Method::POST, self.url(&["links", id, "renew"]), &body, Some(unknown)).await;
        renewed.with_context(|| format!("cannot renew `{id}`"))
    }

    pub(crate) async fn revoke_link(&self, id: &str) -> anyhow::Result<()> {
        let unknown = format!("No upload link has the ID `{id}`. Run `wb link list`.");
        let revoked = self.call(Method::DELETE, self.url(&["links", id]), None, Some(unknown)).await;
        revoked.map(drop).with_context(|| format!("cannot revoke `{id}`"))
    }

    /// `/api/v1/…` under the gateway's address; each segment is escaped.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    pub(super) fn no_answer(&self, error: reqwest::Error) -> RequestError {
        let RequestError { error, retry } = from_reqwest(error);
        let address = self.base.origin().ascii_serialization();
        let text =
            format!("no answer from {address} (check that the gateway runs, and check WEIGHBRIDGE_URL)");
        RequestError { error: error.context(text), retry }
    }

    /// Sends a JSON object and reads the answer.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &Value,
        unknown: Option<String>,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        read_json(self.call(method, url, Some(body), unknown).await?).await
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        url: Url,
        unknown: Option<String>,
    ) -> anyhow::Result<T> {
        read_json(self.call(Method::GET, url, None, unknown).await?).await
    }

    /// Sends a request, with retries. Only a GET is sent again if it may have been performed. `unknown` is the error message
    /// if the gateway says 404.
    pub(super) async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        unknown: Option<String>,
    ) -> anyhow::Result<Response> {
        let mut failures = 0;
        loop {
            let request = self.client(&url).request(method.clone(), url.clone());
            let mut request = request.header(header::AUTHORIZATION, &self.token);
            if let Some(body) = &body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            let failed = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => refusal(response, unknown.as_deref()).await,
                Err(error) => self.no_answer(error),
            };
            failures += 1;
            let repeatable = method == Method::GET || failed.retry == Retry::NotSent;
            let pause = failed.pause(failures).filter(|pause| repeatable && *pause <= CALL_PAUSE_MAX);
            match pause {
                Some(pause) if failures < CALL_ATTEMPTS_MAX => tokio::time::sleep(pause).await,
                _ => return Err(failed.error),
            }
        }
    }
}

pub(crate) fn from_reqwest(error: reqwest::Error) -> RequestError {
    let retry = if error.is_builder() {
        Retry::Never
    } else if error.is_connect() {
        Retry::NotSent
    } else {
        Retry::Later(None)
    };
    // A presigned URL is a secret: keep it out of messages.
    RequestError { error: anyhow::Error::new(error.without_url()), retry }
}

fn no_upload(id: &str) -> String {
    format!("No upload has the ID `{id}`. Run `wb ls` to list uploads.")
}

pub(super) fn no_partner(id: &str) -> String {
    format!("No partner has the ID `{id}`. Run `wb partner` to list partners.")
}

/// The cursor of the next page.
///
/// # Errors
/// If the cursor does not advance.
pub(crate) fn next_cursor(before: Option<&str>, next: Option<String>) -> anyhow::Result<Option<String>> {
    if next.is_some() && next.as_deref() == before {
        return Err(failed("the gateway sent the same page twice"));
    }
    Ok(next)
}

pub(super) fn set_query(url: &mut Url, parameters: &[(&str, Option<&str>)]) {
    let given: Vec<_> = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    if !given.is_empty() {
        url.query_pairs_mut().extend_pairs(given);
    }
}

async fn read_json<T: DeserializeOwned>(mut response: Response) -> anyhow::Result<T> {
    let body = read_body(&mut response).await?;
    serde_json::from_slice(&body).context("cannot read the answer (is this the address of a gateway?)")
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

/// Turns an answer that is not a success into an error.
pub(super) async fn refusal(mut response: Response, unknown: Option<&str>) -> RequestError {
    let status = response.status();
    let retry = retry_of(status, response.headers());
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    let body = read_body(&mut response).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let text = match (unknown, problem) {
        (Some(unknown), _) if is_problem && status == StatusCode::NOT_FOUND => unknown.to_owned(),
        (_, problem) if !problem.detail.is_empty() => problem.detail,
        (_, problem) if !problem.title.is_empty() => problem.title,
        _ if status.is_redirection() => {
            format!("the answer was a redirect ({status}): is this the gateway's own address?")
        }
        _ => format!("the answer was {status}"),
    };
    let text: String = text.chars().take(DETAIL_CHARS_MAX).collect();
    // From the gateway, these mean wrong usage; from a bucket, they can mean many things.
    let is_usage = is_problem && matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    let exit_status = if is_usage { Status::Usage } else { status_for(status) };
    RequestError { error: failure(exit_status, text), retry }
}

fn status_for(status: StatusCode) -> Status {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Status::NotAllowed,
        StatusCode::NOT_FOUND | StatusCode::GONE => Status::NotFound,
        _ => Status::Failed,
    }
}

fn retry_of(status: StatusCode, headers: &HeaderMap) -> Retry {
    let is_transient = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !is_transient {
        return Retry::Never;
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Retry::Later(asked.map(Duration::from_secs))
}
