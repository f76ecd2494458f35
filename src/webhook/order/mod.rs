//! Which delivery of an endpoint may be tried next: FIFO within a chat, chats in parallel, and a
//! failing delivery holds back its own chat only, and not for ever.
//!
//! Pure: it is told of deliveries, of outcomes and of the time, and says what to try. It keeps
//! only a key and a few numbers for each delivery; the rest stays in the store.
//!
//! A chat's *hold* begins with the first failure of its oldest delivery. While it lasts, nothing
//! else of the chat is tried. When it is over, the failing delivery becomes a *straggler*: it
//! keeps its own times and no longer stands in anyone's way; and as long as nothing of the chat
//! has succeeded since, the next ones that fail become stragglers at once, so an outage costs a
//! chat one hold and not one for each delivery.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::endpoint::ChatOrder;
use crate::base::Timestamp;

/// A delivery, as far as its order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<K> {
    /// Its place in the lane: keys of the same chat rise in the order of the events.
    pub key: K,
    /// What must stay in order among itself.
    pub chat: u64,
    /// Not to be tried before.
    pub due: Timestamp,
    /// When it failed for the first time, if it did.
    pub failing_since: Option<Timestamp>,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The receiver has it.
    Delivered,
    /// It failed for good.
    GivenUp,
    /// It is to be tried again.
    Retry(Timestamp),
}

/// The deliveries of one endpoint that are not finished.
#[derive(Debug)]
pub struct Plan<K> {
    order: ChatOrder,
    hold: Duration,
    chats: HashMap<u64, Chat<K>>,
    /// Chats that have something to try now, in turn.
    ready: VecDeque<u64>,
    /// Chats that have something to try later.
    timers: BTreeSet<(Timestamp, u64)>,
    in_flight: HashMap<K, Entry<K>>,
    /// Every delivery that is not finished, with its chat.
    known: HashMap<K, u64>,
}

#[derive(Debug)]
struct Chat<K> {
    /// In order; only the first may be tried.
    line: BTreeMap<K, Entry<K>>,
    /// Each at its own time.
    stragglers: BTreeMap<(Timestamp, K), Entry<K>>,
    /// The first failure since the last success.
    hold_since: Option<Timestamp>,
    busy: usize,
    /// Where the chat stands in the queues of the plan.
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Ready,
    Timer(Timestamp),
}

impl<K> Default for Chat<K> {
    fn default() -> Self {
        Self {
            line: BTreeMap::new(),
            stragglers: BTreeMap::new(),
            hold_since: None,
            busy: 0,
            place: Place::Nowhere,
        }
    }
}

