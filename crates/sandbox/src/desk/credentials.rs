//! The secrets of a desk's one API user and one OAuth client, made at its first start.
//! Invariant: no secret appears in `Debug`.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::json_file::read_or_make;

#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub email: String,
    /// For `Authorization: Basic base64("{email}/token:{api_token}")`.
    pub api_token: String,
    pub client_id: String,
    /// The OAuth client's secret, for the client credentials grant.
    pub client_secret: String,
}

impl Credentials {
    /// Reads them, or makes them once.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        read_or_make(dir, "credentials.json", || Self {
            email: "gateway@desk.example".to_owned(),
            api_token: random_hex(),
            client_id: "weighbridge".to_owned(),
            client_secret: random_hex(),
        })
    }

    /// The value of the `Authorization` header in API token mode.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}/token:{}", self.email, self.api_token)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("email", &self.email)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// 128 random bits.
pub(super) fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Compares in constant time.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
