//! The RSA public key of a self-hosted server: read from PEM, with Telegram's fingerprint of it.

use grammers_client::tl::Serializable;
use grammers_crypto::rsa;
use num_bigint::BigUint;
use pkcs1::RsaPublicKeyRef;
use pkcs1::der::Decode;
use sha1::{Digest, Sha1};

/// A server's RSA public key.
pub struct ServerKey {
    rsa: rsa::Key,
    fingerprint: i64,
}

/// A text that is no RSA public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a PEM with an RSA public key of 2048 bits (PKCS#1 or SubjectPublicKeyInfo)")]
pub struct NotAKey;

/// The two numbers of a key.
struct Numbers {
    n: BigUint,
    e: BigUint,
}

impl ServerKey {
    /// Reads either PEM form of an RSA public key.
    ///
    /// # Errors
    /// If it is none, or not of 2048 bits, which the protocol's padding needs.
    pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
        let numbers = parse(pem).ok_or(NotAKey)?;
        if numbers.n.bits() != 2048 {
            return Err(NotAKey);
        }
        let rsa = rsa::Key::new(&numbers.n.to_string(), &numbers.e.to_string()).ok_or(NotAKey)?;
        Ok(Self {
            rsa,
            fingerprint: fingerprint(&numbers),
        })
    }

    /// The key, for encryption.
    pub fn rsa(&self) -> &rsa::Key {
        &self.rsa
    }

    /// How the protocol names it.
    pub fn fingerprint(&self) -> i64 {
        self.fingerprint
    }
}

fn parse(pem: &str) -> Option<Numbers> {
    let (label, document) = pkcs1::der::Document::from_pem(pem).ok()?;
    match label {
        "RSA PUBLIC KEY" => numbers(document.as_bytes()),
        "PUBLIC KEY" => {
            let info = spki::SubjectPublicKeyInfoRef::from_der(document.as_bytes()).ok()?;
            numbers(info.subject_public_key.as_bytes()?)
        }
        _ => None,
    }
}

fn numbers(der: &[u8]) -> Option<Numbers> {
    let key = RsaPublicKeyRef::from_der(der).ok()?;
    Some(Numbers {
        n: BigUint::from_bytes_be(key.modulus.as_bytes()),
        e: BigUint::from_bytes_be(key.public_exponent.as_bytes()),
    })
}

/// The low 64 bits of the SHA1 of both numbers as TL byte strings.
fn fingerprint(numbers: &Numbers) -> i64 {
    let mut bytes = Vec::new();
    numbers.n.to_bytes_be().serialize(&mut bytes);
    numbers.e.to_bytes_be().serialize(&mut bytes);
    let digest = Sha1::digest(&bytes);
    i64::from_le_bytes(std::array::from_fn(|index| digest[12 + index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Telegram's production key, as its documentation publishes it.
    const PRODUCTION: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEA6LszBcC1LGzyr992NzE0ieY+BSaOW622Aa9Bd4ZHLl+TuFQ4lo4g
5nKaMBwK/BIb9xUfg0Q29/2mgIR6Zr9krM7HjuIcCzFvDtr+L0GQjae9H0pRB2OO
62cECs5HKhT5DZ98K33vmWiLowc621dQuwKWSQKjWf50XYFw42h21P2KXUGyp2y/
+aEyZ+uVgLLQbRA1dEjSDZ2iGRy12Mk5gpYc397aYp438fsJoHIgJ2lgMv5h7WY9
t6N/byY9Nw9p21Og3AoXSL2q/2IJ1WRUhebgAdGVMlV1fkuOQoEzR7EdpqtQD9Cs
5+bfo3Nhmcyvk5ftB0WkJ9z6bNZ7yxrP8wIDAQAB
-----END RSA PUBLIC KEY-----";

    #[test]
    fn the_production_key_has_its_published_fingerprint() {
        let key = ServerKey::from_pem(PRODUCTION).expect("a key");
        assert_eq!(key.fingerprint() as u64, 0xd09d_1d85_de64_fd85);
    }

    #[test]
    fn other_texts_are_refused() {
        assert!(ServerKey::from_pem("").is_err());
        assert!(ServerKey::from_pem(&PRODUCTION.replace("RSA PUBLIC KEY", "CERTIFICATE")).is_err());
        assert!(ServerKey::from_pem(&PRODUCTION.replace("MIIB", "MIIC")).is_err());
    }
}
