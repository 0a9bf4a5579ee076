//! HTTP to the desk and Slack: one request, one bounded answer. What a status of the desk means. The desk's calls are counted.
//!
//! Invariants: redirects are never followed, so no header of ours reaches another host; no metric holds more of an
//! address than its kind, because addresses contain IDs and file names.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::{Host, Url};

use crate::Error;

/// Larger than any page we request.
const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The wait after a 429 without `Retry-After`: Zendesk's limits are per minute.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// A longer `Retry-After` is cut to this.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// The desk's own words in an error are cut to this.
const DETAIL_CHARS_MAX: usize = 300;

/// A server's address without query and fragment. `whose` begins the message about an unusable one.
pub(crate) fn base(url: &str, whose: &str) -> Result<Url, Error> {
    let mut base = Url::parse(url).map_err(|error| Error::refused(format!("{whose} URL: {error}")))?;
    if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
        return Err(Error::refused(format!("{whose} URL must begin with https://")));
    }
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

/// A header value that is kept out of `Debug` output and HTTP/2 compression tables. `None` if it does not fit in a header.
pub(crate) fn secret_header(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How long a client waits.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) request: Duration,
    pub(crate) connect: Duration,
}

/// An HTTP client for the server at `base`.
pub(crate) fn client(timeouts: Timeouts, base: &Url) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .timeout(timeouts.request)
        .connect_timeout(timeouts.connect)
        .user_agent(concat!("weighbridge/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base) {
        // The environment's proxy is for other hosts.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::refused(format!("cannot set up the HTTP client: {error}")))
}

/// Appends path segments to a server's address, each escaped.
pub(crate) fn join(base: &Url, segments: &[&str]) -> Result<Url, Error> {
    let mut url = base.clone();
    let mut path =
        url.path_segments_mut().map_err(|()| Error::refused(format!("{base} cannot have a path")))?;
    path.pop_if_empty().extend(segments);
    drop(path);
    Ok(url)
}

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(http: &Client, request: Request) -> Result<Answer, Error> {
    Answer::read(http.execute(request).await?).await
}

/// Sends a request to the desk, and counts and times it.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, Error> {
    let (http, request) = request.build_split();
    let request = request?;
    let method = request.method().as_str().to_owned();
    let about = about(request.url().path());
    let began = Instant::now();
    let answer = exchange(&http, request).await;
    let result = match &answer {
        Ok(answer) if answer.status.is_success() => "ok".to_owned(),
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(_) => "no-answer".to_owned(),
    };
    metrics::counter!(
        "weighbridge_desk_calls_total",
        "about" => about,
        "method" => method,
        "result" => result,
    )
    .increment(1);
    metrics::histogram!("weighbridge_desk_call_seconds", "about" => about).record(began.elapsed());
    answer
}

/// The last segment of the path that is a word of Zendesk's API.
fn about(path: &str) -> &'static str {
    const KNOWN: [&str; 8] =
        ["oauth", "uploads", "tickets", "comments", "tags", "users", "organizations", "search"];
    let known = |segment: &str| KNOWN.into_iter().find(|known| *known == segment);
    path.split('/').filter_map(known).next_back().unwrap_or("other")
}

/// Whether the URL's host is this machine. Requests to it bypass any proxy, and plain HTTP to it exposes nothing.
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

/// An answer with its whole body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The wait that the server asked for.
    pub(crate) retry_after: Option<Duration>,
    /// The server's clock, ms, if it says.
    pub(crate) date_ms: Option<i64>,
    body: Bytes,
}

