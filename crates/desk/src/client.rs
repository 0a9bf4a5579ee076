//! The desk's client: addresses, authorization, and one retry after a 401.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::{Auth, Authorization};
use crate::http::{self, Answer, Timeouts};
use crate::{Config, Error};

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
    /// How far our clock was ahead of the desk's at its last answer, ms.
    clock_ahead_ms: AtomicI64,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("url", &self.shared.base.as_str()).finish_non_exhaustive()
    }
}

impl Desk {
    /// A client for the desk at `config.url`. Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Refused`] if the URL is not usable, [`Error::Unauthorized`] if the credentials do not fit in a header.
    pub fn new(config: Config) -> Result<Self, Error> {
        let base = http::base(&config.url, "the desk's")?;
        let timeouts = Timeouts { request: config.request_timeout, connect: config.connect_timeout };
        let http = http::client(timeouts, &base)?;
        let auth = Auth::new(config.credentials, &base)?;
        let request_timeout = config.request_timeout;
        Ok(Self {
            shared: Arc::new(Shared {
                base,
                http,
                auth,
                request_timeout,
                me: OnceCell::new(),
                clock_ahead_ms: AtomicI64::new(0),
            }),
        })
    }

    /// How far our clock was ahead of the desk's at its last answer, ms; 0 before that, or if the desk does not say.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.shared.clock_ahead_ms.load(Ordering::Relaxed)
    }

    /// Where an agent sees a ticket.
    pub fn agent_url(&self, ticket: &str) -> String {
        let url = http::join(&self.shared.base, &["agent", "tickets", ticket]);
        url.map(String::from).unwrap_or_default()
    }

    /// Where a requester opens a ticket with this form.
    pub fn form_url(&self, ticket_form_id: u64) -> String {
        let url = http::join(&self.shared.base, &["hc", "requests", "new"]);
        let query = |mut url: Url| {
            url.set_query(Some(&format!("ticket_form_id={ticket_form_id}")));
            String::from(url)
        };
        url.map(query).unwrap_or_default()
    }

    /// A request for `/api/v2/…`; each segment is escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, Error> {
        let segments = [&["api", "v2"], segments].concat();
        Ok(self.shared.http.request(method, http::join(&self.shared.base, &segments)?))
    }

    /// Sends a request and parses the answer. After a 401, tries once more with a new token.
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
        let answer = http::send(request.header(AUTHORIZATION, authorization.header.clone())).await?;
        if let Some(date_ms) = answer.date_ms {
            let ahead = jiff::Timestamp::now().as_millisecond() - date_ms;
            self.shared.clock_ahead_ms.store(ahead, Ordering::Relaxed);
        }
        Ok(answer)
    }
}
