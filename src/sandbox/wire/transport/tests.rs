//! All transports over bytes: a client's side of each, played backwards by the server's own framing.

use bytes::BytesMut;
use proptest::prelude::*;

use super::obfuscated::{HEADER, Obfuscated};
use super::*;

/// Every framing.
pub const ALL: [Framing; 4] = [
    Framing::Full,
    Framing::Abridged,
    Framing::Intermediate,
    Framing::Padded,
];

/// A framing's tag in an obfuscated header.
pub fn tag(framing: Framing) -> [u8; 4] {
    match framing {
        Framing::Full => unreachable!("full is never obfuscated"),
        Framing::Abridged => [0xef; 4],
        Framing::Intermediate => [0xee; 4],
        Framing::Padded => [0xdd; 4],
    }
}

/// A client's header, and its ciphers after it.
pub fn header(random: [u8; 32], tag: [u8; 4]) -> ([u8; HEADER], Obfuscated) {
    let mut header = [7; HEADER];
    header[8..40].copy_from_slice(&random);
    let mut ciphers = Obfuscated::of(&header);
    let mut hidden = header;
    hidden[56..60].copy_from_slice(&tag);
    ciphers.from_client.apply(&mut hidden);
    header[56..].copy_from_slice(&hidden[56..]);
    (header, ciphers)
}

/// Packets as there are: plain ones name their length, encrypted ones end with a whole block.
fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let plain = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|mut body| {
        body.resize(body.len() / 4 * 4, 0);
        [&[0; 16][..], &(body.len() as u32).to_le_bytes(), &body].concat()
    });
    let encrypted = (1u64.., 1usize..60).prop_map(|(key, blocks)| {
        let mut packet = key.to_le_bytes().to_vec();
        packet.resize(24 + blocks * 16, 0x5a);
        packet
    });
    proptest::collection::vec(prop_oneof![plain, encrypted], 1..6)
}

/// The client's beginning, its writing half and its reading half.
pub fn client(framing: Framing, random: Option<[u8; 32]>) -> (Vec<u8>, Writing, Reading) {
    let (start, ciphers) = match (framing, random) {
        (Framing::Full, _) => (Vec::new(), None),
        (_, Some(random)) => {
            let (header, ciphers) = header(random, tag(framing));
            (header.to_vec(), Some(ciphers))
        }
        (Framing::Abridged, None) => (vec![0xef], None),
        (_, None) => (tag(framing).to_vec(), None),
    };
    // A client writes with the cipher that the server reads with.
    let ciphers = ciphers.map(|it| Obfuscated {
        from_client: it.to_client,
        to_client: it.from_client,
    });
    let (reading, writing) = Transport { framing, ciphers }.split();
    (start, writing, reading)
}

fn read_all(reading: &mut Reading, buffer: &mut BytesMut) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some(packet) = reading.next(buffer).expect("sound frames") {
        // What follows a plain message's named length is the padding.
        let plain = packet[..8] == [0; 8];
        let end = match plain {
            true => 20 + u32::from_le_bytes(packet[16..20].try_into().expect("four")) as usize,
            false => packet.len(),
        };
        found.push(packet[..end].to_vec());
    }
    found
}

proptest! {
    #[test]
    fn packets_survive_any_cutting_of_the_stream(
        framing in proptest::sample::select(&ALL[..]),
        random in proptest::option::of(proptest::array::uniform32(any::<u8>())),
        sent in packets(),
        answered in packets(),
        cut in 1usize..90,
    ) {
        let (mut stream, mut write, mut read) = client(framing, random);
        sent.iter().for_each(|packet| write.packet(packet, &mut stream));

        let mut buffer = BytesMut::new();
        let mut server: Option<(Reading, Writing)> = None;
        let mut found = Vec::new();
        for piece in stream.chunks(cut) {
            buffer.extend_from_slice(piece);
            if server.is_none() && let Detected::Is(transport) = detect(&mut buffer) {
                prop_assert_eq!(transport.framing, framing);
                server = Some(transport.split());
            }
            if let Some((reading, _)) = &mut server {
                found.extend(read_all(reading, &mut buffer));
            }
        }
        prop_assert_eq!(found, sent);
        prop_assert!(buffer.is_empty());

        let (_, mut writing) = server.expect("detected");
        let mut stream = Vec::new();
        answered.iter().for_each(|packet| writing.packet(packet, &mut stream));
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in stream.chunks(cut) {
            buffer.extend_from_slice(piece);
            found.extend(read_all(&mut read, &mut buffer));
        }
        prop_assert_eq!(found, answered);
    }

    #[test]
    fn no_bytes_make_a_reader_stumble_or_hoard(
        framing in proptest::sample::select(&ALL[..]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 1usize..90,
    ) {
        let (mut reading, _) = Transport::plain(framing).split();
        let mut buffer = BytesMut::new();
        'stream: for piece in bytes.chunks(cut) {
            buffer.extend_from_slice(piece);
            loop {
                match reading.next(&mut buffer) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
            prop_assert!(buffer.capacity() <= 2 * (MAX_PACKET + 32));
        }
    }
}

#[test]
fn lengths_are_judged_before_anything_is_buffered() {
    let too_long = (MAX_PACKET as u32 + 16).to_le_bytes();
    for (framing, head) in [
        (Framing::Intermediate, too_long),
        (Framing::Padded, too_long),
        (Framing::Abridged, [0x7f, 0xff, 0xff, 0xff]),
    ] {
        let (mut reading, _) = Transport::plain(framing).split();
        let found = reading.next(&mut BytesMut::from(&head[..]));
        assert!(matches!(found, Err(FrameError::Length(_))), "{framing:?}");
    }
}

#[test]
fn a_wish_for_a_quick_acknowledgement_is_no_length() {
    let payload = [9; 40];
    for (framing, head) in [
        (Framing::Abridged, &[0x8a][..]),
        (Framing::Abridged, &[0xff, 10, 0, 0][..]),
        (Framing::Intermediate, &[40, 0, 0, 0x80][..]),
        (Framing::Padded, &[40, 0, 0, 0x80][..]),
    ] {
        let (mut reading, _) = Transport::plain(framing).split();
        let mut buffer = BytesMut::from(&[head, &payload].concat()[..]);
        let found = reading.next(&mut buffer).expect("sound");
        assert_eq!(found.as_deref(), Some(&payload[..]), "{framing:?}");
    }
}

#[test]
fn an_error_has_the_form_that_clients_look_for() {
    let code = (-404i32).to_le_bytes();
    for (framing, head) in [
        (Framing::Full, &[][..]),
        (Framing::Abridged, &[1][..]),
        (Framing::Intermediate, &[4, 0, 0, 0][..]),
        (Framing::Padded, &[4, 0, 0, 0][..]),
    ] {
        let (_, mut writing) = Transport::plain(framing).split();
        let mut out = Vec::new();
        writing.error(-404, &mut out);
        assert_eq!(out, [head, &code].concat(), "{framing:?}");
    }
}
