//! The S3 server's one key pair, made once per data folder.
//! Invariant: the file that holds it is readable by its owner alone, and is never there in part.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::json_file::read_or_make;

#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Keys {
    pub(crate) fn load_or_create(data: &Path) -> anyhow::Result<Self> {
        read_or_make(data, "s3-keys.json", || Self {
            access_key_id: format!("SANDBOX{:016X}", rand::random::<u64>()),
            secret_access_key: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 30]>()),
        })
    }
}
