//! An endpoint's secrets: the signing secret, its predecessor for a while, and the tokens that
//! older receivers ask for.
//!
//! Stored only in a sealed table; shown only in the answers that make them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base::{Secret, Timestamp};

/// What a signing secret's text begins with.
const PREFIX: &str = "whsec_";

/// How long the old secret signs too after a rotation.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// How many old secrets sign at once, at most.
pub const MOST_OLD: usize = 8;

/// A key that signs.
pub type SigningKey = Zeroizing<Vec<u8>>;

/// Everything secret about an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The signing secret, `whsec_…`.
    pub signing: Secret,
    /// The one before, and until when it signs too.
    #[serde(default)]
    pub previous: Option<(Secret, Timestamp)>,
    /// Those before that one, the latest first.
    #[serde(default)]
    pub earlier: Vec<(Secret, Timestamp)>,
    /// Sent as `Authorization: Bearer …`, if set.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// Sent as `X-Telegram-Bot-Api-Secret-Token`, if set.
    #[serde(default)]
    pub secret_token: Option<Secret>,
}

impl Secrets {
    /// Fresh ones.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self {
            signing: signing_secret()?,
            previous: None,
            earlier: Vec::new(),
            bearer: None,
            secret_token: None,
        })
    }

    /// The same with a new signing secret; each old one signs on for [`OVERLAP`] after it was replaced. Of more than
    /// [`MOST_OLD`] the oldest go.
    pub fn rotated(&self, now: Timestamp) -> Result<Self, getrandom::Error> {
        let valid = |(_, until): &&(Secret, Timestamp)| now < *until;
        let earlier = self.previous.iter().chain(&self.earlier).filter(valid);
        Ok(Self {
            signing: signing_secret()?,
            previous: Some((self.signing.clone(), now.plus(OVERLAP))),
            earlier: earlier.take(MOST_OLD - 1).cloned().collect(),
            ..self.clone()
        })
    }

    /// The same with other tokens: an empty text takes one away, none leaves it as it is.
    pub fn with_tokens(mut self, bearer: Option<&Secret>, secret_token: Option<&Secret>) -> Self {
        let set = |kept: &mut Option<Secret>, new: Option<&Secret>| {
            if let Some(new) = new {
                *kept = (!new.is_empty()).then(|| new.clone());
            }
        };
        set(&mut self.bearer, bearer);
        set(&mut self.secret_token, secret_token);
        self
    }

    /// The key that signs.
    pub fn key(&self) -> SigningKey {
        key_bytes(&self.signing)
    }

    /// The keys that sign too, the latest first, and until when.
    pub fn retiring_keys(&self) -> Vec<(SigningKey, Timestamp)> {
        let old = self.previous.iter().chain(&self.earlier);
        old.map(|(secret, until)| (key_bytes(secret), *until)).collect()
    }
}

/// A new secret: `whsec_` and the base64 of 32 random bytes.
fn signing_secret() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(Secret::new(format!(
        "{PREFIX}{}",
        STANDARD.encode(bytes.as_slice())
    )))
}

/// The key behind a secret's text; a text that is no base64 signs as it stands.
fn key_bytes(secret: &Secret) -> SigningKey {
    let text = secret.expose();
    let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
    let decoded = STANDARD.decode(encoded);
    Zeroizing::new(decoded.unwrap_or_else(|_| text.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_secret_signs_for_a_day() {
        let first = Secrets::generate().expect("random");
        assert_eq!(first.retiring_keys(), []);
        let now = Timestamp(1_000_000);
        let second = first.rotated(now).expect("random");
        assert_ne!(first.key(), second.key());
        assert_eq!(second.retiring_keys(), [(first.key(), now.plus(OVERLAP))]);
        let hour = Duration::from_secs(3600);
        let third = second.rotated(now.plus(hour)).expect("random");
        let expected = [
            (second.key(), now.plus(hour + OVERLAP)),
            (first.key(), now.plus(OVERLAP)),
        ];
        assert_eq!(third.retiring_keys(), expected, "each for its day");
        let fourth = third.rotated(now.plus(OVERLAP)).expect("random");
        let keys: Vec<_> = fourth.retiring_keys().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [third.key(), second.key()], "the first's day is over");
    }

    #[test]
    fn there_are_never_many_old_secrets() {
        let mut secrets = Secrets::generate().expect("random");
        let mut latest = Vec::new();
        for second in 0..30 {
            latest.insert(0, secrets.key());
            secrets = secrets.rotated(Timestamp::from_secs(second)).expect("random");
        }
        let keys: Vec<_> = secrets.retiring_keys().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, latest[..MOST_OLD]);
    }

    #[test]
    fn a_secret_has_the_agreed_form() {
        let secrets = Secrets::generate().expect("random");
        assert!(secrets.signing.expose().starts_with("whsec_"));
        assert_eq!(secrets.key().len(), 32);
        assert!(!format!("{secrets:?}").contains("whsec_"));
    }

    #[test]
    fn tokens_are_set_kept_and_taken_away() {
        let none = Secrets::generate().expect("random");
        let set = none.with_tokens(Some(&Secret::new("abc")), None);
        assert_eq!(set.bearer, Some(Secret::new("abc")));
        let kept = set.with_tokens(None, Some(&Secret::new("x")));
        assert_eq!(kept.bearer, Some(Secret::new("abc")));
        assert_eq!(kept.with_tokens(Some(&Secret::new("")), None).bearer, None);
    }
}
