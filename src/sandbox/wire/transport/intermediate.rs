//! The intermediate transport (four bytes of length) and its padded variant (and up to 15 bytes of padding).
//!
//! The top bit of the length asks for a quick acknowledgement; it is heard and not answered.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, MAX_PACKET};

/// What a client's stream begins with.
pub const TAG: [u8; 4] = [0xee; 4];
/// The same, padded.
pub const PADDED_TAG: [u8; 4] = [0xdd; 4];

const QUICK_ACK: u32 = 0x8000_0000;
const MAX_PADDING: usize = 15;
/// An encrypted packet: key id and message key, then whole blocks.
const ENCRYPTED_HEAD: usize = 24;
const BLOCK: usize = 16;

/// The next whole packet, if there is one.
pub fn next(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = (u32::from_le_bytes(*length) & !QUICK_ACK) as usize;
    if length > MAX_PACKET + MAX_PADDING {
        return Err(FrameError::Length(length));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Appends a packet.
pub fn packet(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

/// As [`next`], without the padding. How long that is nobody says: an encrypted packet ends with its last whole
/// block, a plain one (whose key id is 0) names its own length and is left as it is.
pub fn next_padded(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(mut packet) = next(buffer)? else {
        return Ok(None);
    };
    let encrypted = packet.first_chunk::<8>().is_some_and(|key| *key != [0; 8]);
    if encrypted && packet.len() >= ENCRYPTED_HEAD {
        packet.truncate(packet.len() - (packet.len() - ENCRYPTED_HEAD) % BLOCK);
    }
    Ok(Some(packet))
}

/// Appends a packet with padding, as long as `most` allows: 15 bytes, or three where clients look for no more.
pub fn packet_padded(payload: &[u8], most: usize, out: &mut Vec<u8>) {
    let padding = rand::random::<[u8; MAX_PADDING + 1]>();
    let length = usize::from(padding[MAX_PADDING]) % (most.min(MAX_PADDING) + 1);
    let padding = &padding[..length];
    out.extend_from_slice(&((payload.len() + padding.len()) as u32).to_le_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(padding);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_as_long_as_allowed_and_goes_again() {
        for most in [3, 15, 99] {
            let lengths: Vec<usize> = (0..500)
                .map(|_| {
                    let (payload, mut out) = ([7; ENCRYPTED_HEAD + 2 * BLOCK], Vec::new());
                    packet_padded(&payload, most, &mut out);
                    let length = out.len() - 4 - payload.len();
                    let read = next_padded(&mut BytesMut::from(&out[..])).expect("a packet");
                    assert_eq!(read.as_deref(), Some(&payload[..]));
                    length
                })
                .collect();
            assert_eq!(lengths.iter().max(), Some(&most.min(MAX_PADDING)));
            assert_eq!(lengths.iter().min(), Some(&0));
        }
    }
}
