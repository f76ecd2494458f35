//! Temporary keys: a client proves by its permanent key that a temporary one speaks for the same login.
//!
//! The proof is one message in the older form of the encryption (MTProto 1.0) under the permanent key. Pure; what
//! a bound key then hears and says is the registry's.

use grammers_crypto::aes::ige_decrypt;
use grammers_tl_types as tl;
use tl::{Cursor, Deserializable};

use super::cipher::AuthKey;
use crate::sandbox::hash::{part, sha1};

/// What has to be as long as this in a proof: random, id, number, length; then the statement itself.
const HEAD: usize = 32;
const STATEMENT: usize = 40;

/// What a client says, and what the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// A number that is also said openly.
    pub nonce: i64,
    /// The key that is bound.
    pub temporary: i64,
    /// The key to which it is bound.
    pub permanent: i64,
    /// The session in which this is said.
    pub session: i64,
    /// Until when it is bound (unix seconds).
    pub expires_at: i32,
    /// The id of the message in which this is said.
    pub message: i64,
}

/// Whether the encrypted message says just this, and was made with the permanent key.
pub fn proves(key: &AuthKey, encrypted: &[u8], expected: &Statement) -> bool {
    read(key, encrypted).as_ref() == Some(expected)
}

fn read(key: &AuthKey, encrypted: &[u8]) -> Option<Statement> {
    let msg_key: [u8; 16] = *encrypted.get(8..)?.first_chunk()?;
    let mut plain = encrypted.get(24..)?.to_vec();
    if plain.len() < HEAD + STATEMENT || !plain.len().is_multiple_of(16) {
        return None;
    }
    let (aes_key, iv) = derive(key, &msg_key);
    ige_decrypt(&mut plain, &aes_key, &iv);
    let said = &plain[..HEAD + STATEMENT];
    if part::<16>(&sha1(&[said]), 4) != msg_key {
        return None;
    }
    let mut cursor = Cursor::from_slice(&said[HEAD..]);
    let tl::enums::BindAuthKeyInner::Inner(inner) =
        tl::enums::BindAuthKeyInner::deserialize(&mut cursor).ok()?;
    Some(Statement {
        nonce: inner.nonce,
        temporary: inner.temp_auth_key_id,
        permanent: inner.perm_auth_key_id,
        session: inner.temp_session_id,
        expires_at: inner.expires_at,
        message: i64::from_le_bytes(part(said, 16)),
    })
}

/// AES key and initial vector of a client's message in the older form.
fn derive(key: &AuthKey, msg_key: &[u8; 16]) -> ([u8; 32], [u8; 32]) {
    let a = sha1(&[msg_key, &key[..32]]);
    let b = sha1(&[&key[32..48], msg_key, &key[48..64]]);
    let c = sha1(&[&key[64..96], msg_key]);
    let d = sha1(&[msg_key, &key[96..128]]);
    let (mut aes_key, mut iv) = ([0; 32], [0; 32]);
    aes_key[..8].copy_from_slice(&a[..8]);
    aes_key[8..20].copy_from_slice(&b[8..20]);
    aes_key[20..].copy_from_slice(&c[4..16]);
    iv[..12].copy_from_slice(&a[8..20]);
    iv[12..20].copy_from_slice(&b[..8]);
    iv[20..24].copy_from_slice(&c[16..20]);
    iv[24..].copy_from_slice(&d[..8]);
    (aes_key, iv)
}

#[cfg(test)]
mod tests {
    use grammers_crypto::aes::ige_encrypt;
    use tl::Serializable;

    use super::*;

    const SAID: Statement = Statement {
        nonce: 5,
        temporary: 6,
        permanent: 7,
        session: 8,
        expires_at: 9,
        message: 12,
    };

    fn made(key: &AuthKey, said: &Statement) -> Vec<u8> {
        let inner = tl::types::BindAuthKeyInner {
            nonce: said.nonce,
            temp_auth_key_id: said.temporary,
            perm_auth_key_id: said.permanent,
            temp_session_id: said.session,
            expires_at: said.expires_at,
        };
        let mut plain = vec![3; 16];
        plain.extend(said.message.to_le_bytes());
        plain.extend(0i32.to_le_bytes());
        plain.extend(40i32.to_le_bytes());
        plain.extend(tl::enums::BindAuthKeyInner::Inner(inner).to_bytes());
        let msg_key = part::<16>(&sha1(&[&plain]), 4);
        plain.resize(80, 1);
        let (aes_key, iv) = derive(key, &msg_key);
        ige_encrypt(&mut plain, &aes_key, &iv);
        let mut encrypted = said.permanent.to_le_bytes().to_vec();
        encrypted.extend(msg_key);
        encrypted.extend(plain);
        encrypted
    }

    #[test]
    fn only_the_right_words_under_the_right_key_prove_it() {
        let key = [1; 256];
        let encrypted = made(&key, &SAID);
        assert!(proves(&key, &encrypted, &SAID));
        assert!(!proves(&[2; 256], &encrypted, &SAID));
        assert!(!proves(&key, &encrypted, &Statement { session: 80, ..SAID }));
        assert!(!proves(&key, &encrypted[..40], &SAID));
        let mut changed = encrypted;
        changed[50] ^= 1;
        assert!(!proves(&key, &changed, &SAID));
    }
}
