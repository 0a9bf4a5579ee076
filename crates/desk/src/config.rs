//! Where the desk is and how to be let in. Secrets never appear in `Debug`.

use std::fmt;
use std::time::Duration;

/// The largest file that Zendesk attaches, on any plan. Bytes.
pub const ATTACHMENT_BYTES_MAX: u64 = 50_000_000;

/// How to reach a desk.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its address: `https://{subdomain}.zendesk.com`. A path is kept, query and fragment are not.
    pub url: String,
    /// How to be let in.
    pub credentials: Credentials,
    /// The longest an ordinary call may take; an upload gets more, by its size.
    pub request_timeout: Duration,
    /// The longest a connection may take to come about.
    pub connect_timeout: Duration,
}

impl Config {
    /// With 30 s for a call and 10 s for a connection.
    pub fn new(url: impl Into<String>, credentials: Credentials) -> Self {
        let (request_timeout, connect_timeout) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { url: url.into(), credentials, request_timeout, connect_timeout }
    }
}

/// How to be let in.
#[derive(Clone)]
pub enum Credentials {
    /// The client credentials grant of a confidential OAuth client.
    Oauth {
        /// The client's unique identifier.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
    /// An API token; Zendesk turns them off on 2027-04-30.
    ApiToken {
        /// The address of the user it belongs to.
        email: String,
        /// The token.
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
