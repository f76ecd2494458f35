//! Where messages live, and how the numbers of the Bot API and of Telegram's schema lead to each other.
//!
//! A [`Place`] is a conversation as the world sees it; a [`Peer`] is what one account calls it. The
//! two differ for private chats only: there each side names the other one.

use serde::{Deserialize, Serialize};

/// What channel numbers are subtracted from in the Bot API's numbering.
const CHANNEL_OFFSET: i64 = -1_000_000_000_000;

/// A conversation as one account names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// The private chat with this user.
    User(i64),
    /// A basic group.
    Group(i64),
    /// A supergroup or a channel.
    Channel(i64),
}

impl Peer {
    /// The number the Bot API would give it.
    pub fn bot_api(self) -> i64 {
        match self {
            Peer::User(id) => id,
            Peer::Group(id) => -id,
            Peer::Channel(id) => CHANNEL_OFFSET - id,
        }
    }

    /// The peer behind a number of the Bot API; `None` for 0.
    pub fn from_bot_api(number: i64) -> Option<Self> {
        match number {
            0 => None,
            n if n > 0 => Some(Peer::User(n)),
            n if n < CHANNEL_OFFSET => Some(Peer::Channel(CHANNEL_OFFSET - n)),
            n => Some(Peer::Group(-n)),
        }
    }
}

/// A conversation as the world knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// Two users, the lower number first; the same number twice is a user's saved messages.
    Private(i64, i64),
    /// A basic group.
    Group(i64),
    /// A supergroup or a channel.
    Channel(i64),
}

impl Place {
    /// The place that `account` calls `peer`.
    pub fn of(account: i64, peer: Peer) -> Self {
        match peer {
            Peer::User(other) => Place::Private(account.min(other), account.max(other)),
            Peer::Group(id) => Place::Group(id),
            Peer::Channel(id) => Place::Channel(id),
        }
    }

    /// What `account` calls it.
    pub fn seen_by(self, account: i64) -> Peer {
        match self {
            Place::Private(low, high) if low == account => Peer::User(high),
            Place::Private(low, _) => Peer::User(low),
            Place::Group(id) => Peer::Group(id),
            Place::Channel(id) => Peer::Channel(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bot_api_numbers_lead_back() {
        for peer in [Peer::User(7), Peer::Group(7), Peer::Channel(1_500_000_001)] {
            assert_eq!(Peer::from_bot_api(peer.bot_api()), Some(peer));
        }
        assert_eq!(Peer::Channel(1_500_000_001).bot_api(), -1_001_500_000_001);
        assert_eq!(Peer::from_bot_api(0), None);
    }

    #[test]
    fn each_side_of_a_private_chat_names_the_other() {
        let place = Place::of(9, Peer::User(4));
        assert_eq!(place, Place::of(4, Peer::User(9)));
        assert_eq!(place.seen_by(9), Peer::User(4));
        assert_eq!(place.seen_by(4), Peer::User(9));
        assert_eq!(Place::of(4, Peer::User(4)).seen_by(4), Peer::User(4));
    }
}
