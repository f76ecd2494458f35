//! What is told only after the messages that Telegram left out before it: edits of those messages, which are told in
//! their latest form, and later messages of the same chats, which keep their place.
//!
//! It decides who waits, and for how long. Later messages are stored besides, with their edits; edits of what is still to
//! be read are not: whoever reads anew after a crash reads the present form.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::model::{ChatId, Message, MessageId};

/// So many edits are kept: of other messages the form that history shows is told.
const MOST_EDITS: usize = 10_000;

/// So many messages wait, and of one chat: others are told out of their place.
const MOST: usize = 2000;
const MOST_OF_CHAT: usize = 500;

/// A chat's messages wait no longer than this for what is before them.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) type Place = (ChatId, MessageId);

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    edits: HashMap<Place, Message>,
    held: BTreeMap<Place, Message>,
    /// Since when messages of a chat wait, and for what is above which one.
    since: HashMap<ChatId, (MessageId, Instant)>,
}

impl Awaited {
    /// Keeps the latest form of a message that is still to be read.
    pub fn keep(&mut self, edited: Message) {
        let place = (edited.chat, edited.id);
        let is_later = |known: &Message| known.edit_date <= edited.edit_date;
        if (self.edits.get(&place)).map_or(self.edits.len() < MOST_EDITS, is_later) {
            self.edits.insert(place, edited);
        }
    }

    /// A message in the latest form that is known of it.
    pub fn latest(&self, message: Message) -> Message {
        match self.edits.get(&(message.chat, message.id)) {
            Some(edited) if edited.edit_date >= message.edit_date => edited.clone(),
            _ => message,
        }
    }

    /// Has a message wait for what lies between it and another one; false if there are too many.
    pub fn hold(&mut self, message: &Message, above: MessageId, now: Instant) -> bool {
        let place = (message.chat, message.id);
        if !self.held.contains_key(&place)
            && (self.held.len() >= MOST || self.waiting_in(message.chat) >= MOST_OF_CHAT)
        {
            return false;
        }
        let since = self.since.entry(message.chat).or_insert((above, now));
        if since.0 != above {
            // Another gap than the one before.
            *since = (above, now);
        }
        self.held.insert(place, message.clone());
        true
    }

    fn waiting_in(&self, chat: ChatId) -> usize {
        self.held
            .range((chat, MessageId::MIN)..=(chat, MessageId::MAX))
            .count()
    }

    /// The messages that wait, those of each chat in their order.
    pub fn held(&self) -> impl Iterator<Item = &Message> {
        self.held.values()
    }

    /// Whether a message waits.
    pub fn is_held(&self, place: Place) -> bool {
        self.held.contains_key(&place)
    }

    /// The chat of a message of this number that waits, of those that are no channels.
    pub fn chat_of(&self, id: MessageId) -> Option<ChatId> {
        let is = |(chat, known): &&Place| *known == id && !chat.is_channel();
        self.held.keys().find(is).map(|(chat, _)| *chat)
    }

    /// Until when messages wait at most; none if none does.
    pub fn until(&self) -> Option<Instant> {
        let chats = self.held.keys().filter_map(|(chat, _)| self.since.get(chat));
        chats.map(|(_, since)| *since + LONGEST).min()
    }

    /// Whether a chat's messages have waited for too long.
    pub fn is_overdue(&self, chat: ChatId, now: Instant) -> bool {
        (self.since.get(&chat)).is_none_or(|(_, since)| now >= *since + LONGEST)
    }

    /// A message was told, or is to be told no more.
    pub fn told(&mut self, place: Place) {
        self.held.remove(&place);
        self.edits.remove(&place);
    }

    /// Nothing is missing any more, except in these chats.
    pub fn forget_except(&mut self, open: impl Fn(ChatId) -> bool) {
        self.edits.retain(|(chat, _), _| open(*chat));
        self.since.retain(|chat, _| open(*chat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::body::samples;

    fn of(chat: i64, id: MessageId) -> Message {
        Message {
            chat: ChatId(chat),
            id,
            ..samples::text()
        }
    }

    #[test]
    fn messages_wait_in_order_and_not_for_ever() {
        let (mut awaited, now) = (Awaited::default(), Instant::now());
        assert_eq!(awaited.until(), None);
        assert!(awaited.hold(&of(-7, 12), 5, now));
        assert!(awaited.hold(&of(-7, 11), 5, now + LONGEST / 2));
        assert!(awaited.hold(&of(-8, 3), 0, now + LONGEST / 2));
        let ids: Vec<MessageId> = awaited.held().map(|message| message.id).collect();
        assert_eq!(ids, [3, 11, 12]);
        assert_eq!(
            (awaited.chat_of(12), awaited.chat_of(13)),
            (Some(ChatId(-7)), None)
        );
        assert_eq!(awaited.until(), Some(now + LONGEST));
        let overdue = |chat| awaited.is_overdue(ChatId(chat), now + LONGEST);
        assert!(overdue(-7) && !overdue(-8));
        for id in [11, 12] {
            awaited.told((ChatId(-7), id));
        }
        assert_eq!(awaited.until(), Some(now + LONGEST / 2 + LONGEST));
        // The same gap is as old as it was, another one is not.
        awaited.hold(&of(-7, 13), 5, now + LONGEST);
        assert_eq!(awaited.until(), Some(now + LONGEST));
        awaited.hold(&of(-7, 13), 12, now + LONGEST);
        assert_eq!(awaited.until(), Some(now + LONGEST / 2 + LONGEST));
    }

    #[test]
    fn what_still_waits_keeps_its_time_and_its_edits() {
        let (mut awaited, now) = (Awaited::default(), Instant::now());
        for chat in [-7, -8] {
            awaited.hold(&of(chat, 12), 5, now);
            let edit_date = Some(crate::base::Timestamp(1));
            let text = "edited".to_owned();
            awaited.keep(Message {
                edit_date,
                text,
                ..of(chat, 12)
            });
        }
        awaited.forget_except(|chat| chat == ChatId(-7));
        assert_eq!(awaited.latest(of(-7, 12)).text, "edited");
        assert_ne!(awaited.latest(of(-8, 12)).text, "edited");
        assert!(awaited.is_overdue(ChatId(-8), now), "nothing keeps it waiting");
        assert!(!awaited.is_overdue(ChatId(-7), now));
    }

    #[test]
    fn no_more_wait_than_one_commit_tells() {
        let (mut awaited, now) = (Awaited::default(), Instant::now());
        for id in 1..=500 {
            assert!(awaited.hold(&of(-7, id), 0, now));
        }
        assert!(!awaited.hold(&of(-7, 501), 0, now));
        assert!(awaited.hold(&of(-7, 500), 0, now), "it waits already");
        assert!(awaited.hold(&of(-8, 501), 0, now), "another chat");
    }
}
