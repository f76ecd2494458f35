//! Which transport a client speaks, by its first bytes. A further transport is a further branch here.

use super::{Full, Transport};

/// What the first bytes tell.
pub enum Detected {
    /// Too few bytes to tell.
    More,
    /// This transport; nothing of the bytes is consumed.
    Is(Transport),
    /// None that is spoken here.
    Unknown,
}

/// Looks at a connection's first bytes.
pub fn detect(first: &[u8]) -> Detected {
    let Some(head) = first.first_chunk::<8>() else {
        return Detected::More;
    };
    // A full transport's first packet has sequence number 0 in its second word; no other begins so.
    if head[4..] == [0; 4] {
        Detected::Is(Transport::Full(Full::new()))
    } else {
        Detected::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_known_by_its_first_sequence_number() {
        assert!(matches!(
            detect(&[0x34, 0, 0, 0, 0, 0, 0, 0]),
            Detected::Is(Transport::Full(_))
        ));
        assert!(matches!(detect(&[0x34, 0, 0, 0, 0, 0, 0]), Detected::More));
    }

    #[test]
    fn a_web_browser_is_not_ours() {
        assert!(matches!(detect(b"GET / HTTP/1.1\r\n"), Detected::Unknown));
    }
}
