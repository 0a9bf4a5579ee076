//! Tokens: 32 random bytes, shown once, stored as their SHA-256.
//! A hash of 256 random bits needs no salt and no slow function: there is nothing to guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A secret token, before it is hashed. Its `Debug` shows nothing.
pub struct Token(String);

impl Token {
    /// 256 random bits from the operating system, as 43 characters for a URL. The first is a letter or digit: with a leading
    /// `-`, a command line would take it for an option. That costs a twentieth of a bit.
    ///
    /// # Panics
    /// When the operating system has no randomness: nothing safe can be done then.
    pub fn random() -> Self {
        loop {
            let mut bytes = [0_u8; 32];
            #[expect(clippy::expect_used, reason = "without randomness no token may be made")]
            rand::rngs::SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
            let text = URL_SAFE_NO_PAD.encode(bytes);
            if !text.starts_with(['-', '_']) {
                return Self(text);
            }
        }
    }

    /// A token that was made before.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A token that follows from another and a purpose: the same each time, and as hard to guess as the other.
    pub fn derived(from: &str, purpose: &str) -> Self {
        let digest =
            Sha256::digest(format!("weighbridge derived token\n{}\n{purpose}\n{from}", purpose.len()));
        // A first letter, for the same reason as above.
        Self(format!("t{}", URL_SAFE_NO_PAD.encode(digest)))
    }

    /// The text for its owner, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> String {
        hash_token(&self.0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a presented token, lower-case hex. Tokens are stored and looked up in this form.
pub fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Compares two stored hashes in constant time, in addition to the database's lookup.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_token_depends_on_everything() {
        let token = Token::derived("a", "b");
        assert_eq!(token.reveal().len(), 44);
        assert_eq!(token.reveal(), Token::derived("a", "b").reveal());
        for other in [Token::derived("b", "a"), Token::derived("a", "c"), Token::derived("c", "b")] {
            assert_ne!(token.reveal(), other.reveal());
        }
    }

    #[test]
    fn no_token_looks_like_an_option() {
        // By chance, one in 32 would.
        for _ in 0..1_000 {
            let token = Token::random();
            let text = token.reveal().as_bytes();
            assert_eq!(text.len(), 43);
            assert!(text[0].is_ascii_alphanumeric());
        }
    }
}
