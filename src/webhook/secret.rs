//! An endpoint's secrets: the signing secret, its predecessor for a while, and the tokens that
//! older receivers ask for.
//!
//! Stored only in a sealed table; shown only in the answers that make them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::base::{Secret, Timestamp};

/// What a signing secret's text begins with.
const PREFIX: &str = "whsec_";

/// How long the old secret signs too after a rotation.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Everything secret about an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secrets {
    /// The signing secret, `whsec_…`.
    pub signing: Secret,
    /// The one before, and until when it signs too.
    #[serde(default)]
    pub previous: Option<(Secret, Timestamp)>,
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
            bearer: None,
            secret_token: None,
        })
    }

    /// The same with a new signing secret; the old one signs on for [`OVERLAP`].
    pub fn rotated(&self, now: Timestamp) -> Result<Self, getrandom::Error> {
        Ok(Self {
            signing: signing_secret()?,
            previous: Some((self.signing.clone(), now.plus(OVERLAP))),
            ..self.clone()
        })
    }

    /// The keys that sign at this time, the newest first.
    pub fn keys(&self, now: Timestamp) -> Vec<Vec<u8>> {
        let previous = self
            .previous
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(secret, _)| secret);
        std::iter::once(&self.signing)
            .chain(previous)
            .map(key_bytes)
            .collect()
    }
}

/// A new secret: `whsec_` and the base64 of 32 random bytes.
fn signing_secret() -> Result<Secret, getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(Secret::new(format!(
        "{PREFIX}{}",
        STANDARD.encode(bytes.as_slice())
    )))
}

/// The key behind a secret's text; a text that is no base64 signs as it stands.
fn key_bytes(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
    STANDARD
        .decode(encoded)
        .unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_secret_signs_for_a_day() {
        let first = Secrets::generate().expect("random");
        let now = Timestamp(1_000_000);
        let second = first.rotated(now).expect("random");
        assert_ne!(first.signing, second.signing);
        assert_eq!(second.keys(now).len(), 2);
        assert_eq!(second.keys(now)[1], first.keys(now)[0]);
        let later = now.plus(OVERLAP);
        assert_eq!(second.keys(later), vec![key_bytes(&second.signing)]);
        let third = second.rotated(later).expect("random");
        assert_eq!(third.keys(later)[1], key_bytes(&second.signing));
    }

    #[test]
    fn a_secret_has_the_agreed_form() {
        let secrets = Secrets::generate().expect("random");
        assert!(secrets.signing.expose().starts_with("whsec_"));
        assert_eq!(secrets.keys(Timestamp(0))[0].len(), 32);
        assert!(!format!("{secrets:?}").contains("whsec_"));
    }
}
