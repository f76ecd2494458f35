//! The server's RSA key: made or read from PEM, its fingerprint, and what clients encrypt for it.
//!
//! Clients pad in two ways: RSA_PAD (hash and temporary key), and the older SHA-1 in front. Both are read.
//! Not a general RSA: no signatures, no defence against timing. It guards a loopback server.

use glass_pumpkin::prime;
use grammers_crypto::aes::ige_decrypt;
use num_bigint::BigUint;
use pkcs1::der::asn1::Uint;
use pkcs1::{
    DecodeRsaPrivateKey, EncodeRsaPrivateKey, EncodeRsaPublicKey, LineEnding, RsaPrivateKeyOwned,
    RsaPublicKeyOwned,
};
use zeroize::Zeroizing;

use crate::sandbox::group::bytes_256;
use crate::sandbox::hash::{part, sha1, sha256};

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No randomness to make it from.
    #[error("no prime could be drawn")]
    Randomness(#[source] glass_pumpkin::error::Error),
    /// Not the PEM of a PKCS #1 private key.
    #[error("not a PEM RSA private key (PKCS #1)")]
    Pem(#[source] pkcs1::Error),
    /// Another length than the protocol's, or numbers that do not belong together.
    #[error("not a sound 2048-bit key")]
    Unsound,
}

/// The server's key with its private half.
#[derive(Clone)]
pub struct RsaKey {
    n: BigUint,
    e: BigUint,
    d: BigUint,
    p: BigUint,
    q: BigUint,
}

impl RsaKey {
    /// Draws a new 2048-bit key. Takes a while: not for an asynchronous thread.
    pub fn generate() -> Result<Self, KeyError> {
        let e = BigUint::from(65_537u32);
        loop {
            let p = prime::new(1024).map_err(KeyError::Randomness)?;
            let q = prime::new(1024).map_err(KeyError::Randomness)?;
            match Self::from_primes(p, q, e.clone()) {
                // Some clients write fingerprints in hexadecimal and lose a leading nought on one side.
                Ok(key) if key.fingerprint().cast_unsigned() >> 60 == 0 => continue,
                Ok(key) => return Ok(key),
                Err(KeyError::Unsound) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a private key from PEM (PKCS #1).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = RsaPrivateKeyOwned::from_pkcs1_pem(pem.trim()).map_err(KeyError::Pem)?;
        let number = |it: &Uint| BigUint::from_bytes_be(it.as_bytes());
        Self::from_primes(
            number(&key.prime1),
            number(&key.prime2),
            number(&key.public_exponent),
        )
    }

    fn from_primes(p: BigUint, q: BigUint, e: BigUint) -> Result<Self, KeyError> {
        let n = &p * &q;
        if n.bits() != 2048 || p == q {
            return Err(KeyError::Unsound);
        }
        let phi = (&p - 1u8) * (&q - 1u8);
        let d = e.modinv(&phi).ok_or(KeyError::Unsound)?;
        Ok(Self { n, e, d, p, q })
    }

    /// The private key as PEM, to be kept in a file.
    pub fn private_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let parts = || -> Result<RsaPrivateKeyOwned, pkcs1::Error> {
            let coefficient = self.q.modinv(&self.p).unwrap_or_default();
            Ok(RsaPrivateKeyOwned {
                modulus: uint(&self.n)?,
                public_exponent: uint(&self.e)?,
                private_exponent: uint(&self.d)?,
                prime1: uint(&self.p)?,
                prime2: uint(&self.q)?,
                exponent1: uint(&(&self.d % (&self.p - 1u8)))?,
                exponent2: uint(&(&self.d % (&self.q - 1u8)))?,
                coefficient: uint(&coefficient)?,
                other_prime_infos: None,
            })
        };
        parts()
            .and_then(|key| key.to_pkcs1_pem(LineEnding::LF))
            .map_err(KeyError::Pem)
    }

    /// The public key as PEM (PKCS #1): what clients are given.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        let parts = || -> Result<RsaPublicKeyOwned, pkcs1::Error> {
            Ok(RsaPublicKeyOwned {
                modulus: uint(&self.n)?,
                public_exponent: uint(&self.e)?,
            })
        };
        parts()
            .and_then(|key| key.to_pkcs1_pem(LineEnding::LF))
            .map_err(KeyError::Pem)
    }

    /// By which clients tell keys apart: the end of SHA-1 over the TL bytes of modulus and exponent.
    pub fn fingerprint(&self) -> i64 {
        fingerprint(&self.n, &self.e)
    }

    /// What a client encrypted, beginning with the inner data. `length` tells how many bytes of a candidate
    /// the inner data takes, since the older padding hashes exactly those.
    pub fn decrypt(&self, encrypted: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        let block = self.raw(encrypted)?;
        unpad_rsa_pad(&block).or_else(|| unpad_sha1(&block, length))
    }

    /// The private operation, by the residues modulo both primes.
    fn raw(&self, encrypted: &[u8]) -> Option<[u8; 256]> {
        let c = BigUint::from_bytes_be(encrypted);
        if c >= self.n {
            return None;
        }
        let by_p = c.modpow(&(&self.d % (&self.p - 1u8)), &self.p);
        let by_q = c.modpow(&(&self.d % (&self.q - 1u8)), &self.q);
        let coefficient = self.q.modinv(&self.p)?;
        let difference = (&by_p + &self.p - &by_q % &self.p) % &self.p;
        let h = difference * coefficient % &self.p;
        Some(bytes_256(&(by_q + h * &self.q)))
    }
}

fn uint(number: &BigUint) -> Result<Uint, pkcs1::Error> {
    Ok(Uint::new(&number.to_bytes_be())?)
}

fn fingerprint(n: &BigUint, e: &BigUint) -> i64 {
    use grammers_tl_types::Serializable;
    let hash = sha1(&[&n.to_bytes_be().to_bytes(), &e.to_bytes_be().to_bytes()]);
    i64::from_le_bytes(part(&hash, 12))
}

/// RSA_PAD: the key of an AES block is hidden under the hash of that block.
fn unpad_rsa_pad(block: &[u8; 256]) -> Option<Vec<u8>> {
    let (hidden, encrypted) = block.split_at(32);
    let mask = sha256(&[encrypted]);
    let key: [u8; 32] = std::array::from_fn(|i| hidden[i] ^ mask[i]);
    let mut data = encrypted.to_vec();
    ige_decrypt(&mut data, &key, &[0; 32]);
    let hash = data.split_off(192);
    data.reverse();
    (sha256(&[&key, &data])[..] == hash[..]).then_some(data)
}

/// The older padding: SHA-1 of the data, the data, anything.
fn unpad_sha1(block: &[u8; 256], length: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
    let (&[0], rest) = block.split_first_chunk::<1>()? else {
        return None;
    };
    let (hash, data) = rest.split_at(20);
    let data = &data[..length(data)?];
    (sha1(&[data])[..] == *hash).then(|| data.to_vec())
}

#[cfg(test)]
impl RsaKey {
    /// Encrypts as a client does, with another's implementation.
    pub fn encrypt_for_test(&self, data: &[u8]) -> Vec<u8> {
        let public = grammers_crypto::rsa::Key::new(&self.n.to_string(), &self.e.to_string());
        grammers_crypto::rsa::encrypt_hashed(data, &public.expect("decimal numbers"), &[9; 224])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static KEY: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate().expect("a key"));

    fn encrypt(block: &[u8]) -> Vec<u8> {
        BigUint::from_bytes_be(block).modpow(&KEY.e, &KEY.n).to_bytes_be()
    }

    #[test]
    fn both_paddings_lead_back_to_the_data() {
        let data = vec![0x5a; 96];
        let found = KEY
            .decrypt(&KEY.encrypt_for_test(&data), |_| None)
            .expect("RSA_PAD");
        assert_eq!(found[..96], data[..]);

        let mut older = sha1(&[&data]).to_vec();
        older.extend_from_slice(&data);
        older.resize(255, 0x77);
        assert_eq!(KEY.decrypt(&encrypt(&older), |_| Some(96)), Some(data));

        older[25] ^= 1;
        assert_eq!(KEY.decrypt(&encrypt(&older), |_| Some(96)), None);
        assert_eq!(
            KEY.decrypt(&[0xff; 256], |_| Some(96)),
            None,
            "more than the modulus"
        );
    }

    #[test]
    fn pem_keeps_the_key() {
        let again = RsaKey::from_pem(&KEY.private_pem().expect("written")).expect("read");
        assert_eq!(again.fingerprint(), KEY.fingerprint());
        assert_eq!(again.d, KEY.d);
        assert!(
            KEY.public_pem()
                .expect("written")
                .starts_with("-----BEGIN RSA PUBLIC KEY-----\n")
        );
        assert!(matches!(RsaKey::from_pem("nonsense"), Err(KeyError::Pem(_))));
    }

    #[test]
    fn the_fingerprint_of_a_published_key_is_known() {
        // Telegram's test key, whose fingerprint clients list as −5595554452916591101.
        let n = "25342889448840415564971689590713473206898847759084779052582026594546022463853940\
                 58588521595116849196570822264939918060381807420062046377613542488463216251240316\
                 37930839216416315647409595294193595958529411668489405859523376133330223960965841\
                 17954892216031229237302943701877588456738335398602461675225081791820393153757504\
                 95263623495132323782003654358104782690612092797248736680529211579223142368426126\
                 23303943247507854509425897517553901566477514607193514399690599495696153028090507\
                 21500330239005077889855323917509948255722081644689442127297605422579707142646660\
                 768825302832201908302295573257427896031830742328565032949";
        let n = BigUint::parse_bytes(n.as_bytes(), 10).expect("a number");
        assert_eq!(
            fingerprint(&n, &BigUint::from(65_537u32)),
            -5_595_554_452_916_591_101
        );
    }
}
