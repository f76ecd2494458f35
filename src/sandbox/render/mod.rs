//! The world in the schema's records, as one account sees it: its own message numbers, its own access
//! hashes, the other side of a private chat as the peer.
//!
//! Whatever names a user or a chat is rendered through a [`Viewer`], which remembers it, so that every
//! answer carries all users and chats it speaks of: in full, or reduced ("min") where only an update of a channel
//! or supergroup names them.

pub mod blank;
pub mod blank_full;
pub mod brief;
pub mod chats;
pub mod media;
pub mod messages;
pub mod min;
mod pages;
pub mod polls;
pub mod reactions;
mod replies;
pub mod rights;
pub mod standing;
pub mod updates;
mod weather;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use grammers_tl_types::{enums, types};

use super::world::{Peer, State};

/// How much of a user's or chat's record an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// What Telegram marks `min`.
    Min,
    /// All that the account may see.
    Full,
}

/// The world as one account sees it.
pub struct Viewer<'a> {
    /// The world.
    pub state: &'a State,
    /// Who looks.
    pub account: i64,
    detail: Cell<Detail>,
    named: RefCell<BTreeMap<Peer, Detail>>,
}

impl<'a> Viewer<'a> {
    /// A look at the world.
    pub fn new(state: &'a State, account: i64) -> Self {
        Self {
            state,
            account,
            detail: Cell::new(Detail::Full),
            named: RefCell::new(BTreeMap::new()),
        }
    }

    /// Renders an update of a channel or supergroup: whom nothing else names, it names with a reduced record.
    pub fn reduced<T>(&self, render: impl FnOnce(&Self) -> T) -> T {
        if !self.state.switches.min_peers.decides() {
            return render(self);
        }
        let before = self.detail.replace(Detail::Min);
        let rendered = render(self);
        self.detail.set(before);
        rendered
    }

    /// Whether this peer was named.
    pub fn has_named(&self, peer: Peer) -> bool {
        self.named.borrow().contains_key(&peer)
    }

    /// Names a peer: the answer will carry its record.
    pub fn name(&self, peer: Peer) -> enums::Peer {
        let detail = self.detail.get();
        self.named
            .borrow_mut()
            .entry(peer)
            .and_modify(|known| *known = detail.max(*known))
            .or_insert(detail);
        match peer {
            Peer::User(user_id) => types::PeerUser { user_id }.into(),
            Peer::Group(chat_id) => types::PeerChat { chat_id }.into(),
            Peer::Channel(channel_id) => types::PeerChannel { channel_id }.into(),
        }
    }

    /// A basic group that has become a supergroup names that one in its record.
    fn name_successors(&self) {
        let named: Vec<Peer> = self.named.borrow().keys().copied().collect();
        for peer in named {
            if let Peer::Group(id) = peer
                && let Some(channel) = self.state.groups.get(&id).and_then(|group| group.migrated_to)
            {
                self.name(Peer::Channel(channel));
            }
        }
    }

    /// The records of all users and chats named so far.
    pub fn named(&self) -> (Vec<enums::User>, Vec<enums::Chat>) {
        self.name_successors();
        let (mut users, mut chats) = (Vec::new(), Vec::new());
        for (peer, detail) in self.named.borrow().iter() {
            match peer {
                Peer::User(id) if *detail == Detail::Min => users.push(self.min_user(*id)),
                Peer::User(id) => users.push(self.user(*id)),
                Peer::Channel(id) if *detail == Detail::Min => chats.push(self.min_channel(*id)),
                Peer::Group(_) | Peer::Channel(_) => chats.push(self.chat(*peer)),
            }
        }
        (users, chats)
    }
}
