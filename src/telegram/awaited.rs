//! What is told only after the messages that Telegram left out before it: edits of those messages, which are told in
//! their latest form, and later messages of the same chats, which keep their place.
//!
//! Kept in memory: the mark of what was left out is stored, and whoever reads anew after a crash reads all above it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::model::{ChatId, Message, MessageId};

/// So many of each are kept: of other messages the form that history shows is told, or they are told out of their place.
const MOST: usize = 10_000;

/// A chat's messages wait no longer than this for what is before them.
const LONGEST: Duration = Duration::from_secs(60);

type Place = (ChatId, MessageId);

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    edits: HashMap<Place, Message>,
    held: BTreeMap<Place, Message>,
    /// Since when messages of a chat wait.
    since: HashMap<ChatId, Instant>,
}

impl Awaited {
    /// Keeps the latest form of a message that is still to be read.
    pub fn keep(&mut self, edited: Message) {
        let place = (edited.chat, edited.id);
        let is_later = |known: &Message| known.edit_date <= edited.edit_date;
        if self.edits.get(&place).map_or(self.edits.len() < MOST, is_later) {
            self.edits.insert(place, edited);
        }
    }

    /// A message in the latest form that is known of it.
    pub fn latest(&mut self, message: Message) -> Message {
        match self.edits.remove(&(message.chat, message.id)) {
            Some(edited) if edited.edit_date >= message.edit_date => edited,
            _ => message,
        }
    }

    /// Has a message wait for what is before it; false if it shall wait no more.
    pub fn hold(&mut self, message: &Message, now: Instant) -> bool {
        let since = *self.since.entry(message.chat).or_insert(now);
        let waits = self.held.len() < MOST && now < since + LONGEST;
        if waits {
            self.held.insert((message.chat, message.id), message.clone());
        }
        waits
    }

    /// The messages that wait, those of each chat in their order.
    pub fn held(&self) -> impl Iterator<Item = &Message> {
        self.held.values()
    }

    /// Until when messages wait at most; none if none does.
    pub fn until(&self) -> Option<Instant> {
        let chats = self.held.keys().filter_map(|(chat, _)| self.since.get(chat));
        chats.min().map(|since| *since + LONGEST)
    }

    /// Whether a chat's messages have waited for too long.
    pub fn is_overdue(&self, chat: ChatId, now: Instant) -> bool {
        (self.since.get(&chat)).is_some_and(|since| now >= *since + LONGEST)
    }

    /// A message waits no more.
    pub fn told(&mut self, place: Place) {
        self.held.remove(&place);
    }

    /// Nothing is missing at this place any more: in a chat, or in all private chats and basic groups (0).
    pub fn forget(&mut self, place: i64) {
        let other = |chat: &ChatId| match place {
            0 => chat.is_channel(),
            place => chat.0 != place,
        };
        self.edits.retain(|(chat, _), _| other(chat));
        self.since.retain(|chat, _| other(chat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::body::samples;

    #[test]
    fn messages_wait_in_order_and_not_for_ever() {
        let (mut awaited, now) = (Awaited::default(), Instant::now());
        let of = |chat: i64, id| Message {
            chat: ChatId(chat),
            id,
            ..samples::text()
        };
        assert_eq!(awaited.until(), None);
        assert!(awaited.hold(&of(-7, 12), now));
        assert!(awaited.hold(&of(-7, 11), now + LONGEST / 2));
        assert!(awaited.hold(&of(-8, 3), now + LONGEST / 2));
        let ids: Vec<MessageId> = awaited.held().map(|message| message.id).collect();
        assert_eq!(ids, [3, 11, 12]);
        assert_eq!(awaited.until(), Some(now + LONGEST));
        assert!(!awaited.hold(&of(-7, 13), now + LONGEST), "it waits no more");
        let overdue = |chat| awaited.is_overdue(ChatId(chat), now + LONGEST);
        assert!(overdue(-7) && !overdue(-8));
        for id in [11, 12] {
            awaited.told((ChatId(-7), id));
        }
        assert_eq!(awaited.until(), Some(now + LONGEST / 2 + LONGEST));
        awaited.forget(-7);
        assert!(awaited.hold(&of(-7, 13), now + LONGEST), "another gap");
    }
}
