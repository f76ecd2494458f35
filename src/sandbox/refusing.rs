//! What is refused from now on, set from outside: single rights, slow mode, prices, accounts that Telegram has frozen or
//! limited. For those in the same process; the control port is made of it.

use std::collections::BTreeSet;

use super::handle::{World, peer};
use super::world::rights::Right;
use super::world::{Peer, Refusal};

impl World {
    /// Forbids the members of a chat these and nothing else; or one member, until a time in seconds (0: for good).
    pub fn forbid(
        &self,
        chat: i64,
        user: Option<i64>,
        rights: &BTreeSet<Right>,
        until: i32,
    ) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram
            .world(|state| state.forbid(peer, user, rights, until))
    }

    /// Lets so many seconds lie between two messages of a member of a supergroup.
    pub fn set_slow_mode(&self, chat: i64, seconds: i32) -> Result<(), Refusal> {
        let Peer::Channel(id) = peer(chat)? else {
            return Err(Refusal::bad("CHANNEL_INVALID"));
        };
        self.telegram.world(|state| {
            let creator = state.head_of(Peer::Channel(id))?;
            state.adjust_channel(creator, id, |channel| channel.slow_mode = seconds)
        })
    }

    /// Lets a message of a member of a supergroup, or of a stranger to a user, cost so many stars.
    pub fn set_price(&self, chat: i64, stars: i64) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| {
            match peer {
                Peer::User(id) => state.account_mut(id)?.price = stars,
                Peer::Channel(id) => state.channel_mut(id)?.price = stars,
                Peer::Group(_) => return Err(Refusal::bad("CHANNEL_INVALID")),
            }
            Ok(())
        })
    }

    /// Lets Telegram freeze an account, or thaw it.
    pub fn freeze(&self, user: i64, frozen: bool) -> Result<(), Refusal> {
        self.telegram.world(|state| {
            state.account_mut(user)?.frozen = frozen;
            Ok(())
        })
    }

    /// Lets Telegram limit an account, or no longer.
    pub fn limit(&self, user: i64, limited: bool) -> Result<(), Refusal> {
        self.telegram.world(|state| {
            state.account_mut(user)?.limited = limited;
            Ok(())
        })
    }
}
