//! Reduced records of users and channels, as they stand in updates of channels and supergroups.
//!
//! A `min` record shows somebody's message, and no more: part of the name, and an access hash that no call takes. Who
//! wants to name such a peer says in which message it was seen (`inputPeerUserFromMessage`). Oneself and the chats that
//! one is in are always told in full.

use grammers_tl_types::{enums, types};

use super::{Viewer, blank};
use crate::sandbox::world::Peer;

/// What access hashes of reduced records are derived with: other ones than those that calls take.
const OF_USERS: u64 = 61;
const OF_CHANNELS: u64 = 63;

impl Viewer<'_> {
    /// A user as an update of a channel or supergroup shows it.
    pub fn min_user(&self, id: i64) -> enums::User {
        let known = self
            .state
            .accounts
            .get(&id)
            .filter(|account| id != self.account && !account.deactivated);
        let Some(account) = known else {
            return self.user(id);
        };
        types::User {
            min: true,
            bot: account.bot,
            bot_info_version: account.bot.then_some(1),
            access_hash: Some(self.state.derive(OF_USERS, self.account, id)),
            first_name: Some(account.first_name.clone()).filter(|name| !name.is_empty()),
            photo: self.user_photo(account),
            ..blank::user(id)
        }
        .into()
    }

    /// A channel as an update of another one shows it.
    pub fn min_channel(&self, id: i64) -> enums::Chat {
        let foreign = |channel: &&crate::sandbox::world::chat::Channel| {
            !channel.has(self.account) && channel.readable_by(self.account)
        };
        let Some(channel) = self.state.channels.get(&id).filter(foreign) else {
            return self.chat(Peer::Channel(id));
        };
        types::Channel {
            min: true,
            left: true,
            broadcast: channel.broadcast,
            megagroup: !channel.broadcast,
            access_hash: Some(self.state.derive(OF_CHANNELS, self.account, id)),
            date: channel.created,
            ..blank::channel(id, channel.title.clone())
        }
        .into()
    }
}
