//! The S3 server's one key pair and the secrets of the one Slack app, made once per data folder.
//! Invariant: the files that hold them are readable by their owner alone, and are never there in part.

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

#[derive(Serialize, Deserialize)]
pub(crate) struct SlackKeys {
    pub(crate) bot_token: String,
    pub(crate) signing_secret: String,
}

impl SlackKeys {
    pub(crate) fn load_or_create(data: &Path) -> anyhow::Result<Self> {
        read_or_make(data, "slack-keys.json", || Self {
            bot_token: format!("xoxb-sandbox-{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>())),
            signing_secret: hex::encode(rand::random::<[u8; 16]>()),
        })
    }
}
