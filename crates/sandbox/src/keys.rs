//! The S3 server's one key pair, made once per data folder.
//! Invariant: the file that holds it is readable by its owner alone, and is never there in part.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Keys {
    pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("understand {}", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let keys = Self::generate();
                keys.save(path).with_context(|| format!("write {}", path.display()))?;
                Ok(keys)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn generate() -> Self {
        let id: u64 = rand::random();
        Self {
            access_key_id: format!("SANDBOX{id:016X}"),
            secret_access_key: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 30]>()),
        }
    }

    fn save(&self, path: &Path) -> anyhow::Result<()> {
        // A temporary file is created with mode 600.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().context("no folder")?)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}
