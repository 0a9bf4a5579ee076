//! One call to the desk: address, authorization, limits, and what its status means.
//!
//! Invariant: redirects are never followed, so no header of ours reaches another host.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::{Host, Url};

use crate::auth::{Auth, Authorization};
use crate::{Config, Error, observe};

/// More than any page asked for here can have; an answer beyond is not read.
const MAX_ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// How long to wait after a 429 that does not say: Zendesk's limits are per minute.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// A longer `Retry-After` is not believed.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// How much of the desk's words goes into an error.
const MAX_DETAIL_CHARS: usize = 300;

/// A desk's client. Cheap to clone; clones share connections, access token and caches.
#[derive(Clone)]
pub struct Desk {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    base: Url,
    http: reqwest::Client,
    auth: Auth,
    pub(crate) request_timeout: Duration,
    pub(crate) me: OnceCell<u64>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("url", &self.shared.base.as_str()).finish_non_exhaustive()
    }
}

impl Desk {
    /// A client of the desk at `config.url`. Calls nobody yet.
    ///
    /// # Errors
    /// [`Error::Refused`] if the address is not one, [`Error::Unauthorized`] if the credentials cannot stand in a header.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut base =
            Url::parse(&config.url).map_err(|error| Error::refused(format!("the desk's url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(Error::refused("the desk's url must begin with https://"));
        }
        base.set_query(None);
        base.set_fragment(None);
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(config.request_timeout)
            .connect_timeout(config.connect_timeout)
            .user_agent(concat!("weighbridge/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy from the environment is for the way out.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Error::refused(format!("cannot speak HTTP: {error}")))?;
        let auth = Auth::new(config.credentials, &base)?;
        let request_timeout = config.request_timeout;
        Ok(Self { shared: Arc::new(Shared { base, http, auth, request_timeout, me: OnceCell::new() }) })
    }

    /// A request for `/api/v2/…`; each segment is escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, Error> {
        let segments = [&["api", "v2"], segments].concat();
        Ok(self.shared.http.request(method, join(&self.shared.base, &segments)?))
    }

    /// Sends a request that can be sent twice, and answers what a success holds. After a 401 once more with a new token.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let again = request.try_clone();
        let authorization = self.authorization().await?;
        let mut answer = self.send(request, &authorization).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(again) = again
            && let Some(authorization) = self.renew(&authorization).await?
        {
            answer = self.send(again, &authorization).await?;
        }
        answer.error().map_or_else(|| answer.parse(), Err)
    }

    pub(crate) async fn authorization(&self) -> Result<Authorization, Error> {
        self.shared.auth.header(&self.shared.http).await
    }

    pub(crate) async fn renew(&self, refused: &Authorization) -> Result<Option<Authorization>, Error> {
        self.shared.auth.renew(&self.shared.http, refused).await
    }

    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        authorization: &Authorization,
    ) -> Result<Answer, Error> {
        observe::send(request.header(AUTHORIZATION, authorization.header.clone())).await
    }
}

/// The desk's own address with these path segments.
pub(crate) fn join(base: &Url, segments: &[&str]) -> Result<Url, Error> {
    let mut url = base.clone();
    let mut path = url.path_segments_mut().map_err(|()| Error::refused("the desk's url takes no path"))?;
    path.pop_if_empty().extend(segments);
    drop(path);
    Ok(url)
}

/// Whether this URL's host is this machine. Nothing asks it through a proxy, and plain http to it gives nothing away.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_loopback(),
            None => address.is_loopback() || address.is_unspecified(),
        },
        None => false,
    }
}

/// An answer, read whole and within bounds.
pub(crate) struct Answer {
    pub status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    pub(crate) async fn read(mut response: Response) -> Result<Self, Error> {
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut body = BytesMut::new();
        while let Some(frame) = response.chunk().await? {
            if body.len() + frame.len() > MAX_ANSWER_BYTES {
                return Err(Error::unavailable(format!(
                    "the answer ({status}) is larger than {MAX_ANSWER_BYTES} bytes"
                )));
            }
            body.extend_from_slice(&frame);
        }
        Ok(Self { status, retry_after, body: body.freeze() })
    }

