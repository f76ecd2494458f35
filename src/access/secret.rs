//! The text of a key: how it is made, found and compared.
//!
//! A key is `tlk_` and 43 base64url characters of 256 random bits. The first eight of them are
//! public: they find the stored row. The rest is only ever compared as SHA-256, in constant time.
//! A text of the operator's own (the first key, from the environment) has no public part; the
//! first bytes of a second hash find it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::Secret;

/// What every key of ours begins with.
pub const PREFIX: &str = "tlk_";

/// How many characters after the prefix are public.
const PUBLIC: usize = 8;

/// How many characters follow the prefix.
const LENGTH: usize = 43;

/// No key is longer, whoever made it.
pub(super) const LONGEST: usize = 256;

/// A new key.
pub fn generate() -> Result<Secret, getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut bytes[..])?;
    Ok(Secret::new(format!(
        "{PREFIX}{}",
        URL_SAFE_NO_PAD.encode(&bytes[..])
    )))
}

/// The public part by which a key is found; none if the text can be no key.
pub fn lookup(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let ours = text.strip_prefix(PREFIX).filter(|rest| {
        rest.len() == LENGTH
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    Some(match ours {
        Some(rest) => rest[..PUBLIC].to_owned(),
        None => {
            let digest = Sha256::new()
                .chain_update("lookup\0")
                .chain_update(text)
                .finalize();
            format!("#{}", URL_SAFE_NO_PAD.encode(&digest[..9]))
        }
    })
}

/// What is stored of a key: its SHA-256. There is no `==` for it, so that nobody compares it in a time that tells how
/// much of it is right.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hashed([u8; 32]);

impl Hashed {
    /// Hashes a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether the text is the one that was hashed, without telling by time how much of it is.
    pub fn matches(&self, text: &str) -> bool {
        Self::of(text).0.ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_public_part_and_matches_only_itself() {
        let key = generate().expect("randomness");
        let text = key.expose();
        assert_eq!(text.len(), 47);
        assert_eq!(lookup(text).as_deref(), Some(&text[4..12]));
        assert!(Hashed::of(text).matches(text));
        assert!(!Hashed::of(text).matches(&text[..46]));
    }

    /// Two ways lead to `compared` for what has an `==`, and then this does not compile.
    #[test]
    fn a_hash_has_no_comparison_that_stops_early() {
        trait Comparable<Way> {
            fn compared() -> bool {
                false
            }
        }
        struct WithEquality;
        impl<T> Comparable<()> for T {}
        impl<T: PartialEq> Comparable<WithEquality> for T {}
        assert!(!<Hashed as Comparable<_>>::compared());
        assert!(!<super::super::key::KeySecret as Comparable<_>>::compared());
    }

    #[test]
    fn a_text_of_the_operators_own_has_no_public_part() {
        let found = lookup("a-secret-of-the-operator").expect("may be a key");
        assert!(found.starts_with('#') && !found.contains("secret"));
        assert_eq!(lookup(""), None);
        assert_eq!(lookup(&"x".repeat(300)), None);
        assert!(lookup("tlk_short").expect("may be a key").starts_with('#'));
    }
}
