//! The archive: a second list of chats beside the main one, each account's own. Not promised: that a chat leaves it when
//! something is said there, as one does that is not muted; nor pins within it.

use super::account::What;
use super::place::Peer;
use super::refusal::Refusal;
use super::state::State;

/// The number of the archive; the main list is 0.
pub const ARCHIVE: i32 = 1;

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
        let listed = |peer: &Peer| match peer {
            Peer::Channel(id) => known.channels.contains(id),
            peer => known.dialogs.contains_key(peer),
        };
        if !moves.iter().all(|(peer, _)| listed(peer)) {
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
