//! One account: its budgets, the marks on it and on its chats, and its lanes of waiting calls.
//!
//! What has to be stored or told of it is put into its outbox, for whoever has a disk and a voice.
//! Pure: time is handed in as a [`Tick`]. Calls wait in lanes, first in, first out: one lane per
//! chat for everything that changes it, one per class (and chat) for the rest. Heads of lanes whose
//! time has come go in the order in which they asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::budget::{Meter, Tick};
use super::config::{Budget, LimiterConfig};
use super::ledger::Crossing;
use super::means::{LearnedCap, Place, Suspect, chat_rule, class_rule, rule_of};
use super::pace::Pace;
use super::restriction::Restriction;
use super::{Ask, Cause, CostClass};
use crate::model::ChatId;

/// A waiting call's number; the order of numbers is the order of asking.
pub(super) type Ticket = u64;

/// The answer to an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may go now; whether it is the message that tries if a peer flood is over.
    Granted(bool),
    /// It would have to wait until then, for this.
    Refused(Tick, Cause),
}

/// Answers that are due, by ticket.
pub(super) type Replies = Vec<(Ticket, Answer)>;

/// How many resting chats an account keeps before it looks for ones to forget.
const CHATS_KEPT: usize = 64;
/// How soon to look again for a reserve that has to be stored first; its arrival wakes the waiting anyway.
const KEEPING: Duration = Duration::from_millis(100);
/// What is to be stored and told.
#[derive(Default)]
pub(super) struct Outbox {
    /// Budgets whose rows should be written.
    pub(super) unkept: Vec<Place>,
    /// Caps that were passed.
    pub(super) crossings: Vec<(Place, Crossing)>,
}

/// A queue of calls that keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum LaneKey {
    /// Everything that changes a chat.
    Chat(ChatId),
    /// The rest.
    Class(CostClass, Option<ChatId>),
}

impl LaneKey {
    fn of(ask: &Ask) -> Self {
        match ask.chat {
            Some(chat) if ask.class.is_effect() => Self::Chat(chat),
            chat => Self::Class(ask.class, chat),
        }
    }

    fn chat(self) -> Option<ChatId> {
        match self {
            Self::Chat(chat) => Some(chat),
            Self::Class(_, chat) => chat,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    ticket: Ticket,
    class: CostClass,
    units: u32,
    stranger: bool,
    deadline: Tick,
}

/// What is known of one chat.
#[derive(Default)]
pub(super) struct Chat {
    /// New messages into it.
    pub(super) meter: Meter,
    /// Its own flood waits, by class.
    pub(super) floods: Vec<(CostClass, Tick)>,
    pub(super) slow_mode: Tick,
    /// What its flood waits taught.
    pub(super) pace: Pace,
    /// When the last new message went, and how long after the one before.
    last: Tick,
    pub(super) gap: Duration,
}

/// What is known of one class of call.
#[derive(Default)]
pub(super) struct Class {
    pub(super) meter: Meter,
    pub(super) not_before: Tick,
    pub(super) pace: Pace,
    /// The chat that met the last flood wait, while it may have been its own.
    pub(super) suspect: Option<Suspect>,
    /// The chat whose lesson was taken back last.
    pub(super) cleared: Option<ChatId>,
}

pub(super) struct Account {
    /// New messages into all chats.
    pub(super) meter: Meter,
    /// First messages to strangers.
    pub(super) strangers: Meter,
    pub(super) classes: [Class; CostClass::ALL.len()],
    pub(super) chats: HashMap<ChatId, Chat>,
    pub(super) restriction: Restriction,
    pub(super) learned: Option<LearnedCap>,
    /// When its warm-up began; none if it needs none.
    pub(super) new_since: Option<Tick>,
    pub(super) outbox: Outbox,
    lanes: HashMap<LaneKey, VecDeque<Waiter>>,
    heads: BTreeMap<Ticket, LaneKey>,
    prune_at: usize,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            meter: Meter::tracked(),
            strangers: Meter::default(),
            classes: Default::default(),
            chats: HashMap::new(),
            restriction: Restriction::default(),
            learned: None,
            new_since: None,
            outbox: Outbox::default(),
            lanes: HashMap::new(),
            heads: BTreeMap::new(),
            prune_at: 0,
        }
    }
}

