//! A second opinion on an auth key: one ping under it, over a connection of its own.
//!
//! A server that says "404" may be mistaken for a moment, and a login is not thrown away for one word. The answer is
//! not read but for what it is: something encrypted, or a transport error, bare or framed. Nothing is stored. Whoever
//! asks has no other connection open under the key.

use std::net::SocketAddr;
use std::time::Duration;

use grammers_client::tl::{Serializable, functions::Ping};
use grammers_crypto::DequeBuffer;
use grammers_mtproto::mtp::{Encrypted, Mtp};
use grammers_mtproto::transport::{Full, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The transport error of a key that the server does not know.
const NOT_FOUND: i32 = -404;
/// The part of a packet before its payload: length and sequence number.
const HEAD: usize = 8;
/// Length, sequence number and checksum around a framed transport error, and the error.
const FRAMED_ERROR: i32 = 16;
/// What an encrypted packet needs before and around its content.
const ROOM: usize = 256;

/// What a server says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It answers under it.
    Known,
    /// It does not know it.
    Unknown,
    /// It was not to be had, or said something else.
    None,
}

/// Asks the server at `address` about a key, for so long.
pub(super) async fn ask(address: SocketAddr, key: [u8; 256], patience: Duration) -> Opinion {
    match timeout(patience, answer(address, key)).await {
        Ok(Ok(opinion)) => opinion,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no opinion on a key");
            Opinion::None
        }
        Err(_) => Opinion::None,
    }
}

async fn answer(address: SocketAddr, key: [u8; 256]) -> std::io::Result<Opinion> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&ping(key)).await?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head[..4]).await?;
    let length = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    if length != FRAMED_ERROR {
        return Ok(opinion(length, None));
    }
    stream.read_exact(&mut head[4..]).await?;
    let code = stream.read_i32_le().await?;
    Ok(opinion(length, Some(code)))
}

/// One ping under the key, as a whole packet.
fn ping(key: [u8; 256]) -> Vec<u8> {
    let mut mtp = Encrypted::build().finish(key);
    let mut buffer = DequeBuffer::with_capacity(ROOM, ROOM);
    let ping_id = crate::base::Timestamp::now().0;
    mtp.push(&mut buffer, &Ping { ping_id }.to_bytes());
    mtp.finalize(&mut buffer);
    Full::new().pack(&mut buffer);
    buffer[..].to_vec()
}

/// What the length of an answer says, and the code in a packet that has room for no more.
fn opinion(length: i32, framed: Option<i32>) -> Opinion {
    match framed.unwrap_or(length) {
        NOT_FOUND => Opinion::Unknown,
        code if code < 0 => Opinion::None,
        length if length > FRAMED_ERROR => Opinion::Known,
        _ => Opinion::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_404_is_known_in_both_of_its_forms() {
        assert_eq!(opinion(-404, None), Opinion::Unknown);
        assert_eq!(opinion(FRAMED_ERROR, Some(-404)), Opinion::Unknown);
        assert_eq!(opinion(-429, None), Opinion::None);
        assert_eq!(opinion(FRAMED_ERROR, Some(-429)), Opinion::None);
        assert_eq!(opinion(120, None), Opinion::Known);
    }

    #[test]
    fn a_ping_is_one_encrypted_packet() {
        let packet = ping([7; 256]);
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], packet[3]]) as usize;
        assert_eq!(length, packet.len());
        let id = sha1::Sha1::digest([7; 256]);
        assert_eq!(packet[HEAD..HEAD + 8], id[12..]);
    }

    use sha1::Digest;
}
