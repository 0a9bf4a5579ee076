//! The hashes that run over an append's bytes, and the digests announced for them.
//! Invariant: the file's hashes have seen exactly its first [`FileHashes::offset`] bytes.

use crate::checksum::hasher::Hasher;
use crate::{Digest, Error, Result};

pub(crate) struct FileHashes {
    hasher: Hasher,
    offset: u64,
    announced: Vec<Digest>,
}

impl FileHashes {
    pub(crate) fn new(hasher: Hasher, offset: u64, announced: Vec<Digest>) -> Self {
        Self { hasher, offset, announced }
    }

    /// Bytes of the file that have been received.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Digests that the sender announced.
    pub(crate) fn announced(&self) -> &[Digest] {
        &self.announced
    }

    pub(crate) fn announce(&mut self, digests: Vec<Digest>) {
        self.announced.extend(digests);
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
    }

    /// The state for the ledger.
    pub(crate) fn save(&self) -> String {
        self.hasher.save()
    }

    /// Every digest of the bytes so far, SHA-256 first.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.hasher.clone().finish()
    }
}

/// Digests announced for one body, and the hashes to compare them with. Empty where none was announced.
pub(crate) struct BodyHashes {
    hasher: Option<Hasher>,
    announced: Vec<Digest>,
}

impl BodyHashes {
    pub(crate) fn new(announced: Vec<Digest>) -> Self {
        let hasher =
            (!announced.is_empty()).then(|| Hasher::new(announced.iter().map(|digest| digest.algorithm)));
        Self { hasher, announced }
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
                return Err(Error::ContentMismatch {
                    algorithm: actual.algorithm,
                    announced: announced.hex.clone(),
                    actual: actual.hex,
                });
            }
        }
        Ok(())
    }
}
