//! What can be done from outside to users and chats themselves, beside posting: names, roles, deletion. For those in
//! the same process; the control port is made of it.

use super::handle::{World, peer};
use super::world::Refusal;

impl World {
    /// Gives a user, channel or supergroup its public name, or takes it away: then a channel is private.
    pub fn set_username(&self, chat: i64, username: Option<&str>) -> Result<(), Refusal> {
        let peer = peer(chat)?;
        self.telegram.world(|state| state.set_username(peer, username))
    }
}
