//! The one SHA-256 of a file, as a running state that goes into the ledger with each part.

use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

/// Names the state's layout: it may change with the library, and an unknown one must not be resumed.
const LAYOUT: &str = "sha2-0.11:";

/// A running SHA-256.
#[derive(Clone)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest, lower-case hex.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }

    /// The state for the ledger: 104 bytes, as hex behind the layout's name. Holds up to 63 bytes of the file.
    pub(crate) fn save(&self) -> String {
        format!("{LAYOUT}{}", hex(&self.0.serialize()))
    }

    /// The hasher as it was saved; none when the text is damaged or of another layout.
    pub(crate) fn restore(saved: &str) -> Option<Self> {
        let digits = saved.strip_prefix(LAYOUT)?;
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<_>>()?;
        let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).ok()?;
        Sha256::deserialize(&state).ok().map(Self)
    }
}

/// SHA-256 of a short text, lower-case hex.
pub(crate) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_state_goes_on_as_if_nothing_had_happened() {
        let bytes: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        let whole = hex(&Sha256::digest(&bytes));
        for cut in [0, 1, 63, 64, 65, 127, 128, 3999, 4000] {
            let mut first = Hasher::new();
            first.update(&bytes[..cut]);
            let mut second = Hasher::restore(&first.save()).unwrap();
            second.update(&bytes[cut..]);
            assert_eq!(second.finish(), whole, "cut at {cut}");
        }
        for damaged in ["", "sha2-0.11:", "sha2-0.11:zz", "sha2-0.12:00"] {
            assert!(Hasher::restore(damaged).is_none(), "{damaged:?}");
        }
    }
}
