//! Clients of an older layer than the schema's: what they write is read, and what they are written they read.
//!
//! Telegram speaks to every client in the layer that it named in `invokeWithLayer`. From [`OLDEST`] on, what the
//! sandbox takes and gives differs from the schema in the numbers of a few constructors only: their newer fields
//! are flags that the sandbox never sets. So numbers are exchanged and all else stays. Not promised: that this
//! holds for what the sandbox does not send today; a client of the oldest layer in `tests/interop` watches over it.

use grammers_tl_types::{Identifiable, LAYER, functions as f, types};

use super::world::Peer;

/// The oldest layer that is served.
pub const OLDEST: i32 = 227;

/// Methods under the number that they had up to a layer: that layer, the number, the schema's number.
const METHODS: [(i32, u32, u32); 1] = [(227, 0x4bc6_589a, f::messages::SearchGlobal::CONSTRUCTOR_ID)];

/// Records that are written with another number up to a layer: that layer, the schema's number, the older one.
const USER: (i32, u32, u32) = (227, types::User::CONSTRUCTOR_ID, 0x3177_4388);
const CHANNEL: (i32, u32, u32) = (227, types::Channel::CONSTRUCTOR_ID, 0x1c32_b11c);

/// Whether clients of this layer are served.
pub fn serves(layer: i32) -> bool {
    (OLDEST..=LAYER).contains(&layer)
}

/// Gives a call of a client of that layer the number by which the schema knows it.
pub fn read(layer: i32, call: &mut [u8]) {
    if let Some(number) = call.first_chunk_mut::<4>() {
        let named = u32::from_le_bytes(*number);
        let known = METHODS.iter().find(|it| layer <= it.0 && it.1 == named);
        if let Some((_, _, new)) = known {
            *number = new.to_le_bytes();
        }
    }
}

/// Rewrites what was serialised for a client of that layer. A number counts as a record's only where the id of
/// somebody that exists follows it: files and texts may hold any bytes.
pub fn write(layer: i32, bytes: &mut [u8], exists: impl Fn(Peer) -> bool) {
    if layer > USER.0.max(CHANNEL.0) {
        return;
    }
    // Both records begin alike: number, two words of flags, id.
    for at in (0..bytes.len().saturating_sub(19)).step_by(4) {
        let (user, channel) = match bytes[at..].first_chunk::<4>() {
            Some(word) => {
                let word = u32::from_le_bytes(*word);
                (word == USER.1, word == CHANNEL.1)
            }
            None => return,
        };
        if !(user || channel) {
            continue;
        }
        let Some(id) = bytes[at + 12..].first_chunk::<8>() else {
            return;
        };
        let id = i64::from_le_bytes(*id);
        let (peer, older) = if user {
            (Peer::User(id), USER.2)
        } else {
            (Peer::Channel(id), CHANNEL.2)
        };
        if exists(peer) {
            bytes[at..at + 4].copy_from_slice(&older.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Serializable, enums};

    use super::super::render::blank;
    use super::*;

    fn people() -> Vec<u8> {
        let users: Vec<enums::User> = vec![blank::user(7).into(), blank::user(8).into()];
        let chats: Vec<enums::Chat> = vec![blank::channel(9, "nine".into()).into()];
        let mut bytes = users.to_bytes();
        bytes.extend(chats.to_bytes());
        bytes
    }

    fn count(bytes: &[u8], number: u32) -> usize {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .filter(|it| u32::from_le_bytes(**it) == number)
            .count()
    }

    #[test]
    fn an_older_client_reads_the_records_that_it_knows() {
        let mut bytes = people();
        write(227, &mut bytes, |_| true);
        assert_eq!((count(&bytes, USER.1), count(&bytes, USER.2)), (0, 2));
        assert_eq!((count(&bytes, CHANNEL.1), count(&bytes, CHANNEL.2)), (0, 1));
    }

    #[test]
    fn a_newer_client_gets_the_schema_s_own_and_strangers_bytes_stay() {
        let mut bytes = people();
        write(228, &mut bytes, |_| true);
        assert_eq!(bytes, people());
        write(227, &mut bytes, |peer| peer == Peer::User(8));
        assert_eq!((count(&bytes, USER.1), count(&bytes, USER.2)), (1, 1));
        assert_eq!(count(&bytes, CHANNEL.2), 0);
        write(227, &mut [1, 2, 3], |_| true);
    }

    #[test]
    fn an_older_call_is_known_by_its_newer_number() {
        let mut call = 0x4bc6_589au32.to_le_bytes().to_vec();
        read(228, &mut call);
        assert_eq!(call, 0x4bc6_589au32.to_le_bytes());
        read(227, &mut call);
        assert_eq!(call, f::messages::SearchGlobal::CONSTRUCTOR_ID.to_le_bytes());
        read(227, &mut []);
    }
}
