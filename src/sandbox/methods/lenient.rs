//! Requests that name a peer where the schema wants a user or a channel.
//!
//! Telegram takes these, as clients in wide use rely on; no document says so. Both forms are laid out alike and
//! differ in their constructors only.

use grammers_tl_types::{Identifiable, types as t};

/// The peers' constructors, and those of what may be wanted instead.
const SAME: [(u32, u32); 3] = [
    (t::InputPeerUser::CONSTRUCTOR_ID, t::InputUser::CONSTRUCTOR_ID),
    (
        t::InputPeerChannel::CONSTRUCTOR_ID,
        t::InputChannel::CONSTRUCTOR_ID,
    ),
    (t::InputPeerSelf::CONSTRUCTOR_ID, t::InputUserSelf::CONSTRUCTOR_ID),
];

/// More peers than any such request names, and longer than any such request is: each peer is a further try to read
/// the whole.
const MAX_PEERS: usize = 256;
const MAX_LENGTH: usize = 64 << 10;

/// Reads parameters that could not be read as they are: with all peers changed, else with one of them.
pub fn read<T>(parameters: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    if parameters.len() > MAX_LENGTH {
        return None;
    }
    let words = parameters.as_chunks::<4>().0;
    let wanted = |word: &[u8; 4]| {
        let found = u32::from_le_bytes(*word);
        SAME.iter()
            .find(|(peer, _)| *peer == found)
            .map(|(_, wanted)| *wanted)
    };
    let places: Vec<(usize, u32)> = words
        .iter()
        .enumerate()
        .filter_map(|(at, word)| wanted(word).map(|wanted| (at * 4, wanted)))
        .collect();
    let changed = |places: &[(usize, u32)]| {
        let mut bytes = parameters.to_vec();
        for (at, wanted) in places {
            bytes[*at..at + 4].copy_from_slice(&wanted.to_le_bytes());
        }
        read(&bytes)
    };
    if places.is_empty() || places.len() > MAX_PEERS {
        return None;
    }
    changed(&places).or_else(|| places.chunks(1).find_map(changed))
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Deserializable, Serializable, enums, functions::channels as f};

    use super::*;

    fn channel() -> enums::InputPeer {
        t::InputPeerChannel {
            channel_id: 5,
            access_hash: 6,
        }
        .into()
    }

    fn user() -> enums::InputPeer {
        t::InputPeerUser {
            user_id: 7,
            access_hash: 8,
        }
        .into()
    }

    #[test]
    fn peers_stand_for_a_channel_and_its_users() {
        let mut bytes = channel().to_bytes();
        bytes.extend(vec![user(), user()].to_bytes());
        assert!(f::InviteToChannel::from_bytes(&bytes).is_err());
        let found = read(&bytes, |it| f::InviteToChannel::from_bytes(it).ok()).expect("read");
        assert!(matches!(&found.channel, enums::InputChannel::Channel(it) if it.channel_id == 5));
        assert_eq!(found.users.len(), 2);
    }

    #[test]
    fn a_peer_that_is_wanted_stays_one() {
        let mut bytes = channel().to_bytes();
        bytes.extend(user().to_bytes());
        let found = read(&bytes, |it| f::GetParticipant::from_bytes(it).ok()).expect("read");
        assert_eq!(found.participant, user());
    }

    #[test]
    fn what_is_no_peer_is_not_read() {
        assert!(read(&[1; 40], |it| f::GetParticipant::from_bytes(it).ok()).is_none());
    }
}
