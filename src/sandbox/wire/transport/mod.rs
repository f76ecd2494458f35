//! Framing: how packets are cut out of a byte stream and put into one.
//!
//! One [`Transport`] lives as long as its connection. Which one it is, [`detect`] reads off the first bytes.

mod detect;
mod full;

use bytes::{Bytes, BytesMut};

pub use detect::{Detected, detect};
pub use full::Full;

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

/// What a payload turned out to be.
pub enum Transport {
    /// Length, sequence number and checksum around every packet.
    Full(Full),
}

impl Transport {
    /// The reading and the writing half.
    pub fn split(self) -> (Reading, Writing) {
        match self {
            Self::Full(full) => {
                let (reader, writer) = full.split();
                (Reading::Full(reader), Writing::Full(writer))
            }
        }
    }
}

/// The half that cuts packets out of what arrives.
pub enum Reading {
    /// See [`Transport::Full`].
    Full(full::Reader),
}

impl Reading {
    /// The next whole packet, if the buffer holds one; its bytes leave the buffer.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        match self {
            Self::Full(reader) => reader.next(buffer),
        }
    }
}

/// The half that wraps what is sent.
pub enum Writing {
    /// See [`Transport::Full`].
    Full(full::Writer),
}

impl Writing {
    /// Appends the packet with this payload.
    pub fn packet(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Full(writer) => writer.packet(payload, out),
        }
    }

    /// Appends a transport error such as −404. The connection is to be closed after it.
    pub fn error(&mut self, code: i32, out: &mut Vec<u8>) {
        match self {
            Self::Full(_) => full::error(code, out),
        }
    }
}
