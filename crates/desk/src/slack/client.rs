//! Slack's Web API: post a message, find it again, open a form.
//!
//! Invariants: nothing is retried here, because `chat.postMessage` has no idempotency key; a metric names a method and a kind
//! of result, never a channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use url::Url;

use super::error::Error;
use super::message::{Message, has_id};
use super::signature::verify;
use crate::http::{self, Answer, Timeouts};
use crate::signature::BadSignature;

/// Shorter than the desk's: Slack answers within a second or is down.
const TIMEOUTS: Timeouts = Timeouts { request: Duration::from_secs(20), connect: Duration::from_secs(5) };
/// Messages per page of a channel's history. Slack recommends at most 200.
const PAGE_MESSAGES: &str = "200";
/// Pages of a history that are searched.
const PAGES_MAX: usize = 20;

/// An app of ours in a Slack workspace. Secrets never appear in `Debug`.
#[derive(Clone)]
pub struct Config {
    /// The Web API's address, without a method.
    pub api_url: String,
    /// `xoxb-…`.
    pub bot_token: String,
    /// What Slack signs its requests with.
    pub signing_secret: String,
}

impl Config {
    /// For the real Slack.
    pub fn new(bot_token: impl Into<String>, signing_secret: impl Into<String>) -> Self {
        let api_url = "https://slack.com/api".to_owned();
        Self { api_url, bot_token: bot_token.into(), signing_secret: signing_secret.into() }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

/// A client of Slack. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Slack {
    shared: Arc<Shared>,
}

struct Shared {
    base: Url,
    http: reqwest::Client,
    authorization: HeaderValue,
    signing_secret: String,
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack").field("api_url", &self.shared.base.as_str()).finish_non_exhaustive()
    }
}

impl Slack {
    /// A client for the Slack at `config.api_url`. Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Refused`] if the URL is not usable, [`Error::Unauthorized`] if the token does not fit in a header.
    pub fn new(config: Config) -> Result<Self, Error> {
        let base = http::base(&config.api_url, "Slack's")?;
        let http = http::client(TIMEOUTS, &base)?;
        let authorization = http::secret_header(&format!("Bearer {}", config.bot_token));
        let authorization = authorization.ok_or(Error::Unauthorized)?;
        let signing_secret = config.signing_secret;
        Ok(Self { shared: Arc::new(Shared { base, http, authorization, signing_secret }) })
    }

    /// Checks `X-Slack-Request-Timestamp` and `X-Slack-Signature` against the body. `now_s` is in seconds since the epoch.
    ///
    /// # Errors
    /// Says what is wrong with the signature.
    pub fn verify(
        &self,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now_s: i64,
    ) -> Result<(), BadSignature> {
        verify(&self.shared.signing_secret, timestamp, signature, body, now_s)
    }

    /// Posts a message and returns its `ts`, which names it in its channel.
    ///
    /// # Errors
    /// After [`Error::Unavailable`] the message may exist: look for it before you retry.
    pub async fn post(&self, message: &Message) -> Result<String, Error> {
        let answer = self.write("chat.postMessage", &message.json()).await?;
        let ts = answer.get("ts").and_then(Value::as_str);
        ts.map(str::to_owned).ok_or_else(|| Error::unavailable("Slack's answer has no ts"))
    }

    /// The `ts` of our message with this ID in a channel, if it was posted at `since_ms` (milliseconds since the epoch) or
    /// later. Slack's clock decides: allow for the difference. Answers in threads are not found; see [`Slack::find_reply`].
    pub async fn find(&self, channel: &str, id: &str, since_ms: i64) -> Result<Option<String>, Error> {
        self.search("conversations.history", &[("channel", channel)], id, since_ms).await
    }

    /// Like [`Slack::find`], among the answers to the message `thread_ts`.
    pub async fn find_reply(
        &self,
        channel: &str,
        thread_ts: &str,
        id: &str,
        since_ms: i64,
    ) -> Result<Option<String>, Error> {
        let place = [("channel", channel), ("ts", thread_ts)];
        self.search("conversations.replies", &place, id, since_ms).await
    }

    /// Opens a form for whoever clicked. The trigger works once, for three seconds.
    pub async fn open_view(&self, trigger_id: &str, view: &Value) -> Result<(), Error> {
        self.write("views.open", &json!({"trigger_id": trigger_id, "view": view})).await.map(drop)
    }

