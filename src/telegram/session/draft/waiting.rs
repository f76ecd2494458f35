//! What of a draft waits for messages that Telegram left out before it, and when it is told.

use std::collections::HashSet;
use std::time::Instant;

use super::super::convert::name_of_new;
use super::Draft;
use crate::model::{ChatId, Message};
use crate::store::StoreError;
use crate::telegram::tables::{HeldMessages, LeftOut, LeftOutMark};

/// So many messages that waited are told by one commit.
const PORTION: usize = 300;

impl Draft<'_> {
    /// Whether an update's message has to wait for what was left out before it. It is stored meanwhile.
    pub(super) fn waits(&mut self, message: &Message) -> Result<bool, StoreError> {
        if !self.by_updates || !self.has_to_wait(message)? || self.is_buried(message)? {
            return Ok(false);
        }
        let above = self.mark(message)?.map_or(0, |mark| mark.above);
        let waits = self.awaited.hold(message, above, Instant::now());
        if waits {
            let key = (self.session, message.chat.0, message.id);
            self.batch.put::<HeldMessages>(&key, message);
        }
        Ok(waits)
    }

    /// Whether a message lies in a gap that is open, can be read, and is not told yet.
    pub(super) fn has_to_wait(&mut self, message: &Message) -> Result<bool, StoreError> {
        let Some(mark) = self.mark(message)?.filter(|mark| !mark.unreadable) else {
            return Ok(false);
        };
        let missing = match mark.above {
            0 => message.date >= mark.since,
            above => message.id > above,
        };
        let place = (message.chat, message.id);
        let name = name_of_new(self.session, message.chat, message.id);
        Ok(missing && !self.fresh.contains_key(&place) && !self.context.store.knows(&name)?)
    }

    /// Tells messages that waited, those of each chat in their order: those that need not wait any more, or all of them.
    /// Whether there are more than one commit tells.
    pub(super) fn release(
        &mut self,
        which: impl Fn(&Message) -> bool,
        all: bool,
    ) -> Result<bool, StoreError> {
        let waits = |held: &&Message| which(held) && !self.released.contains(&(held.chat, held.id));
        let held: Vec<Message> = self.awaited.held().filter(waits).cloned().collect();
        let mut told = 0;
        for message in held {
            if !all && self.has_to_wait(&message)? {
                continue;
            }
            if told == PORTION {
                return Ok(true);
            }
            told += 1;
            self.released.insert((message.chat, message.id));
            self.take_latest(message)?;
        }
        Ok(false)
    }

    /// Tells messages that have waited for too long, or all that wait. Whether there are more.
    pub fn release_overdue(&mut self, all: bool) -> Result<bool, StoreError> {
        let now = Instant::now();
        let mut overdue: HashSet<ChatId> = self.awaited.held().map(|held| held.chat).collect();
        overdue.retain(|chat| all || self.awaited.is_overdue(*chat, now));
        self.release(|held| overdue.contains(&held.chat), true)
    }

    /// Whether what was left out at a place is read, as its mark said when reading began: nothing was left out again.
    pub fn is_read(&mut self, place: i64, mark: LeftOutMark) -> Result<bool, StoreError> {
        Ok(self.mark_at(place)?.is_some_and(|now| now.again == mark.again))
    }

    /// What was left out at a place is read: what waited for it is told, and then its mark is removed. False if there is
    /// more to tell than one commit does.
    pub fn settle(&mut self, place: i64) -> Result<bool, StoreError> {
        self.marks.insert(place, None);
        if self.release(|_| true, false)? {
            return Ok(false);
        }
        self.batch.remove::<LeftOut>(&(self.session, place));
        Ok(true)
    }
}
