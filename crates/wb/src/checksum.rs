//! Checksums of a file, and what they are compared with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bucket::{Crc64, Crc64Hasher};
use sha2::{Digest, Sha256};

/// For reading local files.
const BUFFER_BYTES: usize = 1 << 20;

/// Size and checksums of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct FileDigests {
    pub(crate) size_bytes: u64,
    /// Lower-case hex.
    pub(crate) sha256: String,
    pub(crate) crc64: Crc64,
}

/// Computes both checksums: the CRC costs next to nothing beside SHA-256.
#[derive(Default)]
pub(crate) struct Hasher {
    size_bytes: u64,
    sha256: Sha256,
    crc64: Crc64Hasher,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.sha256.update(bytes);
        self.crc64.update(bytes);
    }

    pub(crate) fn sums(self) -> FileDigests {
        FileDigests {
            size_bytes: self.size_bytes,
            sha256: hex::encode(self.sha256.finalize()),
            crc64: self.crc64.value(),
        }
    }

    /// Reads to the end. `passed` is called with the length of each chunk.
    pub(crate) fn read(&mut self, mut from: impl Read, passed: impl Fn(u64)) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                length => {
                    self.update(&buffer[..length]);
                    passed(length as u64);
                }
            }
        }
    }
}

/// Size and checksums of a local file.
pub(crate) fn sums_of(path: &Path) -> io::Result<FileDigests> {
    let mut hasher = Hasher::default();
    hasher.read(File::open(path)?, |_| ())?;
    Ok(hasher.sums())
}

/// Whether the text is a SHA-256 in hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the bytes are verified against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The SHA-256 in the receipt.
    Receipt(String),
    /// The SHA-256 in the object's metadata.
    Metadata(String),
    /// The store's own checksum of the whole object.
    Crc64(Crc64),
    /// There is nothing to compare with.
    Nothing,
}

impl Proof {
    /// `verified_by` in `--json`.
    pub(crate) fn verified_by(&self) -> Option<&'static str> {
        match self {
            Self::Receipt(_) => Some("receipt"),
            Self::Metadata(_) => Some("metadata"),
            Self::Crc64(_) => Some("crc64nvme"),
            Self::Nothing => None,
        }
    }

    /// What is wrong with bytes that have these sums; `None` if they match.
    pub(crate) fn mismatch(&self, sums: &FileDigests) -> Option<String> {
        let (who, expected) = match self {
            Self::Receipt(sha256) => ("the receipt", sha256),
            Self::Metadata(sha256) => ("the object's metadata", sha256),
            Self::Crc64(crc64) => {
                return (sums.crc64 != *crc64).then(|| {
                    let (expected, actual) = (crc64.to_hex(), sums.crc64.to_hex());
                    format!(
                        "integrity mismatch: the bucket says CRC-64/NVME {expected}, the bytes have {actual}"
                    )
                });
            }
            Self::Nothing => return None,
        };
        let actual = &sums.sha256;
        (!actual.eq_ignore_ascii_case(expected))
            .then(|| format!("integrity mismatch: {who} says SHA-256 {expected}, the bytes have {actual}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_bytes_match() {
        let sums = |bytes: &[u8]| {
            let mut hasher = Hasher::default();
            hasher.update(bytes);
            hasher.sums()
        };
        let (right, wrong) = (sums(b"right"), sums(b"wrong"));
        for proof in [
            Proof::Receipt(right.sha256.clone()),
            Proof::Metadata(right.sha256.to_uppercase()),
            Proof::Crc64(right.crc64),
        ] {
            assert_eq!(proof.mismatch(&right), None, "{proof:?}");
            let text = proof.mismatch(&wrong).unwrap();
            assert!(text.starts_with("integrity mismatch") && proof.verified_by().is_some(), "{text}");
        }
        assert_eq!((Proof::Nothing.mismatch(&wrong), Proof::Nothing.verified_by()), (None, None));
    }
}
