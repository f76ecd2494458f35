//! Obfuscation: all bytes of a connection pass a stream cipher whose keys are in its first 64 bytes.
//!
//! It hides nothing from anybody who reads along from the start. Secrets of proxies are not known here.

use aes::Aes256Enc;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

/// How long the header is with which a client begins.
pub const HEADER: usize = 64;
/// Where its random part holds keys (32 bytes) and initial vectors (16).
const KEYS: std::ops::Range<usize> = 8..56;
/// Where the framing's tag is, once the header is deciphered.
const TAG: std::ops::Range<usize> = 56..60;

/// One direction's cipher.
pub struct Cipher(Box<Ctr128BE<Aes256Enc>>);

impl Cipher {
    fn new(keys: &[u8; 48]) -> Self {
        let (mut key, mut iv) = ([0; 32], [0; 16]);
        key.copy_from_slice(&keys[..32]);
        iv.copy_from_slice(&keys[32..]);
        Self(Box::new(Ctr128BE::new(&key.into(), &iv.into())))
    }

    /// The stream's next bytes, in place: ciphering and deciphering are the same.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}

/// Both directions' ciphers; the client's own are the same two.
pub struct Obfuscated {
    /// For what the client sends.
    pub from_client: Cipher,
    /// For what the client is sent.
    pub to_client: Cipher,
}

impl Obfuscated {
    /// The ciphers that a header holds, as they are at its beginning.
    pub fn of(header: &[u8; HEADER]) -> Self {
        let mut keys = [0; 48];
        keys.copy_from_slice(&header[KEYS]);
        let from_client = Cipher::new(&keys);
        keys.reverse();
        let to_client = Cipher::new(&keys);
        Self {
            from_client,
            to_client,
        }
    }

    /// The ciphers after a client's header, and the tag in it.
    pub fn open(header: &[u8; HEADER]) -> (Self, [u8; 4]) {
        let mut ciphers = Self::of(header);
        let mut clear = *header;
        ciphers.from_client.apply(&mut clear);
        let mut tag = [0; 4];
        tag.copy_from_slice(&clear[TAG]);
        (ciphers, tag)
    }
}
