//! Framing: how packets are cut out of a byte stream and put into one.
//!
//! One [`Transport`] lives as long as its connection: a framing, maybe under a cipher. Which one it is, [`detect()`]
//! reads off the first bytes.

mod abridged;
mod detect;
mod full;
mod intermediate;
mod obfuscated;

#[cfg(test)]
pub(super) mod tests;

use bytes::{Bytes, BytesMut};

pub use detect::{Detected, detect};
use obfuscated::{Cipher, Obfuscated};

/// The largest packet that is taken, and so the most that a connection buffers: clients send up to 1,044,456 bytes.
pub const MAX_PACKET: usize = 1_060_000;

/// Why a byte stream makes no sense. The connection is closed without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that no packet has.
    #[error("a packet of {0} bytes")]
    Length(usize),
    /// A packet out of sequence.
    #[error("a packet numbered {found} where {expected} was due")]
    Sequence {
        /// The number that was due.
        expected: u32,
        /// The number it had.
        found: u32,
    },
    /// A wrong checksum.
    #[error("a packet with a wrong checksum")]
    Checksum,
}

/// What is around every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Length, sequence number and checksum.
    Full,
    /// A length of one byte or four.
    Abridged,
    /// A length of four bytes.
    Intermediate,
    /// The same, and padding.
    Padded,
}

/// How a connection speaks.
pub struct Transport {
    framing: Framing,
    ciphers: Option<Obfuscated>,
}

impl Transport {
    fn plain(framing: Framing) -> Self {
        Self {
            framing,
            ciphers: None,
        }
    }

    fn obfuscated(framing: Framing, ciphers: Obfuscated) -> Self {
        Self {
            framing,
            ciphers: Some(ciphers),
        }
    }

    /// The reading and the writing half, which know nothing of each other.
    pub fn split(self) -> (Reading, Writing) {
        let (from_client, to_client) = match self.ciphers {
            Some(both) => (Some(both.from_client), Some(both.to_client)),
            None => (None, None),
        };
        let reading = Reading {
            framing: self.framing,
            sequence: 0,
            cipher: from_client,
            clear: 0,
        };
        let writing = Writing {
            framing: self.framing,
            sequence: 0,
            padding: 0,
            cipher: to_client,
        };
        (reading, writing)
    }
}

/// The half that cuts packets out of what arrives.
pub struct Reading {
    framing: Framing,
    /// Of the next packet, in a full transport.
    sequence: u32,
    cipher: Option<Cipher>,
    /// How much of the buffer is deciphered already.
    clear: usize,
}

impl Reading {
    /// The next whole packet, if the buffer holds one; its bytes leave the buffer. What is left is to be given
    /// again, with what came after it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if let Some(cipher) = &mut self.cipher {
            cipher.apply(&mut buffer[self.clear..]);
        }
        let next = match self.framing {
            Framing::Full => full::next(buffer, &mut self.sequence),
            Framing::Abridged => abridged::next(buffer),
            Framing::Intermediate => intermediate::next(buffer),
            Framing::Padded => intermediate::next_padded(buffer),
        };
        self.clear = buffer.len();
        next
    }
}

/// The half that wraps what is sent.
pub struct Writing {
    framing: Framing,
    /// Of the next packet, in a full transport.
    sequence: u32,
    /// The most bytes after a packet, in a padded transport.
    padding: usize,
    cipher: Option<Cipher>,
}

impl Writing {
    /// Whether something may follow its packets.
    pub fn pads(&self) -> bool {
        self.framing == Framing::Padded
    }

    /// Lets packets of a padded transport be followed by up to so many bytes.
    pub fn pad_up_to(&mut self, padding: usize) {
        self.padding = padding;
    }

    /// Appends the packet with this payload.
    pub fn packet(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        match self.framing {
            Framing::Full => full::packet(payload, &mut self.sequence, out),
            Framing::Abridged => abridged::packet(payload, out),
            Framing::Intermediate => intermediate::packet(payload, out),
            Framing::Padded => intermediate::packet_padded(payload, self.padding, out),
        }
        self.hide(&mut out[start..]);
    }

    /// Appends a transport error such as −404. The connection is to be closed after it.
    pub fn error(&mut self, code: i32, out: &mut Vec<u8>) {
        let start = out.len();
        let code = code.to_le_bytes();
        match self.framing {
            // Where a length would stand: clients read a framed one as a broken packet.
            Framing::Full => out.extend_from_slice(&code),
            Framing::Abridged => abridged::packet(&code, out),
            // Never padded: clients know it by its length.
            Framing::Intermediate | Framing::Padded => intermediate::packet(&code, out),
        }
        self.hide(&mut out[start..]);
    }

    fn hide(&mut self, bytes: &mut [u8]) {
        if let Some(cipher) = &mut self.cipher {
            cipher.apply(bytes);
        }
    }
}
