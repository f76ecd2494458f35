//! The abridged transport: one byte of length in words, or 0x7f and three more.
//!
//! The top bit of the first byte asks for a quick acknowledgement; it is heard and not answered.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, MAX_PACKET};

/// What a client's stream begins with.
pub const TAG: u8 = 0xef;

const QUICK_ACK: u8 = 0x80;
const LONG: u8 = 0x7f;

/// The next whole packet, if there is one.
pub fn next(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(first) = buffer.first() else {
        return Ok(None);
    };
    let (head, words) = match first & !QUICK_ACK {
        LONG => match buffer.first_chunk::<4>() {
            Some(&[_, a, b, c]) => (4, u32::from_le_bytes([a, b, c, 0])),
            None => return Ok(None),
        },
        words => (1, u32::from(words)),
    };
    let length = words as usize * 4;
    if length > MAX_PACKET {
        return Err(FrameError::Length(length));
    }
    if buffer.len() < head + length {
        buffer.reserve(head + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(head);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Appends a packet; its length is a multiple of four, as every packet's of ours is.
pub fn packet(payload: &[u8], out: &mut Vec<u8>) {
    let words = (payload.len() / 4) as u32;
    if words < u32::from(LONG) {
        out.push(words as u8);
    } else {
        out.extend_from_slice(&(words << 8 | u32::from(LONG)).to_le_bytes());
    }
    out.extend_from_slice(payload);
}
