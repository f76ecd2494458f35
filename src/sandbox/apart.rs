//! Parts of an album, which Telegram does not tell as one thing: each comes in a container of its own, a moment after
//! the one before it, now and then much later, and a difference may end between two of them. What others say meanwhile
//! is told as it comes.
//!
//! When a part is told is drawn from the world's secret and the part, so that a world has the same again. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::rpc::KeyId;
use super::world::content::Content;
use super::world::{News, Peer, State};

/// What these draws are made with.
const OF_PARTS: u64 = 94;

/// So many albums are remembered before those that are told are forgotten.
const MANY: usize = 1024;

/// When the last part of an album was told to each login, or will be: milliseconds since the epoch.
#[derive(Debug, Default)]
pub struct Apart {
    last: HashMap<(KeyId, i64), i64>,
}

impl Apart {
    /// How long a login waits for a part of an album after a part of it; none for the first one, and for what is no
    /// part.
    pub fn wait(&mut self, state: &State, key: KeyId, content: &Content) -> Option<Duration> {
        let album = content.album.filter(|_| state.switches.albums_apart.decides())?;
        let now = state.now;
        if self.last.len() >= MANY {
            self.last
                .retain(|_, last| *last + state.settings.album_gap >= now);
        }
        let Some(last) = self.last.get_mut(&(key, album)) else {
            self.last.insert((key, album), now);
            return None;
        };
        *last = now.max(*last + gap(state, content));
        Some(Duration::from_millis(u64::try_from(*last - now).unwrap_or(0)))
    }
}

/// The milliseconds between a part and the one before it: little mostly, now and then up to all that is set.
fn gap(state: &State, content: &Content) -> i64 {
    let most = state.settings.album_gap;
    let drawn = state.derive(OF_PARTS, content.album.unwrap_or(0), content.uid.cast_signed());
    let (rarely, drawn) = (drawn & 3 == 0, (drawn >> 2).rem_euclid(most.max(0) + 1));
    match rarely {
        true => most / 4 + drawn * 3 / 4,
        false => drawn / 16,
    }
}

/// The message that a piece of news brings, if it is a new one.
pub fn brought<'a>(state: &'a State, account: i64, news: &News) -> Option<&'a Content> {
    match news {
        News::Channel { channel, entry } => state.find(account, Peer::Channel(*channel), entry.brings()?),
        News::Account { entry, .. } => state.held(account, entry.brings()?),
        _ => None,
    }
}

/// Whether a difference may end between two messages that follow each other, because they are parts of one album.
pub fn parts(state: &State, one: Option<&Content>, next: Option<&Content>) -> bool {
    let (Some(one), Some(next)) = (one, next) else {
        return false;
    };
    let same = one.album.is_some() && one.album == next.album;
    let drawn = || state.derive(OF_PARTS, next.uid.cast_signed(), one.uid.cast_signed());
    same && drawn() % 2 == 0 && state.switches.albums_apart.decides()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::acts::{NewFile, NewMessage, NewPart, NewUser};
    use crate::sandbox::world::content::Uid;

    /// A world with an album of ten parts.
    fn album() -> (State, Vec<Uid>) {
        let mut state = State::new(7);
        let mut user = || {
            let first_name = "A".into();
            let new = NewUser {
                first_name,
                ..NewUser::default()
            };
            state.new_user(new).expect("a user")
        };
        let (ann, bob) = (user(), user());
        let photo = NewFile {
            generate: Some(1),
            ..NewFile::default()
        };
        let part = NewPart {
            photo: Some(photo),
            ..NewPart::default()
        };
        let new = NewMessage {
            album: vec![part; 10],
            ..NewMessage::text(ann, "")
        };
        let uids = state.new_message(Peer::User(bob), new).expect("posted");
        (state, uids)
    }

    #[test]
    fn parts_come_one_after_the_other_and_now_and_then_late() {
        let (mut state, uids) = album();
        let waits = |state: &State, key| -> Vec<_> {
            let mut apart = Apart::default();
            let wait = |uid| apart.wait(state, KeyId(key), &state.contents[uid]);
            uids.iter().map(wait).collect()
        };
        let told = waits(&state, 1);
        assert_eq!(told[0], None, "the first is told at once");
        let told: Vec<Duration> = told.into_iter().flatten().collect();
        assert!(told.len() == 9 && told.is_sorted());
        let gaps = told.windows(2).map(|two| two[1] - two[0]);
        let late = gaps.filter(|gap| *gap >= Duration::from_millis(500)).count();
        assert!((1..6).contains(&late), "{told:?}");
        assert_eq!(waits(&state, 2), waits(&state, 1), "the same for each login");
        state.switches.albums_apart.turn(false);
        assert_eq!(waits(&state, 1), [None; 10]);
    }

    #[test]
    fn a_difference_may_end_between_parts_and_nowhere_else() {
        let (mut state, uids) = album();
        let ends = |state: &State| {
            let contents: Vec<_> = uids.iter().map(|uid| state.contents.get(uid)).collect();
            let ends = contents.windows(2).filter(|two| parts(state, two[0], two[1]));
            ends.count()
        };
        assert!((1..9).contains(&ends(&state)));
        assert!(!parts(&state, state.contents.get(&uids[0]), None));
        if let Some(content) = state.contents.get_mut(&uids[1]) {
            content.album = None;
        }
        assert!(!parts(
            &state,
            state.contents.get(&uids[0]),
            state.contents.get(&uids[1])
        ));
        state.switches.albums_apart.turn(false);
        assert_eq!(ends(&state), 0);
    }
}
