//! What stands inside an encrypted packet: salt, session, message; containers; gzip.
//!
//! Pure. Nothing here is judged but its form.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use grammers_tl_types as tl;
use tl::{Deserializable, Identifiable, Serializable};

use crate::sandbox::rpc::MtSession;

const CONTAINER: u32 = 0x73f1_f8dc;
const GZIP_PACKED: u32 = 0x3072_cfa1;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const RPC_RESULT: u32 = 0xf35c_6d01;

/// The most messages that a container may hold.
const MAX_CONTAINED: usize = 1024;
/// The most that the packed data of one packet may unpack to, all of it together.
const MAX_UNPACKED: u64 = 8 << 20;
/// From this length on an answer or a push is packed, if that makes it shorter.
const PACK_FROM: usize = 1024;

/// An opened packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The server salt that the client used.
    pub salt: i64,
    /// The session it speaks in.
    pub session: MtSession,
    /// Its message, maybe a container.
    pub message: Message,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id: time and kind.
    pub id: i64,
    /// Its sequence number; odd if it wants an acknowledgement.
    pub seq_no: i32,
    /// The object.
    pub body: Bytes,
}

/// The id that an object begins with.
pub fn constructor(object: &[u8]) -> Option<u32> {
    object.first_chunk::<4>().map(|id| u32::from_le_bytes(*id))
}

impl Envelope {
    /// Reads the plaintext of a packet, padding and all.
    pub fn read(plaintext: Vec<u8>) -> Option<Self> {
        let mut rest = Bytes::from(plaintext);
        if rest.len() < 32 {
            return None;
        }
        let (salt, session, id) = (rest.get_i64_le(), rest.get_i64_le(), rest.get_i64_le());
        let (seq_no, length) = (rest.get_i32_le(), rest.get_u32_le() as usize);
        let padding = rest.len().checked_sub(length)?;
        if !length.is_multiple_of(4) || !(12..=1024).contains(&padding) {
            return None;
        }
        let body = rest.split_to(length);
        Some(Self {
            salt,
            session: MtSession(session),
            message: Message { id, seq_no, body },
        })
    }

    /// The plaintext, without padding.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.message.body.len());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.session.0.to_le_bytes());
        write_message(&self.message, &mut out);
        out
    }
}

fn write_message(message: &Message, out: &mut Vec<u8>) {
    out.extend_from_slice(&message.id.to_le_bytes());
    out.extend_from_slice(&message.seq_no.to_le_bytes());
    out.extend_from_slice(&(message.body.len() as u32).to_le_bytes());
    out.extend_from_slice(&message.body);
}

/// A container that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadContainer;

/// Whether the object is a container.
pub fn is_container(object: &[u8]) -> bool {
    constructor(object) == Some(CONTAINER)
}

/// The messages of a container.
pub fn open_container(object: &Bytes) -> Result<Vec<Message>, BadContainer> {
    let mut rest = object.slice(4..);
    let count = rest.try_get_u32_le().map_err(|_| BadContainer)? as usize;
    if count > MAX_CONTAINED {
        return Err(BadContainer);
    }
    let mut messages = Vec::with_capacity(count);
    for _ in 0..count {
        if rest.len() < 16 {
            return Err(BadContainer);
        }
        let (id, seq_no, length) = (rest.get_i64_le(), rest.get_i32_le(), rest.get_u32_le() as usize);
        if length > rest.len() || !length.is_multiple_of(4) {
            return Err(BadContainer);
        }
        let body = rest.split_to(length);
        if is_container(&body) {
            return Err(BadContainer);
        }
        messages.push(Message { id, seq_no, body });
    }
    Ok(messages)
}

/// A container's object.
pub fn container(messages: &[Message]) -> Bytes {
    let length: usize = messages.iter().map(|it| 16 + it.body.len()).sum();
    let mut out = Vec::with_capacity(8 + length);
    out.extend_from_slice(&CONTAINER.to_le_bytes());
    out.extend_from_slice(&(messages.len() as u32).to_le_bytes());
    messages
        .iter()
        .for_each(|message| write_message(message, &mut out));
    out.into()
}

/// An answer's object: it names the question and holds the result, packed if that pays.
pub fn rpc_result(question: i64, result: &[u8]) -> Bytes {
    let packed = pack(result);
    let result = packed.as_deref().unwrap_or(result);
    let mut out = Vec::with_capacity(12 + result.len());
    out.extend_from_slice(&RPC_RESULT.to_le_bytes());
    out.extend_from_slice(&question.to_le_bytes());
    out.extend_from_slice(result);
    out.into()
}

/// An error's answer. It is never packed: one client would take it for a result.
pub fn rpc_error(question: i64, code: i32, name: &str) -> Bytes {
    let error = tl::types::RpcError {
        error_code: code,
        error_message: name.to_owned(),
    };
    let mut out = Vec::with_capacity(32 + name.len());
    out.extend_from_slice(&RPC_RESULT.to_le_bytes());
    out.extend_from_slice(&question.to_le_bytes());
    tl::enums::RpcError::Error(error).serialize(&mut out);
    out.into()
}

/// An object as it is pushed: packed if that pays.
pub fn pushed(object: Vec<u8>) -> Bytes {
    pack(&object).unwrap_or(object).into()
}