impl<K: Copy + Ord + Hash> Plan<K> {
    /// An empty plan.
    pub fn new(order: ChatOrder, hold: Duration) -> Self {
        Self {
            order,
            hold,
            chats: HashMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            in_flight: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// How many deliveries are not finished, those under way included.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether all are finished.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Adds a delivery; one that is known already stays as it is.
    pub fn insert(&mut self, entry: Entry<K>, now: Timestamp) {
        if self.known.insert(entry.key, entry.chat).is_some() {
            return;
        }
        let chat = self.chats.entry(entry.chat).or_default();
        chat.file(entry, self.order, self.hold, now);
        self.place(entry.chat, now);
    }

    /// The next delivery to try now, if there is one; it counts as under way until it is settled.
    pub fn take(&mut self, now: Timestamp) -> Option<Entry<K>> {
        self.ring(now);
        while let Some(id) = self.ready.pop_front() {
            let Some(chat) = self.chats.get_mut(&id) else {
                continue;
            };
            chat.place = Place::Nowhere;
            let taken = chat.pop(self.order, self.hold, now);
            if let Some(entry) = taken {
                chat.busy += 1;
                self.in_flight.insert(entry.key, entry);
            }
            self.place(id, now);
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Notes what became of a try that [`Self::take`] gave out.
    pub fn settle(&mut self, key: K, outcome: Settled, now: Timestamp) {
        let Some(mut entry) = self.in_flight.remove(&key) else {
            return;
        };
        let chat = self.chats.entry(entry.chat).or_default();
        chat.busy = chat.busy.saturating_sub(1);
        match outcome {
            Settled::Delivered => {
                self.known.remove(&key);
                chat.hold_since = None;
            }
            Settled::GivenUp => {
                self.known.remove(&key);
            }
            Settled::Retry(due) => {
                entry.due = due;
                entry.failing_since.get_or_insert(now);
                chat.file(entry, self.order, self.hold, now);
            }
        }
        self.place(entry.chat, now);
    }

    /// Makes a waiting delivery due now. False if it is under way or not known.
    pub fn hasten(&mut self, key: K, now: Timestamp) -> bool {
        let Some(&id) = self.known.get(&key) else {
            return false;
        };
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        let straggler = chat.stragglers.keys().copied().find(|(_, known)| *known == key);
        if let Some(place) = straggler
            && let Some(mut entry) = chat.stragglers.remove(&place)
        {
            entry.due = now;
            chat.stragglers.insert((now, key), entry);
        } else if let Some(entry) = chat.line.get_mut(&key) {
            entry.due = now;
        } else {
            return false;
        }
        self.place(id, now);
        true
    }

    /// Forgets a delivery that somebody else removed. False if it is under way or not known.
    pub fn forget(&mut self, key: K, now: Timestamp) -> bool {
        let Some(&id) = self.known.get(&key) else {
            return false;
        };
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        let straggler = chat.stragglers.keys().copied().find(|(_, known)| *known == key);
        let known = match straggler {
            Some(place) => chat.stragglers.remove(&place).is_some(),
            None => chat.line.remove(&key).is_some(),
        };
        if known {
            self.known.remove(&key);
            self.place(id, now);
        }
        known
    }

    /// Takes up another order for everything that is not under way.
    pub fn reorder(&mut self, order: ChatOrder, now: Timestamp) {
        if order == self.order {
            return;
        }
        self.order = order;
        let ids: Vec<u64> = self.chats.keys().copied().collect();
        for id in ids {
            if let Some(chat) = self.chats.get_mut(&id) {
                let line = std::mem::take(&mut chat.line);
                let stragglers = std::mem::take(&mut chat.stragglers);
                for entry in line.into_values().chain(stragglers.into_values()) {
                    chat.file(entry, order, self.hold, now);
                }
            }
            self.place(id, now);
        }
    }

    /// When something that waits may be tried; none if nothing waits for a time.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Moves the chats whose time has come to those that are ready.
    fn ring(&mut self, now: Timestamp) {
        while let Some(&(due, id)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(chat) = self.chats.get_mut(&id) {
                chat.place = Place::Ready;
                self.ready.push_back(id);
            }
        }
    }

    /// Puts a chat where it belongs: ready, waiting for a time, or away if nothing is left of it.
    fn place(&mut self, id: u64, now: Timestamp) {
        let Some(chat) = self.chats.get_mut(&id) else {
            return;
        };
        if chat.is_spent() {
            if let Place::Timer(due) = chat.place {
                self.timers.remove(&(due, id));
            }
            if chat.place != Place::Ready {
                self.chats.remove(&id);
            }
            return;
        }
        let place = match chat.next_at(self.order, self.hold) {
            None => Place::Nowhere,
            Some(due) if due <= now => Place::Ready,
            Some(due) => Place::Timer(due),
        };
        if place == chat.place {
            return;
        }
        if let Place::Timer(due) = chat.place {
            self.timers.remove(&(due, id));
        }
        // a chat in `ready` that has nothing to try after all is skipped when its turn comes
        if chat.place == Place::Ready {
            return;
        }
        chat.place = place;
        match place {
            Place::Ready => self.ready.push_back(id),
            Place::Timer(due) => {
                self.timers.insert((due, id));
            }
            Place::Nowhere => {}
        }
    }
}

impl<K: Copy + Ord> Chat<K> {
    /// Puts an entry into the line, or among the stragglers if nothing shall wait for it.
    fn file(&mut self, entry: Entry<K>, order: ChatOrder, hold: Duration, now: Timestamp) {
        if order == ChatOrder::None {
            self.stragglers.insert((entry.due, entry.key), entry);
            return;
        }
        if let Some(failed) = entry.failing_since {
            // one that is past its own hold says nothing about the chat as it is today
            let over = now >= failed.plus(hold);
            let since = self.hold_since.map_or(failed, |known| known.min(failed));
            if over || now >= since.plus(hold) {
                self.stragglers.insert((entry.due, entry.key), entry);
                return;
            }
            self.hold_since = Some(since);
        }
        self.line.insert(entry.key, entry);
    }

    /// Whether nothing is left to remember.
    fn is_spent(&self) -> bool {
        self.busy == 0 && self.line.is_empty() && self.stragglers.is_empty()
    }

    /// When the next try of this chat may be made; none while one is under way or none is left.
    fn next_at(&self, order: ChatOrder, hold: Duration) -> Option<Timestamp> {
        if order == ChatOrder::Chat && self.busy > 0 {
            return None;
        }
        let straggler = self.stragglers.first_key_value().map(|((due, _), _)| *due);
        let line = self
            .line
            .first_key_value()
            .map(|(_, first)| match first.failing_since {
                // its own next try, or the end of the hold that lets the others past
                Some(since) if self.line.len() > 1 => {
                    let end = self.hold_since.unwrap_or(since).plus(hold);
                    first.due.min(end)
                }
                _ => first.due,
            });
        match (straggler, line) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Takes out the entry that is to be tried now.
    fn pop(&mut self, order: ChatOrder, hold: Duration, now: Timestamp) -> Option<Entry<K>> {
        if order == ChatOrder::Chat && self.busy > 0 {
            return None;
        }
        // a hold that is over turns the failing ones at the head of the line into stragglers
        while let Some((&key, first)) = self.line.first_key_value() {
            let over = match (first.failing_since, self.hold_since) {
                (Some(own), since) => now >= since.unwrap_or(own).plus(hold),
                (None, _) => false,
            };
            if !over {
                break;
            }
            if let Some(entry) = self.line.remove(&key) {
                self.stragglers.insert((entry.due, key), entry);
            }
        }
        if let Some((&place, _)) = self.stragglers.first_key_value()
            && place.0 <= now
        {
            return self.stragglers.remove(&place);
        }
        let (&key, first) = self.line.first_key_value()?;
        if first.due > now {
            return None;
        }
        self.line.remove(&key)
    }
}

#[cfg(test)]
mod tests;
