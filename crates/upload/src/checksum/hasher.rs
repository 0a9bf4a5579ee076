//! Hashes a file as it arrives: SHA-256, and whatever else was announced before the first byte. The running state goes into
//! the ledger with each part.

use md5::Md5;
use sha1::Sha1;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{Algorithm, Digest};

/// A running hash of each algorithm. The saved text names the layout of the state: it may change with the library, and an
/// unknown layout must not be resumed.
#[derive(Clone)]
enum RunningHash {
    Sha256(Sha256),
    Sha512(Sha512),
    Sha1(Sha1),
    Md5(Md5),
}

/// Calls a method of the hash, whichever it is.
macro_rules! each {
    ($running:expr, $hash:ident => $call:expr) => {
        match $running {
            RunningHash::Sha256($hash) => $call,
            RunningHash::Sha512($hash) => $call,
            RunningHash::Sha1($hash) => $call,
            RunningHash::Md5($hash) => $call,
        }
    };
}

impl RunningHash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Md5 => Self::Md5(Md5::new()),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
            Self::Sha1(_) => Algorithm::Sha1,
            Self::Md5(_) => Algorithm::Md5,
        }
    }

    fn layout(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha2-0.11:",
            Self::Sha512(_) => "sha512-0.11:",
            Self::Sha1(_) => "sha1-0.11:",
            Self::Md5(_) => "md5-0.11:",
        }
    }

    fn save(&self) -> String {
        format!("{}{}", self.layout(), each!(self, hash => hex::encode(hash.serialize())))
    }

    fn restore(saved: &str) -> Option<Self> {
        let mut empty = Algorithm::ALL.into_iter().map(Self::new);
        let kind = empty.find(|running| saved.starts_with(running.layout()))?;
        let state = hex::decode(saved.strip_prefix(kind.layout())?).ok()?;
        Some(match kind {
            Self::Sha256(_) => Self::Sha256(deserialize(&state)?),
            Self::Sha512(_) => Self::Sha512(deserialize(&state)?),
            Self::Sha1(_) => Self::Sha1(deserialize(&state)?),
            Self::Md5(_) => Self::Md5(deserialize(&state)?),
        })
    }
}

fn deserialize<H: SerializableState>(state: &[u8]) -> Option<H> {
    H::deserialize(&SerializedState::<H>::try_from(state).ok()?).ok()
}

/// The running hashes of one file. SHA-256 is always the first.
#[derive(Clone)]
pub(crate) struct Hasher(Vec<RunningHash>);

impl Hasher {
    /// Runs SHA-256, and these.
    pub(crate) fn new(others: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut all = vec![RunningHash::new(Algorithm::Sha256)];
        for algorithm in others {
            if all.iter().all(|running| running.algorithm() != algorithm) {
                all.push(RunningHash::new(algorithm));
            }
        }
        Self(all)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for running in &mut self.0 {
            each!(running, hash => hash.update(bytes));
        }
    }

    /// Every digest, SHA-256 first.
    pub(crate) fn finish(self) -> Vec<Digest> {
        let digest = |running: RunningHash| Digest {
            algorithm: running.algorithm(),
            hex: each!(running, hash => hex::encode(hash.finalize())),
        };
        self.0.into_iter().map(digest).collect()
    }

    /// The states for the ledger: hex after the names of their layouts. They contain up to 127 bytes of the file.
    pub(crate) fn save(&self) -> String {
        self.0.iter().map(RunningHash::save).collect::<Vec<_>>().join(" ")
    }

    /// The hasher as it was saved. None if the text is damaged or of another layout.
    pub(crate) fn restore(saved: &str) -> Option<Self> {
        let all: Vec<_> = saved.split(' ').map(RunningHash::restore).collect::<Option<_>>()?;
        matches!(all.first(), Some(RunningHash::Sha256(_))).then_some(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_state_gives_the_same_digest() {
        let bytes: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        let hasher = || Hasher::new([Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha512, Algorithm::Md5]);
        let mut whole = hasher();
        whole.update(&bytes);
        let whole = whole.finish();
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0].hex, hex::encode(Sha256::digest(&bytes)));
        assert_eq!(whole[1].hex, hex::encode(Md5::digest(&bytes)));
        for cut in [0, 1, 63, 64, 65, 127, 128, 3999, 4000] {
            let mut first = hasher();
            first.update(&bytes[..cut]);
            let mut second = Hasher::restore(&first.save()).unwrap();
            second.update(&bytes[cut..]);
            assert_eq!(second.finish(), whole, "cut at {cut}");
        }
        let md5 = hasher().save().split(' ').nth(1).unwrap().to_owned();
        for damaged in ["", "sha2-0.11:", "sha2-0.11:zz", "sha2-0.12:00", "sha2-0.11:0", &md5] {
            assert!(Hasher::restore(damaged).is_none(), "{damaged:?}");
        }
    }
}