impl Chat {
    /// The later of its own marks for a class.
    fn mark(&self, class: CostClass) -> (Tick, Cause) {
        let flood = self.floods.iter().find(|(marked, _)| *marked == class);
        let flood = (
            flood.map_or(Tick::default(), |(_, until)| *until),
            Cause::FloodWait,
        );
        if class.is_send() && self.slow_mode > flood.0 {
            (self.slow_mode, Cause::SlowMode)
        } else {
            flood
        }
    }

    fn rests(&self, rule: &Budget, slowdown: f64, now: Tick) -> bool {
        self.slow_mode <= now
            && self.pace == Pace::default()
            && self.floods.iter().all(|(_, until)| *until <= now)
            && self.meter.is_rested(rule, slowdown, now)
    }
}

impl Account {
    /// How many calls of a class wait.
    pub(super) fn waiting(&self, class: CostClass) -> usize {
        let queued = self.lanes.values().flatten();
        queued.filter(|waiter| waiter.class == class).count()
    }

    /// When one unit of a class could go, as far as the account alone is concerned.
    pub(super) fn next(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> (Tick, Cause) {
        let (mark, cause) = self.mark(class, now);
        let budget = self.budget(rules, class, 1, now);
        if mark > budget {
            (mark, cause)
        } else {
            (budget, Cause::Budget)
        }
    }

    /// Puts an ask at the end of its lane and answers whatever is due now.
    pub(super) fn ask(
        &mut self,
        rules: &LimiterConfig,
        ticket: Ticket,
        ask: &Ask,
        now: Tick,
        replies: &mut Replies,
    ) -> Option<Tick> {
        self.prune(rules, now);
        let key = LaneKey::of(ask);
        let lane = self.lanes.entry(key).or_default();
        let waiter = Waiter {
            ticket,
            class: ask.class,
            units: ask.units.max(1),
            stranger: ask.stranger && ask.class.is_send(),
            deadline: now.plus(ask.patience),
        };
        lane.push_back(waiter);
        if lane.len() == 1 {
            self.heads.insert(ticket, key);
        }
        let before = replies.len();
        let wake = self.advance(rules, now, replies);
        if replies[before..].iter().any(|(answered, _)| *answered == ticket) {
            return wake;
        }
        match self.forecast(rules, key, now) {
            Some((earliest, cause)) if earliest > waiter.deadline => {
                self.drop_last(key, ticket);
                replies.push((ticket, Answer::Refused(earliest, cause)));
                self.advance(rules, now, replies)
            }
            _ => wake,
        }
    }

    /// Grants and refuses whatever is due, and says when to look again.
    pub(super) fn advance(
        &mut self,
        rules: &LimiterConfig,
        now: Tick,
        replies: &mut Replies,
    ) -> Option<Tick> {
        let mut wake: Option<Tick> = None;
        let mut from: Ticket = 0;
        while let Some((&ticket, &key)) = self.heads.range(from..).next() {
            from = ticket + 1;
            let Some(head) = self.lanes.get(&key).and_then(|lane| lane.front()).copied() else {
                self.heads.remove(&ticket);
                continue;
            };
            let (earliest, cause) = self.earliest(rules, key, &head, now);
            if earliest <= now {
                let probe = self.take(rules, key, &head, now);
                replies.push((ticket, Answer::Granted(probe)));
                self.drop_head(key, ticket);
            } else if earliest > head.deadline {
                replies.push((ticket, Answer::Refused(earliest, cause)));
                self.drop_head(key, ticket);
            } else {
                self.want(rules, key, &head);
                let ends = self.expire_behind(key, now, (earliest, cause), replies);
                let next = ends.map_or(earliest, |ends| ends.min(earliest));
                wake = Some(wake.map_or(next, |wake| wake.min(next)));
            }
        }
        wake
    }

    /// The latest of the marks on the account for a class.
    fn mark(&self, class: CostClass, now: Tick) -> (Tick, Cause) {
        let flood = self.classes[class.index()].not_before;
        match self.restriction.rests(now).filter(|_| class.is_send()) {
            Some(until) if until > flood => (until, Cause::PeerFlood),
            _ => (flood, Cause::FloodWait),
        }
    }

    /// When the account's own budgets allow so many units of a class.
    fn budget(&self, rules: &LimiterConfig, class: CostClass, units: u32, now: Tick) -> Tick {
        let speed = self.speed(rules, class, now);
        let meter = &self.classes[class.index()].meter;
        let own = meter.earliest(class_rule(rules, class), units, speed);
        if class.is_send() {
            own.max(self.meter.earliest(&rules.account, units, speed))
                .max(self.learned_room(units, now))
        } else {
            own
        }
    }

    /// When the head of a lane may go, and what it waits for until then.
    fn earliest(&self, rules: &LimiterConfig, key: LaneKey, head: &Waiter, now: Tick) -> (Tick, Cause) {
        let mut latest = (self.budget(rules, head.class, head.units, now), Cause::Budget);
        let mut hear = |candidate: (Tick, Cause)| {
            if candidate.0 > latest.0 {
                latest = candidate;
            }
        };
        hear(self.mark(head.class, now));
        let chat = key.chat().and_then(|id| self.chats.get(&id));
        if let Some(chat) = chat {
            hear(chat.mark(head.class));
        }
        if head.class.is_send() {
            hear((self.restriction.probed_until(), Cause::Budget));
            if let (Some(id), Some(chat)) = (key.chat(), chat) {
                let speed = self.chat_speed(rules, head.class, Some(chat), now);
                let rule = chat_rule(rules, id);
                hear((chat.meter.earliest(rule, head.units, speed), Cause::Budget));
            }
        }
        if head.stranger {
            let speed = self.speed(rules, head.class, now);
            let strangers = self.strangers.earliest(&rules.strangers, head.units, speed);
            hear((strangers, Cause::Budget));
        }
        if latest.0 <= now && !self.is_covered(rules, key, head) {
            let soon = now.plus(KEEPING).min(head.deadline);
            return (soon.max(now.plus(Duration::from_micros(1))), Cause::Budget);
        }
        latest
    }

    /// The budgets that a call draws on.
    fn places(key: LaneKey, waiter: &Waiter) -> impl Iterator<Item = Place> + use<> {
        let send = waiter.class.is_send();
        [
            Some(Place::Class(waiter.class)),
            Some(Place::Account).filter(|_| send),
            Some(Place::Strangers).filter(|_| waiter.stranger),
            key.chat().map(Place::Chat).filter(|_| send),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether what is stored of every cap covers the call.
    fn is_covered(&self, rules: &LimiterConfig, key: LaneKey, waiter: &Waiter) -> bool {
        Self::places(key, waiter).all(|place| {
            let rule = rule_of(rules, place);
            let covered = |meter: &Meter| meter.is_covered(rule, waiter.units);
            !rule.is_capped() || self.meter(place).is_some_and(covered)
        })
    }

    /// Asks for rows to be stored that a waiting call needs.
    fn want(&mut self, rules: &LimiterConfig, key: LaneKey, waiter: &Waiter) {
        for place in Self::places(key, waiter) {
            let rule = rule_of(rules, place);
            if !rule.is_capped() {
                continue;
            }
            if let Place::Chat(chat) = place {
                self.chats.entry(chat).or_default();
            }
            let Some(meter) = self.meter_mut(place) else {
                continue;
            };
            if meter.ledger.get_or_insert_default().want(rule, waiter.units) {
                self.outbox.unkept.push(place);
            }
        }
    }

    /// Takes what a call costs; tells whether it tries if a peer flood is over.
    fn take(&mut self, rules: &LimiterConfig, key: LaneKey, waiter: &Waiter, now: Tick) -> bool {
        let chat = key.chat().and_then(|id| self.chats.get(&id));
        let chat_speed = self.chat_speed(rules, waiter.class, chat, now);
        let speed = self.speed(rules, waiter.class, now);
        for place in Self::places(key, waiter) {
            let rule = rule_of(rules, place);
            let speed = match place {
                Place::Chat(id) => {
                    let chat = self.chats.entry(id).or_default();
                    (chat.gap, chat.last) = (now.since(chat.last), now);
                    chat_speed
                }
                _ => speed,
            };
            let Some(meter) = self.meter_mut(place) else {
                continue;
            };
            meter.take(rule, waiter.units, speed, now);
            let Some(ledger) = meter.ledger.as_deref_mut().filter(|_| rule.is_capped()) else {
                continue;
            };
            let crossings = ledger.crossings(rule, speed.part, now);
            if ledger.is_low(rule) || !crossings.is_empty() {
                self.outbox.unkept.push(place);
            }
            let crossings = crossings.into_iter().map(|crossing| (place, crossing));
            self.outbox.crossings.extend(crossings);
        }
        waiter.class.is_send() && self.restriction.let_go(now)
    }

    fn drop_head(&mut self, key: LaneKey, ticket: Ticket) {
        self.heads.remove(&ticket);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.pop_front();
            match lane.front() {
                Some(next) => drop(self.heads.insert(next.ticket, key)),
                None => drop(self.lanes.remove(&key)),
            }
        }
    }

    fn drop_last(&mut self, key: LaneKey, ticket: Ticket) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.retain(|waiter| waiter.ticket != ticket);
            if lane.is_empty() {
                self.lanes.remove(&key);
                self.heads.remove(&ticket);
            }
        }
    }

