//! The full transport: total length, sequence number, payload, CRC-32 of all before. Sequence numbers count
//! from 0 in each direction.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, MAX_PACKET};

const HEAD: usize = 8;
const TAIL: usize = 4;

/// The next whole packet, if there is one.
pub fn next(buffer: &mut BytesMut, sequence: &mut u32) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if !(HEAD + TAIL..=MAX_PACKET + HEAD + TAIL).contains(&length) {
        return Err(FrameError::Length(length));
    }
    if buffer.len() < length {
        buffer.reserve(length - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(length).freeze();
    let body = length - TAIL;
    let stated = (&frame[body..]).get_u32_le();
    if stated != crc32fast::hash(&frame[..body]) {
        return Err(FrameError::Checksum);
    }
    let found = (&frame[4..HEAD]).get_u32_le();
    if found != *sequence {
        return Err(FrameError::Sequence {
            expected: *sequence,
            found,
        });
    }
    *sequence = sequence.wrapping_add(1);
    frame.truncate(body);
    frame.advance(HEAD);
    Ok(Some(frame))
}

/// Appends a packet.
pub fn packet(payload: &[u8], sequence: &mut u32, out: &mut Vec<u8>) {
    let start = out.len();
    let length = (payload.len() + HEAD + TAIL) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    *sequence = sequence.wrapping_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        packet(payload, &mut 0, &mut out);
        out
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut stream = frame(b"payload.");
        stream[9] ^= 1;
        assert_eq!(
            next(&mut BytesMut::from(&stream[..]), &mut 0),
            Err(FrameError::Checksum)
        );
    }

    #[test]
    fn a_repeated_packet_is_noticed() {
        let stream = frame(b"once");
        let mut buffer = BytesMut::from(&[stream.clone(), stream].concat()[..]);
        let mut sequence = 0;
        assert_eq!(next(&mut buffer, &mut sequence).map(|it| it.is_some()), Ok(true));
        assert_eq!(
            next(&mut buffer, &mut sequence),
            Err(FrameError::Sequence {
                expected: 1,
                found: 0
            })
        );
    }

    #[test]
    fn lengths_are_judged_before_anything_is_buffered() {
        for length in [0u32, 11, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_le_bytes()[..]);
            assert_eq!(
                next(&mut buffer, &mut 0),
                Err(FrameError::Length(length as usize))
            );
        }
    }
}
