//! Edits of messages that Telegram left out and that are still to be read from history. They are not told before their
//! message, and their message is told in their form.
//!
//! Kept in memory: whoever reads anew after a crash reads the present form.

use std::collections::HashMap;

use crate::model::{ChatId, Message, MessageId};

/// So many are kept; of the others the form that history shows is told.
const MOST: usize = 10_000;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Awaited(HashMap<(ChatId, MessageId), Message>);

impl Awaited {
    /// Keeps the latest form of a message.
    pub fn keep(&mut self, edited: Message) {
        let place = (edited.chat, edited.id);
        let is_later = |known: &Message| known.edit_date <= edited.edit_date;
        if self.0.get(&place).map_or(self.0.len() < MOST, is_later) {
            self.0.insert(place, edited);
        }
    }

    /// A message in the latest form that is known of it.
    pub fn latest(&mut self, message: Message) -> Message {
        match self.0.remove(&(message.chat, message.id)) {
            Some(edited) if edited.edit_date >= message.edit_date => edited,
            _ => message,
        }
    }

    /// Nothing of this place is awaited any more: of a chat, or of all private chats and basic groups (0).
    pub fn forget(&mut self, place: i64) {
        self.0.retain(|(chat, _), _| match place {
            0 => chat.is_channel(),
            place => chat.0 != place,
        });
    }
}
