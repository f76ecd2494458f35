//! Encryption of messages under an authorisation key (MTProto 2.0): message key, derived AES key, AES-IGE.
//!
//! Pure but for the random padding. What the plaintext means is [`super::envelope`]'s.

use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use subtle::ConstantTimeEq;

use crate::sandbox::hash::{part, sha1, sha256};
use crate::sandbox::rpc::KeyId;

/// An authorisation key's bytes.
pub type AuthKey = [u8; 256];

/// Who sent a message: both directions derive other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Sender {
    fn offset(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 8,
        }
    }
}

/// The id under which a key is named on the wire.
pub fn key_id(key: &AuthKey) -> KeyId {
    KeyId(i64::from_le_bytes(part(&sha1(&[key]), 12)))
}

/// The key id of a packet; 0 names a plain message.
pub fn named_key(packet: &[u8]) -> Option<KeyId> {
    packet.first_chunk::<8>().map(|id| KeyId(i64::from_le_bytes(*id)))
}

/// The most blocks of padding beyond what the length asks for: with them it is 1024 bytes at the most.
const MOST_BLOCKS: usize = 62;

/// Encrypts a plaintext into a packet. Its length is a multiple of four, as all TL is. How long the padding is, 12 to 1024
/// bytes, nobody can foretell.
pub fn seal(key: &AuthKey, sender: Sender, plaintext: &[u8]) -> Vec<u8> {
    let least = 12 + (16 - (plaintext.len() + 12) % 16) % 16;
    let padding = least + 16 * (usize::from(rand::random::<u16>()) % (MOST_BLOCKS + 1));
    let mut packet = Vec::with_capacity(24 + plaintext.len() + padding);
    packet.extend_from_slice(&key_id(key).0.to_le_bytes());
    packet.extend_from_slice(&[0; 16]);
    packet.extend_from_slice(plaintext);
    let clear = packet.len();
    packet.resize(clear + padding, 0);
    rand::fill(&mut packet[clear..]);
    let msg_key = message_key(key, sender, &packet[24..]);
    packet[8..24].copy_from_slice(&msg_key);
    let (aes_key, iv) = derive(key, sender, &msg_key);
    ige_encrypt(&mut packet[24..], &aes_key, &iv);
    packet
}

/// Decrypts a packet into plaintext and padding; nothing if it was not made with this key.
pub fn open(key: &AuthKey, sender: Sender, packet: &[u8]) -> Option<Vec<u8>> {
    let body = packet.get(24..)?;
    if body.is_empty() || !body.len().is_multiple_of(16) {
        return None;
    }
    let msg_key: [u8; 16] = part(packet, 8);
    let (aes_key, iv) = derive(key, sender, &msg_key);
    let mut plaintext = body.to_vec();
    ige_decrypt(&mut plaintext, &aes_key, &iv);
    let same = message_key(key, sender, &plaintext).ct_eq(&msg_key);
    bool::from(same).then_some(plaintext)
}

fn message_key(key: &AuthKey, sender: Sender, padded: &[u8]) -> [u8; 16] {
    let x = sender.offset();
    part(&sha256(&[&key[88 + x..120 + x], padded]), 8)
}

fn derive(key: &AuthKey, sender: Sender, msg_key: &[u8; 16]) -> ([u8; 32], [u8; 32]) {
    let x = sender.offset();
    let a = sha256(&[msg_key, &key[x..x + 36]]);
    let b = sha256(&[&key[40 + x..76 + x], msg_key]);
    let mut aes_key = [0; 32];
    aes_key[..8].copy_from_slice(&a[..8]);
    aes_key[8..24].copy_from_slice(&b[8..24]);
    aes_key[24..].copy_from_slice(&a[24..]);
    let mut iv = [0; 32];
    iv[..8].copy_from_slice(&b[..8]);
    iv[8..24].copy_from_slice(&a[8..24]);
    iv[24..].copy_from_slice(&b[24..]);
    (aes_key, iv)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_key() -> AuthKey {
        std::array::from_fn(|i| (i * 7 + 3) as u8)
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(words in proptest::collection::vec(any::<u32>(), 0..100)) {
            let plaintext: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            for sender in [Sender::Client, Sender::Server] {
                let packet = seal(&a_key(), sender, &plaintext);
                prop_assert_eq!(named_key(&packet), Some(key_id(&a_key())));
                let opened = open(&a_key(), sender, &packet).expect("the same key");
                prop_assert_eq!(opened.len() % 16, 0);
                prop_assert!((12..=1024).contains(&(opened.len() - plaintext.len())));
                prop_assert_eq!(&opened[..plaintext.len()], &plaintext[..]);
            }
        }
    }

    #[test]
    fn the_other_direction_another_key_and_a_changed_byte_do_not_open() {
        let mut packet = seal(&a_key(), Sender::Client, b"four");
        assert!(open(&a_key(), Sender::Server, &packet).is_none());
        let mut other = a_key();
        other[100] ^= 1;
        assert!(open(&other, Sender::Client, &packet).is_none());
        packet[30] ^= 1;
        assert!(open(&a_key(), Sender::Client, &packet).is_none());
        assert!(open(&a_key(), Sender::Client, &packet[..30]).is_none());
    }

    #[test]
    fn a_client_of_another_make_reads_what_we_seal() {
        let key = grammers_crypto::AuthKey::from_bytes(a_key());
        let mut packet = seal(&a_key(), Sender::Server, b"eight by");
        let opened = grammers_crypto::decrypt_data_v2(&mut packet, &key).expect("sealed for it");
        assert_eq!(&opened[..8], b"eight by");
    }
}
