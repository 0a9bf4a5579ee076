//! The desk's address and credentials. Secrets never appear in `Debug`.

use std::fmt;
use std::time::Duration;

/// The largest file that Zendesk attaches, on any plan, in bytes.
pub const ATTACHMENT_BYTES_MAX: u64 = 50_000_000;

#[derive(Clone, Debug)]
pub struct Config {
    /// `https://{subdomain}.zendesk.com`. A path is kept; query and fragment are dropped.
    pub url: String,
    pub credentials: Credentials,
    /// Limit for an ordinary call; an upload gets more, depending on its size.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
}

impl Config {
    /// Allows 30 s for a call and 10 s for a connection.
    pub fn new(url: impl Into<String>, credentials: Credentials) -> Self {
        let (request_timeout, connect_timeout) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { url: url.into(), credentials, request_timeout, connect_timeout }
    }
}

#[derive(Clone)]
pub enum Credentials {
    /// The client credentials grant of a confidential OAuth client.
    Oauth { client_id: String, client_secret: String },
    /// An API token. Zendesk shuts these off on 2027-04-30.
    ApiToken {
        /// The e-mail address of the token's user.
        email: String,
        api_token: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oauth { client_id, .. } => {
                f.debug_struct("Oauth").field("client_id", client_id).finish_non_exhaustive()
            }
            Self::ApiToken { email, .. } => {
                f.debug_struct("ApiToken").field("email", email).finish_non_exhaustive()
            }
        }
    }
}