    async fn search(
        &self,
        method: &'static str,
        place: &[(&str, &str)],
        id: &str,
        since_ms: i64,
    ) -> Result<Option<String>, Error> {
        let oldest = timestamp(since_ms);
        let mut query = place.to_vec();
        query.extend([
            ("include_all_metadata", "true"),
            ("inclusive", "true"),
            ("limit", PAGE_MESSAGES),
            ("oldest", &oldest),
        ]);
        let mut cursor = None::<String>;
        for _ in 0..PAGES_MAX {
            let cursor_field = cursor.as_deref().map(|cursor| [("cursor", cursor)]);
            let request = self.request(Method::GET, method)?.query(&query);
            let request = request.query(cursor_field.as_ref().map_or(&[][..], |field| &field[..]));
            let answer = self.call(method, request).await?;
            let messages = answer.get("messages").and_then(Value::as_array);
            let messages = messages.ok_or_else(|| Error::unavailable("Slack's answer has no messages"))?;
            if let Some(found) = messages.iter().find(|message| has_id(message, id)) {
                return Ok(found.get("ts").and_then(Value::as_str).map(str::to_owned));
            }
            let next = answer.pointer("/response_metadata/next_cursor").and_then(Value::as_str);
            cursor = next.filter(|next| !next.is_empty()).map(str::to_owned);
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(Error::unavailable("the channel has too many messages to search"))
    }

    fn request(&self, verb: Method, method: &str) -> Result<RequestBuilder, Error> {
        let url = http::join(&self.shared.base, &[method])?;
        let request = self.shared.http.request(verb, url);
        Ok(request.header(AUTHORIZATION, self.shared.authorization.clone()))
    }

    async fn write(&self, method: &'static str, arguments: &Value) -> Result<Value, Error> {
        // Slack warns of JSON without a charset.
        let request = self.request(Method::POST, method)?;
        let request = request.header(CONTENT_TYPE, "application/json; charset=utf-8");
        self.call(method, request.body(arguments.to_string())).await
    }

    async fn call(&self, method: &'static str, request: RequestBuilder) -> Result<Value, Error> {
        let result = self.ask(request).await;
        let label = result.as_ref().map_or_else(Error::label, |_| "ok");
        metrics::counter!("weighbridge_slack_calls_total", "method" => method, "result" => label)
            .increment(1);
        result
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, Error> {
        let request = request.build().map_err(crate::Error::from)?;
        result(&http::exchange(&self.shared.http, request).await?)
    }
}

/// Slack answers 200 to most refusals and names the error in the body.
fn result(answer: &Answer) -> Result<Value, Error> {
    let wait = answer.retry_after;
    let name = |body: &Value| body.get("error").and_then(Value::as_str).unwrap_or_default().to_owned();
    match answer.status.as_u16() {
        200..=299 => {
            let body: Value = answer.parse()?;
            match body.get("ok").and_then(Value::as_bool) {
                Some(true) => Ok(body),
                Some(false) => Err(Error::named(&name(&body), wait)),
                None => Err(Error::unavailable("Slack's answer does not say whether it is ok")),
            }
        }
        401 | 403 => Err(Error::Unauthorized),
        429 => Err(Error::limited(wait)),
        // A redirect and a 404 say that there is no Slack at this address.
        300..=399 | 404 | 408 | 500..=599 => Err(Error::Unavailable {
            retry_after: wait,
            source: format!("Slack answered {}", answer.status).into(),
        }),
        status => Err(Error::refused(format!("status {status}"))),
    }
}

/// Seconds and microseconds, as Slack writes them.
fn timestamp(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{}.{:03}000", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::new("xoxb-secret", "signing-secret");
        let slack = Slack::new(config.clone()).unwrap();
        let shown = format!("{config:?} {slack:?}");
        assert!(shown.contains("https://slack.com/api") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn unusable_settings_are_refused() {
        for (api_url, token, label) in [
            ("slack.com/api", "xoxb-1", "refused"),
            ("ftp://slack.com", "xoxb-1", "refused"),
            ("https://slack.com/api", "xoxb\n", "unauthorized"),
        ] {
            let config = Config { api_url: api_url.to_owned(), ..Config::new(token, "s") };
            assert_eq!(Slack::new(config).unwrap_err().label(), label, "{api_url}");
        }
    }

    #[test]
    fn times_have_microseconds() {
        for (ms, text) in [(0, "0.000000"), (1_503_435_956_007, "1503435956.007000"), (-5, "0.000000")] {
            assert_eq!(timestamp(ms), text);
        }
    }
}
