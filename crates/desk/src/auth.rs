//! The `Authorization` header: fixed for an API token, renewed in time for OAuth.
//!
//! Invariant: at most one renewal runs at a time; callers that waited for it share its result, good or bad.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::{Credentials, Error, http};

/// Tickets and uploads are written; users and organizations are only read.
const SCOPE: &str = "read write";
/// Zendesk's default for new clients, used if the answer has no `expires_in`.
const DEFAULT_LIFE: Duration = Duration::from_secs(30 * 60);
/// Zendesk's maximum; a longer `expires_in` is cut to this.
const LIFE_MAX: Duration = Duration::from_secs(2 * 24 * 3600);
/// After a failed renewal, how long a token that is still valid is used before the next attempt.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

pub(crate) enum Auth {
    Fixed(HeaderValue),
    Oauth(Box<Oauth>),
}

pub(crate) struct Oauth {
    url: Url,
    client_id: String,
    client_secret: String,
    state: Mutex<State>,
    /// Lets a caller see whether a renewal failed while it waited.
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Number of tokens fetched; tells an old token from its successor.
    generation: u64,
    /// Whether the last failed renewal was a refusal rather than an outage.
    refused: bool,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    /// At 80% of its lifetime.
    renew_at: Instant,
    expires_at: Instant,
}

/// A header, and the generation of the token in it.
pub(crate) struct Authorization {
    pub header: HeaderValue,
    generation: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials, base: &Url) -> Result<Self, Error> {
        match credentials {
            Credentials::ApiToken { email, api_token } => {
                let value = STANDARD.encode(format!("{email}/token:{api_token}"));
                Ok(Self::Fixed(secret(&format!("Basic {value}"))?))
            }
            Credentials::Oauth { client_id, client_secret } => {
                let url = http::join(base, &["oauth", "tokens"])?;
                let (state, failures) = (Mutex::default(), AtomicU64::new(0));
                Ok(Self::Oauth(Box::new(Oauth { url, client_id, client_secret, state, failures })))
            }
        }
    }

    pub(crate) async fn header(&self, client: &reqwest::Client) -> Result<Authorization, Error> {
        match self {
            Self::Fixed(header) => Ok(Authorization { header: header.clone(), generation: 0 }),
            Self::Oauth(oauth) => oauth.obtain(client, None).await,
        }
    }

    /// A header with a newer token than the refused one; `None` for a fixed header.
    pub(crate) async fn renew(
        &self,
        client: &reqwest::Client,
        refused: &Authorization,
    ) -> Result<Option<Authorization>, Error> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Oauth(oauth) => oauth.obtain(client, Some(refused.generation)).await.map(Some),
        }
    }
}

impl Oauth {
    /// The current token if it is not due for renewal and not the refused one, else a new one.
    async fn obtain(&self, client: &reqwest::Client, refused: Option<u64>) -> Result<Authorization, Error> {
        let failures = self.failures.load(Ordering::Relaxed);
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let usable =
            state.token.clone().filter(|token| refused != Some(state.generation) && now < token.expires_at);
        if let Some(token) = usable.clone().filter(|token| now < token.renew_at) {
            return Ok(Authorization { header: token.header, generation: state.generation });
        }
        let fetched = if self.failures.load(Ordering::Relaxed) == failures {
            self.fetch(client).await.inspect_err(|error| {
                self.failures.fetch_add(1, Ordering::Relaxed);
                state.refused = matches!(error, Error::Unauthorized);
            })
        } else if state.refused {
            Err(Error::Unauthorized)
        } else {
            Err(Error::unavailable("renewing the access token failed"))
        };
        let token = match (fetched, usable) {
            (Ok(token), _) => {
                state.generation += 1;
                token
            }
            // The old token is still valid, so an outage of the token endpoint does no harm yet.
            (Err(_), Some(token)) => Token { renew_at: Instant::now() + RENEWAL_PAUSE, ..token },
            (Err(error), None) => return Err(error),
        };
        state.token = Some(token.clone());
        Ok(Authorization { header: token.header, generation: state.generation })
    }

    async fn fetch(&self, client: &reqwest::Client) -> Result<Token, Error> {
        let grant = json!({"grant_type": "client_credentials", "client_id": self.client_id,
            "client_secret": self.client_secret, "scope": SCOPE});
        // The lifetime is counted from before the call, to err on the short side.
        let asked_at = Instant::now();
        let answer = http::send(client.post(self.url.clone()).json(&grant)).await?;
        let answer: TokenAnswer = match answer.error() {
            None => answer.parse()?,
            Some(error) if error.is_transient() => return Err(error),
            Some(_) => return Err(Error::Unauthorized),
        };
        tracing::debug!(expires_in_s = answer.expires_in, "desk access token renewed");
        Token::new(&answer, asked_at)
    }
}

impl Token {
    fn new(answer: &TokenAnswer, asked_at: Instant) -> Result<Self, Error> {
        let life = answer.expires_in.filter(|seconds| *seconds > 0).map_or(DEFAULT_LIFE, Duration::from_secs);
        let life = life.min(LIFE_MAX);
        Ok(Self {
            header: secret(&format!("Bearer {}", answer.access_token))?,
            renew_at: asked_at + life.mul_f64(0.8),
            expires_at: asked_at + life,
        })
    }
}

fn secret(value: &str) -> Result<HeaderValue, Error> {
    http::secret_header(value).ok_or(Error::Unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_80_percent_of_its_lifetime() {
        let asked_at = Instant::now();
        for (expires_in, renew_s, expires_s) in [
            (Some(1800), 1440, 1800),
            (None, 1440, 1800),
            (Some(0), 1440, 1800),
            (Some(u64::MAX), 138_240, 172_800),
        ] {
            let token =
                Token::new(&TokenAnswer { access_token: "t".to_owned(), expires_in }, asked_at).unwrap();
            assert_eq!(token.renew_at - asked_at, Duration::from_secs(renew_s), "{expires_in:?}");
            assert_eq!(token.expires_at - asked_at, Duration::from_secs(expires_s), "{expires_in:?}");
            assert!(token.header.is_sensitive());
        }
    }
}