    /// Refuses those behind a waiting head that would lose patience before it goes; tells when
    /// the patience of the next one ends.
    fn expire_behind(
        &mut self,
        key: LaneKey,
        now: Tick,
        head: (Tick, Cause),
        replies: &mut Replies,
    ) -> Option<Tick> {
        let lane = self.lanes.get_mut(&key).filter(|lane| lane.len() > 1)?;
        let first = lane.front()?.ticket;
        lane.retain(|waiter| {
            let keep = waiter.ticket == first || (waiter.deadline > now && waiter.deadline >= head.0);
            if !keep {
                replies.push((waiter.ticket, Answer::Refused(head.0, head.1)));
            }
            keep
        });
        lane.iter().skip(1).map(|waiter| waiter.deadline).min()
    }

    /// When the last of a lane may go at the soonest, after those before it.
    fn forecast(&self, rules: &LimiterConfig, key: LaneKey, now: Tick) -> Option<(Tick, Cause)> {
        let lane = self.lanes.get(&key)?;
        let last = lane.back()?;
        let chat = key.chat();
        let mut meter = chat
            .and_then(|chat| self.chats.get(&chat))
            .map(|chat| chat.meter.clone())
            .unwrap_or_default();
        let mut latest = (now, Cause::Budget);
        for waiter in lane {
            let due = self.earliest(rules, key, waiter, now);
            if due.0 > latest.0 {
                latest = due;
            }
            if let Some(chat) = chat.filter(|_| waiter.class.is_send()) {
                let speed = self.chat_speed(rules, waiter.class, self.chats.get(&chat), now);
                let rule = chat_rule(rules, chat);
                let after = meter.earliest(rule, waiter.units, speed);
                if after > latest.0 {
                    latest = (after, Cause::Budget);
                }
                meter.take(rule, waiter.units, speed, latest.0);
            }
        }
        let units = last.units.saturating_add(self.ahead(key, last, now));
        let budget = self.budget(rules, last.class, units, now);
        Some(if budget > latest.0 {
            (budget, Cause::Budget)
        } else {
            latest
        })
    }

