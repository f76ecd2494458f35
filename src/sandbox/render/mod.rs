//! The world in the schema's records, as one account sees it: its own message numbers, its own access
//! hashes, the other side of a private chat as the peer.
//!
//! Whatever names a user or a chat is rendered through a [`Viewer`], which remembers it, so that every
//! answer carries all users and chats it speaks of, in full ("min" records are never made).

pub mod blank;
pub mod blank_full;
pub mod chats;
pub mod media;
pub mod messages;
pub mod polls;
pub mod reactions;
pub mod updates;

use std::cell::RefCell;
use std::collections::BTreeSet;

use grammers_tl_types::{enums, types};

use super::world::{Peer, State};

/// The world as one account sees it.
pub struct Viewer<'a> {
    /// The world.
    pub state: &'a State,
    /// Who looks.
    pub account: i64,
    named: RefCell<BTreeSet<Peer>>,
}

impl<'a> Viewer<'a> {
    /// A look at the world.
    pub fn new(state: &'a State, account: i64) -> Self {
        Self {
            state,
            account,
            named: RefCell::new(BTreeSet::new()),
        }
    }

    /// Names a peer: the answer will carry its record.
    pub fn name(&self, peer: Peer) -> enums::Peer {
        self.named.borrow_mut().insert(peer);
        match peer {
            Peer::User(user_id) => types::PeerUser { user_id }.into(),
            Peer::Group(chat_id) => types::PeerChat { chat_id }.into(),
            Peer::Channel(channel_id) => types::PeerChannel { channel_id }.into(),
        }
    }

    /// The records of all users and chats named so far.
    pub fn named(&self) -> (Vec<enums::User>, Vec<enums::Chat>) {
        let (mut users, mut chats) = (Vec::new(), Vec::new());
        for peer in self.named.borrow().iter() {
            match peer {
                Peer::User(id) => users.push(self.user(*id)),
                Peer::Group(_) | Peer::Channel(_) => chats.push(self.chat(*peer)),
            }
        }
        (users, chats)
    }
}