impl Answer {
    async fn read(mut response: Response) -> Result<Self, Error> {
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let date_ms = date_ms(response.headers());
        let mut body = BytesMut::new();
        while let Some(frame) = response.chunk().await? {
            if body.len() + frame.len() > ANSWER_BYTES_MAX {
                return Err(Error::unavailable(format!(
                    "the answer ({status}) is larger than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&frame);
        }
        Ok(Self { status, retry_after, date_ms, body: body.freeze() })
    }

    /// Parses the body. A body of another shape means that this is not a working server.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::unavailable(format!("cannot parse the answer: {error}")))
    }

    /// The error that the status stands for; `None` for a success.
    pub(crate) fn error(&self) -> Option<Error> {
        let text = String::from_utf8_lossy(&self.body);
        let error = match self.status.as_u16() {
            200..=299 => return None,
            // A 403 is about the token's rights: an operator can fix it, so the file stays deliverable.
            401 | 403 => Error::Unauthorized,
            404 | 410 => Error::NotFound,
            409 => Error::Conflict,
            413 => Error::TooLarge,
            // Zendesk says so in different places.
            422 if text.contains("closed prevents ticket update") || text.contains("ClosedTicket") => {
                Error::Closed
            }
            422 if text.contains("AttachmentTooBig") => Error::TooLarge,
            429 => Error::RateLimited { retry_after: self.retry_after.unwrap_or(DEFAULT_WAIT) },
            // A redirect or an unpaid bill is also the operator's to fix, and says nothing about the file.
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
        words.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect()
    }
}

/// Collects `error` and every `description`, wherever Zendesk put them.
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
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let date = jiff::fmt::rfc2822::parse(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.timestamp().as_millisecond())
}

/// Reads a JSON `null` as an empty string or list, or as 0.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts() {
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
        Answer { status, retry_after: None, date_ms: None, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn statuses_map_to_errors() {
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
    fn a_refusal_quotes_the_desk_on_one_line() {
        let body = r#"{"error":"RecordInvalid","description":"Record validation errors",
            "details":{"tags":[{"description":"Tags:\nbad"}]}}"#;
        let Some(Error::Refused { detail }) = answer(422, body).error() else { panic!("not refused") };
        for part in ["422", "RecordInvalid", "Record validation errors", "Tags:bad"] {
            assert!(detail.contains(part), "{detail}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(5000));
        let Some(Error::Refused { detail }) = answer(400, &long).error() else { panic!("not refused") };
        assert_eq!(detail.chars().count(), DETAIL_CHARS_MAX);
    }

    #[test]
    fn retry_after_is_bounded() {
        for (text, wait) in
            [("5", Some(5)), (" 7 ", Some(7)), ("999999", Some(3600)), ("-1", None), ("soon", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_server_s_clock_is_read() {
        for (text, expected) in [("Fri, 27 Nov 2026 20:59:29 GMT", Some(1_795_813_169_000)), ("now", None)] {
            let headers = HeaderMap::from_iter([(DATE, text.parse().unwrap())]);
            assert_eq!(date_ms(&headers), expected, "{text}");
        }
    }

    #[test]
    fn joined_segments_are_escaped() {
        for (base, segments, url) in [
            ("https://x.zendesk.com", &["api", "a b/c"][..], "https://x.zendesk.com/api/a%20b%2Fc"),
            ("https://x.zendesk.com/", &["api"], "https://x.zendesk.com/api"),
            ("http://127.0.0.1:1/desk/", &["api"], "http://127.0.0.1:1/desk/api"),
        ] {
            assert_eq!(join(&Url::parse(base).unwrap(), segments).unwrap().as_str(), url);
        }
    }

    #[test]
    fn calls_are_labelled_by_kind() {
        for (path, expected) in [
            ("/api/v2/tickets/1001", "tickets"),
            ("/api/v2/tickets/1001/comments", "comments"),
            ("/desk/api/v2/uploads", "uploads"),
            ("/api/v2/tickets/1001/tags", "tags"),
            ("/api/v2/incremental/tickets/cursor", "tickets"),
            ("/oauth/tokens", "oauth"),
            ("/api/v2/users/me", "users"),
            ("/api/v2/1001", "other"),
        ] {
            assert_eq!(about(path), expected, "{path}");
        }
    }
}