    /// What a success holds. Anything else than the shape asked for did not come from a desk that works.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::unavailable(format!("answer not understood: {error}")))
    }

    /// What the status means; `None` for a success.
    pub(crate) fn error(&self) -> Option<Error> {
        let text = String::from_utf8_lossy(&self.body);
        let error = match self.status.as_u16() {
            200..=299 => return None,
            // A 403 is a matter of the token's rights: an operator mends it, the file stays deliverable.
            401 | 403 => Error::Unauthorized,
            404 | 410 => Error::NotFound,
            409 => Error::Conflict,
            413 => Error::TooLarge,
            // Zendesk words this in more than one place of the answer.
            422 if text.contains("closed prevents ticket update") || text.contains("ClosedTicket") => {
                Error::Closed
            }
            422 if text.contains("AttachmentTooBig") => Error::TooLarge,
            429 => Error::RateLimited { retry_after: self.retry_after.unwrap_or(DEFAULT_WAIT) },
            // A redirect or an unpaid bill, too, is for an operator to mend; nothing was decided about the file.
            300..=399 | 402 | 408 | 425 | 500..=599 => Error::Unavailable {
                retry_after: self.retry_after,
                source: format!("the desk answered {}", self.status).into(),
            },
            _ => Error::refused(self.detail(&text)),
        };
        Some(error)
    }

    fn detail(&self, text: &str) -> String {
        let mut words = vec![self.status.as_u16().to_string()];
        if let Ok(body) = serde_json::from_str::<Value>(text) {
            descriptions(&body, &mut words);
        }
        let words = words.join("; ");
        words.chars().filter(|c| !c.is_control()).take(MAX_DETAIL_CHARS).collect()
    }
}

/// `error` and every `description`, wherever Zendesk put them.
fn descriptions(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text)
                        if matches!(key.as_str(), "error" | "description" | "title" | "message") =>
                    {
                        words.push(text.clone());
                    }
                    value => descriptions(value, words),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(item, words)),
        _ => {}
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_every_name() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/desk", true),
            ("http://127.9.9.9", true),
            ("http://LOCALHOST", true),
            ("http://localhost./", true),
            ("http://desk.localhost", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("http://0.0.0.0:1", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1", false),
            ("http://[2001:db8::1]", false),
            ("https://example.zendesk.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn statuses_have_a_remedy() {
        let closed = r#"{"error":"RecordInvalid","description":"Record validation errors",
            "details":{"status":[{"description":"Status: closed prevents ticket update"}]}}"#;
        let cases = [
            (401, "", "Unauthorized"),
            (403, "", "Unauthorized"),
            (404, "", "NotFound"),
            (409, "", "Conflict"),
            (413, "", "TooLarge"),
            (422, closed, "Closed"),
            (422, r#"{"details":{"base":[{"error":"ClosedTicket"}]}}"#, "Closed"),
            (422, r#"{"error":"AttachmentTooBig"}"#, "TooLarge"),
            (422, "", "Refused"),
            (400, "", "Refused"),
            (302, "", "Unavailable"),
            (429, "", "RateLimited"),
            (408, "", "Unavailable"),
            (500, "", "Unavailable"),
            (503, "", "Unavailable"),
        ];
        for (status, body, name) in cases {
            let error = answer(status, body).error().unwrap();
            assert!(format!("{error:?}").starts_with(name), "{status} {body}: {error:?}");
            assert_eq!(error.is_transient(), matches!(name, "RateLimited" | "Unavailable"), "{status}");
        }
        assert!(answer(200, "").error().is_none());
        assert!(answer(201, "").error().is_none());
        assert_eq!(answer(429, "").error().unwrap().retry_after(), Some(DEFAULT_WAIT));
    }

    #[test]
    fn a_refusal_says_why_in_one_line() {
        let body = r#"{"error":"RecordInvalid","description":"Record validation errors",
            "details":{"tags":[{"description":"Tags:\nbad"}]}}"#;
        let Some(Error::Refused { detail }) = answer(422, body).error() else { panic!("not refused") };
        for part in ["422", "RecordInvalid", "Record validation errors", "Tags:bad"] {
            assert!(detail.contains(part), "{detail}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(5000));
        let Some(Error::Refused { detail }) = answer(400, &long).error() else { panic!("not refused") };
        assert_eq!(detail.chars().count(), MAX_DETAIL_CHARS);
    }

    #[test]
    fn waits_are_bounded() {
        for (text, wait) in
            [("5", Some(5)), (" 7 ", Some(7)), ("999999", Some(3600)), ("-1", None), ("soon", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn addresses_are_joined_and_escaped() {
        for (base, segments, url) in [
            ("https://x.zendesk.com", &["api", "a b/c"][..], "https://x.zendesk.com/api/a%20b%2Fc"),
            ("https://x.zendesk.com/", &["api"], "https://x.zendesk.com/api"),
            ("http://127.0.0.1:1/desk/", &["api"], "http://127.0.0.1:1/desk/api"),
        ] {
            assert_eq!(join(&Url::parse(base).unwrap(), segments).unwrap().as_str(), url);
        }
    }
}
