//! The archive: a second list of chats beside the main one, each account's own. Not promised: that a chat leaves it when
//! something is said there, as one does that is not muted; nor pins within it.

use super::account::{Account, What};
use super::place::Peer;
use super::refusal::Refusal;
use super::state::State;

/// The number of the archive; the main list is 0.
pub const ARCHIVE: i32 = 1;

impl Account {
    /// Whether a chat is in one of its lists.
    pub fn lists(&self, peer: Peer) -> bool {
        match peer {
            Peer::Channel(id) => self.channels.contains(&id),
            peer => self.dialogs.contains_key(&peer),
        }
    }

    /// A channel is in no list any more. Answers whether it was.
    pub(super) fn leave(&mut self, channel: i64) -> bool {
        self.archived.remove(&Peer::Channel(channel));
        self.channels.remove(&channel)
    }
}

impl State {
    /// Whether a chat is in an account's archive.
    pub fn is_archived(&self, account: i64, peer: Peer) -> bool {
        let known = self.accounts.get(&account);
        known.is_some_and(|known| known.archived.contains(&peer))
    }

    /// Moves chats of an account into lists: the main one or the archive. Tells what has moved.
    pub fn move_to_lists(&mut self, account: i64, moves: &[(Peer, i32)]) -> Result<(), Refusal> {
        if moves.iter().any(|(_, list)| !matches!(*list, 0 | ARCHIVE)) {
            return Err(Refusal::bad("FOLDER_ID_INVALID"));
        }
        let known = self.account(account)?;
        if !moves.iter().all(|(peer, _)| known.lists(*peer)) {
            return Err(Refusal::bad("CHAT_ID_INVALID"));
        }
        let account_now = self.account_mut(account)?;
        let mut moved = Vec::new();
        for (peer, list) in moves {
            let changed = match *list == ARCHIVE {
                true => account_now.archived.insert(*peer),
                false => account_now.archived.remove(peer),
            };
            if changed {
                account_now.pinned_dialogs.retain(|pinned| pinned != peer);
                moved.push((*peer, *list));
            }
        }
        let count = i32::try_from(moved.len()).unwrap_or(i32::MAX);
        if count > 0 {
            self.tell(account, count, What::Moved { chats: moved });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::chat::Role;
    use super::*;

    #[test]
    fn who_leaves_a_channel_has_it_in_no_archive() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        let id = state
            .add_channel(None, ann, "News", true, &[])
            .expect("a channel");
        state.assign(ann, id, bob, Role::Member).expect("a member");
        let peer = Peer::Channel(id);
        state.move_to_lists(bob, &[(peer, ARCHIVE)]).expect("moved");
        state.assign(bob, id, bob, Role::Left).expect("left");
        assert!(!state.is_archived(bob, peer));
        state.assign(ann, id, bob, Role::Member).expect("back");
        assert!(!state.is_archived(bob, peer), "it comes back into the main list");
    }
}
