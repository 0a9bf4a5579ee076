//! Digests that a sender announces. Pure.
//! Invariant: a digest that is compared was computed over every byte of the file; one that cannot be computed is not
//! reported as compared.

/// A hash algorithm that a file can be verified with. Names as in the registry of RFC 9530, except for SHA-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Computed for every file. The others are computed if they were announced before the body.
    Sha256,
    Sha512,
    Sha1,
    Md5,
}

impl Algorithm {
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha512, Self::Sha1, Self::Md5];

    /// The name in receipts and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
            Self::Sha1 => "sha-1",
            Self::Md5 => "md5",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Bytes of a digest.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
            Self::Md5 => 16,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub algorithm: Algorithm,
    /// Lower-case hex.
    pub hex: String,
}

/// Digests as the ledger keeps them: `md5 HEX,sha-256 HEX`.
pub(crate) fn to_text(digests: &[Digest]) -> String {
    let each = digests.iter().map(|digest| format!("{} {}", digest.algorithm.name(), digest.hex));
    each.collect::<Vec<_>>().join(",")
}

/// Reads what [`to_text`] wrote.
pub(crate) fn from_text(text: &str) -> Vec<Digest> {
    let read = |item: &str| {
        let (algorithm, hex) = item.split_once(' ')?;
        Some(Digest { algorithm: Algorithm::parse(algorithm)?, hex: hex.to_owned() })
    };
    text.split(',').filter_map(read).collect()
}