fn pack(object: &[u8]) -> Option<Vec<u8>> {
    // The content of files does not shrink.
    let of_file = constructor(object) == Some(tl::types::upload::File::CONSTRUCTOR_ID);
    if object.len() < PACK_FROM || of_file {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(object).ok()?;
    let packed = encoder.finish().ok()?;
    let mut out = GZIP_PACKED.to_le_bytes().to_vec();
    packed.serialize(&mut out);
    (out.len() < object.len()).then_some(out)
}

/// How much a packet's data may still unpack to. A container of a thousand small bombs has no more than one big one.
#[derive(Debug)]
pub struct Room(AtomicU64);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicU64::new(MAX_UNPACKED))
    }
}

impl Room {
    /// What packed data holds; the object itself if it is not packed; nothing if it is broken or too long.
    pub fn unpack(&self, object: &Bytes) -> Option<Bytes> {
        if constructor(object) != Some(GZIP_PACKED) {
            return Some(object.clone());
        }
        let packed = Vec::<u8>::from_bytes(&object[4..]).ok()?;
        let left = self.0.load(Ordering::Relaxed);
        let mut out = Vec::new();
        // Some clients write the same stream under zlib's head, and Telegram takes it.
        let mut reader: Box<dyn Read> = match packed.starts_with(&GZIP_MAGIC) {
            true => Box::new(GzDecoder::new(&packed[..]).take(left + 1)),
            false => Box::new(ZlibDecoder::new(&packed[..]).take(left + 1)),
        };
        let read = reader.read_to_end(&mut out);
        // Broken data takes room as well: it was work.
        let taken = (out.len() as u64).min(left);
        self.0.fetch_sub(taken, Ordering::Relaxed);
        (read.ok()? as u64 <= left).then(|| out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i64, body: &'static [u8]) -> Message {
        Message {
            id,
            seq_no: 1,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        let envelope = Envelope {
            salt: -5,
            session: MtSession(9),
            message: message(4, b"abcdefgh"),
        };
        let mut plaintext = envelope.write();
        assert_eq!(Envelope::read(plaintext.clone()), None, "no padding");
        plaintext.extend_from_slice(&[0; 12]);
        assert_eq!(Envelope::read(plaintext.clone()), Some(envelope));
        plaintext[28] = 255;
        assert_eq!(Envelope::read(plaintext), None, "longer than the packet");
    }

    #[test]
    fn a_container_gives_its_messages_back() {
        let messages = vec![message(4, b"abcd"), message(8, b""), message(12, b"abcdefgh")];
        let object = container(&messages);
        assert!(is_container(&object));
        assert_eq!(open_container(&object), Ok(messages));
        assert_eq!(
            open_container(&object.slice(..object.len() - 4)),
            Err(BadContainer)
        );
        let nested = container(&[Message {
            id: 16,
            seq_no: 0,
            body: object,
        }]);
        assert_eq!(open_container(&nested), Err(BadContainer));
        assert_eq!(open_container(&Bytes::from_static(&[0; 4])), Err(BadContainer));
    }

    #[test]
    fn long_answers_are_packed_and_unpack_to_themselves() {
        let object = vec![7u8; 5000];
        let answer = rpc_result(44, &object);
        assert!(answer.len() < 500);
        assert_eq!(
            Room::default().unpack(&answer.slice(12..)).as_deref(),
            Some(&object[..])
        );
        let long = rpc_result(44, &vec![7u8; 1 << 20]);
        assert!(long.len() < 50_000, "however long it is");
        let mut file = tl::types::upload::File::CONSTRUCTOR_ID.to_le_bytes().to_vec();
        file.resize(5000, 7);
        assert_eq!(rpc_result(44, &file).len(), 5012, "files stay as they are");
        let random: Vec<u8> = (0..5000).map(|_| rand::random()).collect();
        assert_eq!(rpc_result(44, &random).len(), 5012, "packing does not pay");
        let broken = Bytes::from_static(b"\xa1\xcf\x72\x30\x03abc");
        assert_eq!(Room::default().unpack(&broken), None);
    }

    #[test]
    fn what_is_packed_under_zlib_s_head_is_read_too() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"a call of many words").expect("memory");
        let mut object = GZIP_PACKED.to_le_bytes().to_vec();
        encoder.finish().expect("memory").serialize(&mut object);
        assert_eq!(
            Room::default().unpack(&object.into()).as_deref(),
            Some(&b"a call of many words"[..])
        );
    }

    /// A packed object of so many mebibytes of nothing.
    fn bomb(mebibytes: usize) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..mebibytes {
            encoder.write_all(&vec![0; 1 << 20]).expect("memory");
        }
        let mut object = GZIP_PACKED.to_le_bytes().to_vec();
        encoder.finish().expect("memory").serialize(&mut object);
        object.into()
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        assert_eq!(Room::default().unpack(&bomb(20)), None);
    }

    #[test]
    fn many_small_bombs_have_no_more_room_than_one() {
        let (room, small) = (Room::default(), bomb(1));
        let unpacked = (0..1000).filter(|_| room.unpack(&small).is_some()).count();
        assert_eq!(unpacked, 8);
        assert!(
            room.unpack(&Bytes::from_static(b"bare")).is_some(),
            "what is not packed needs none"
        );
    }
}
