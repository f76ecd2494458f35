//! The full transport: total length, sequence number, payload, CRC-32 of all before.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, MAX_PACKET};

const HEAD: usize = 8;
const TAIL: usize = 4;

/// A full transport at its beginning; sequence numbers count from 0 in each direction.
#[derive(Default)]
pub struct Full;

impl Full {
    /// At the first packet of a connection.
    pub fn new() -> Self {
        Self
    }

    /// Its two directions, which know nothing of each other.
    pub fn split(self) -> (Reader, Writer) {
        (Reader { sequence: 0 }, Writer { sequence: 0 })
    }
}

/// The direction from the client.
pub struct Reader {
    sequence: u32,
}

impl Reader {
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
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
        if found != self.sequence {
            return Err(FrameError::Sequence {
                expected: self.sequence,
                found,
            });
        }
        self.sequence = self.sequence.wrapping_add(1);
        frame.truncate(body);
        frame.advance(HEAD);
        Ok(Some(frame))
    }
}

/// The direction to the client.
pub struct Writer {
    sequence: u32,
}

impl Writer {
    pub(super) fn packet(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let length = (payload.len() + HEAD + TAIL) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(payload);
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// The bare code where a length would stand: clients read a framed one as a broken packet.
pub(super) fn error(code: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&code.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (_, mut writer) = Full::new().split();
        let mut out = Vec::new();
        for payload in payloads {
            writer.packet(payload, &mut out);
        }
        out
    }

    proptest! {
        #[test]
        fn packets_survive_any_cutting_of_the_stream(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..6),
            cut in 1usize..40,
        ) {
            let stream = frames(&payloads);
            let (mut reader, _) = Full::new().split();
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(packet) = reader.next(&mut buffer).expect("sound frames") {
                    found.push(packet.to_vec());
                }
            }
            prop_assert_eq!(found, payloads);
            prop_assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut stream = frames(&[b"payload.".to_vec()]);
        stream[9] ^= 1;
        let (mut reader, _) = Full::new().split();
        assert_eq!(
            reader.next(&mut BytesMut::from(&stream[..])),
            Err(FrameError::Checksum)
        );
    }

    #[test]
    fn a_repeated_packet_is_noticed() {
        let stream = frames(&[b"once".to_vec()]);
        let mut buffer = BytesMut::from(&[stream.clone(), stream].concat()[..]);
        let (mut reader, _) = Full::new().split();
        assert_eq!(reader.next(&mut buffer).map(|it| it.is_some()), Ok(true));
        assert_eq!(
            reader.next(&mut buffer),
            Err(FrameError::Sequence {
                expected: 1,
                found: 0
            })
        );
    }

    #[test]
    fn lengths_are_judged_before_anything_is_buffered() {
        let (mut reader, _) = Full::new().split();
        for length in [0u32, 11, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_le_bytes()[..]);
            assert_eq!(reader.next(&mut buffer), Err(FrameError::Length(length as usize)));
        }
    }
}
