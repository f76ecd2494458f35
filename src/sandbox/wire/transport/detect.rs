//! Which transport a client speaks, by its first bytes; the only place that knows the tags of all.

use bytes::{Buf, BytesMut};

use super::obfuscated::{HEADER, Obfuscated};
use super::{Framing, Transport, abridged, intermediate};

/// How a web browser or a TLS client begins: never a client of ours, and never an obfuscated header.
const FOREIGN: [[u8; 4]; 5] = [*b"HEAD", *b"POST", *b"GET ", *b"OPTI", [0x16, 3, 1, 2]];

/// What the first bytes tell.
pub enum Detected {
    /// Too few bytes to tell.
    More,
    /// This transport; what announced it is taken out of the bytes.
    Is(Transport),
    /// None that is spoken here.
    Unknown,
}

/// Looks at a connection's first bytes.
pub fn detect(first: &mut BytesMut) -> Detected {
    if first.first() == Some(&abridged::TAG) {
        first.advance(1);
        return Detected::Is(Transport::plain(Framing::Abridged));
    }
    let Some(word) = first.first_chunk::<4>() else {
        return Detected::More;
    };
    if let Some(framing) = tagged(word) {
        first.advance(4);
        return Detected::Is(Transport::plain(framing));
    }
    if FOREIGN.contains(word) {
        return Detected::Unknown;
    }
    let Some(head) = first.first_chunk::<8>() else {
        return Detected::More;
    };
    // A full transport's first packet has sequence number 0 in its second word; no other begins so.
    if head[4..] == [0; 4] {
        return Detected::Is(Transport::plain(Framing::Full));
    }
    let Some(header) = first.first_chunk::<HEADER>() else {
        return Detected::More;
    };
    let (ciphers, tag) = Obfuscated::open(header);
    match tagged(&tag) {
        Some(framing) => {
            first.advance(HEADER);
            Detected::Is(Transport::obfuscated(framing, ciphers))
        }
        None => Detected::Unknown,
    }
}

/// The framing with this tag of four bytes; the abridged one's is its single byte, repeated.
fn tagged(tag: &[u8; 4]) -> Option<Framing> {
    match *tag {
        intermediate::TAG => Some(Framing::Intermediate),
        intermediate::PADDED_TAG => Some(Framing::Padded),
        [abridged::TAG, abridged::TAG, abridged::TAG, abridged::TAG] => Some(Framing::Abridged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sandbox::wire::transport::tests::{header, tag};

    fn found(bytes: &[u8]) -> (Detected, usize) {
        let mut buffer = BytesMut::from(bytes);
        let detected = detect(&mut buffer);
        (detected, bytes.len() - buffer.len())
    }

    #[test]
    fn full_is_known_by_its_first_sequence_number() {
        let first = [0x34, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(found(&first), (Detected::Is(it), 0) if it.framing == Framing::Full));
        assert!(matches!(found(&first[..7]), (Detected::More, 0)));
    }

    #[test]
    fn tags_are_taken_out_and_what_follows_is_left() {
        for (framing, tag) in [
            (Framing::Abridged, &[0xef][..]),
            (Framing::Intermediate, &[0xee; 4][..]),
            (Framing::Padded, &[0xdd; 4][..]),
        ] {
            let stream = [tag, &[40, 0, 0, 0, 0, 0, 0, 0]].concat();
            let (detected, taken) = found(&stream);
            assert!(matches!(detected, Detected::Is(it) if it.framing == framing));
            assert_eq!(taken, tag.len());
        }
    }

    #[test]
    fn a_web_browser_is_not_ours() {
        assert!(matches!(found(b"GET / HTTP/1.1\r\n").0, Detected::Unknown));
        assert!(matches!(found(&[0x16, 3, 1, 2, 0, 1]).0, Detected::Unknown));
    }

    proptest! {
        #[test]
        fn an_obfuscated_header_tells_its_framing_once_it_is_whole(
            random in proptest::array::uniform32(any::<u8>()),
            which in 0usize..3,
            short in 8usize..64,
        ) {
            let framing = [Framing::Abridged, Framing::Intermediate, Framing::Padded][which];
            let (header, _) = header(random, tag(framing));
            prop_assert!(matches!(found(&header[..short]), (Detected::More, 0)));
            let (detected, taken) = found(&header);
            prop_assert!(matches!(detected, Detected::Is(it) if it.framing == framing));
            prop_assert_eq!(taken, HEADER);
        }

        #[test]
        fn no_bytes_make_it_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (detected, taken) = found(&bytes);
            prop_assert!(taken <= HEADER);
            // 64 bytes always tell.
            prop_assert!(bytes.len() < HEADER || !matches!(detected, Detected::More));
        }
    }
}
