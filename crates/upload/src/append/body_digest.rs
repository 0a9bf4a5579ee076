//! Digests announced for one body alone, as opposed to the whole file.

use crate::checksum::hasher::Hasher;
use crate::{Digest, Error, Result};

/// The announced digests, and the hashes to compare them with if there are any.
pub(crate) struct BodyDigest {
    hasher: Option<Hasher>,
    announced: Vec<Digest>,
}

impl BodyDigest {
    pub(crate) fn new(announced: Vec<Digest>) -> Self {
        let algorithms = announced.iter().map(|digest| digest.algorithm);
        Self { hasher: (!announced.is_empty()).then(|| Hasher::new(algorithms)), announced }
    }

    /// Whether the body is kept as a whole or not at all.
    pub(crate) fn is_all_or_nothing(&self) -> bool {
        self.hasher.is_some()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// Compares the whole body with what was announced.
    pub(crate) fn compare(&self) -> Result<()> {
        for actual in self.hasher.clone().map_or_else(Vec::new, Hasher::finish) {
            let announced = self.announced.iter().find(|digest| digest.algorithm == actual.algorithm);
            if let Some(announced) = announced.filter(|announced| **announced != actual) {
                let (algorithm, announced) = (actual.algorithm, announced.hex.clone());
                return Err(Error::ContentMismatch { algorithm, announced, actual: actual.hex });
            }
        }
        Ok(())
    }
}