    /// Units that asked before and share the account's budgets: those before it in its lane, and
    /// the heads of other lanes that no wait of their own holds back.
    fn ahead(&self, key: LaneKey, waiter: &Waiter, now: Tick) -> u32 {
        let shares = |class: CostClass| class == waiter.class || (class.is_send() && waiter.class.is_send());
        let held = |key: &LaneKey, class: CostClass| {
            let chat = key.chat().and_then(|chat| self.chats.get(&chat));
            chat.is_some_and(|chat| chat.mark(class).0 > now)
        };
        let others = self
            .heads
            .range(..waiter.ticket)
            .filter(|(_, other)| **other != key);
        let others = others.filter_map(|(_, other)| {
            let head = self.lanes.get(other)?.front()?;
            (shares(head.class) && !held(other, head.class)).then_some(head.units)
        });
        let before = self.lanes.get(&key).into_iter().flatten();
        let before = before.filter(|queued| queued.ticket < waiter.ticket && shares(queued.class));
        others
            .chain(before.map(|queued| queued.units))
            .fold(0, u32::saturating_add)
    }

    fn prune(&mut self, rules: &LimiterConfig, now: Tick) {
        if self.chats.len() < self.prune_at.max(CHATS_KEPT) {
            return;
        }
        let shares = rules.warm_up.days.iter().map(|share| 1.0 / share);
        let slowdown = shares.fold(rules.after_flood.slowest, f64::max);
        let unkept = &mut self.outbox.unkept;
        self.chats.retain(|id, chat| {
            let rests = chat.rests(chat_rule(rules, *id), slowdown, now);
            if rests && chat.meter.ledger.is_some() {
                // Its row goes too.
                unkept.push(Place::Chat(*id));
            }
            !rests
        });
        self.prune_at = self.chats.len() * 2;
    }
}
