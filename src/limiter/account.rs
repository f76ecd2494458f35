//! One account: its budgets, the marks on it and on its chats, and its lanes of waiting calls.
//!
//! Pure: time is handed in as a [`Tick`]. Calls wait in lanes, first in, first out: one lane per
//! chat for everything that changes it, one per class (and chat) for the rest. Heads of lanes whose
//! time has come go in the order in which they asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::budget::{Meter, Tick};
use super::config::{Budget, LimiterConfig};
use super::pace::Pace;
use super::{Ask, Cause, CostClass};
use crate::model::ChatId;

/// A waiting call's number; the order of numbers is the order of asking.
pub(super) type Ticket = u64;

/// The answer to an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may go now.
    Granted,
    /// It would have to wait until then, for this.
    Refused(Tick, Cause),
}

/// Answers that are due, by ticket.
pub(super) type Replies = Vec<(Ticket, Answer)>;

/// How many resting chats an account keeps before it looks for ones to forget.
const CHATS_KEPT: usize = 64;

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
    deadline: Tick,
}

/// What is known of one chat.
#[derive(Default)]
pub(super) struct Chat {
    /// New messages into it.
    meter: Meter,
    /// Its own flood waits, by class.
    pub(super) floods: Vec<(CostClass, Tick)>,
    pub(super) slow_mode: Tick,
}

/// What is known of one class of call.
#[derive(Default)]
pub(super) struct Class {
    meter: Meter,
    pub(super) not_before: Tick,
    pub(super) pace: Pace,
}

#[derive(Default)]
pub(super) struct Account {
    /// New messages into all chats.
    meter: Meter,
    pub(super) classes: [Class; CostClass::ALL.len()],
    pub(super) chats: HashMap<ChatId, Chat>,
    pub(super) peer_flood: Tick,
    /// Until when it counts as new here.
    pub(super) new_until: Tick,
    lanes: HashMap<LaneKey, VecDeque<Waiter>>,
    heads: BTreeMap<Ticket, LaneKey>,
    prune_at: usize,
}

static NO_RULE: Budget = Budget {
    every: Duration::ZERO,
    burst: 1,
    grows_to: Duration::ZERO,
    quotas: Vec::new(),
};

fn class_rule(rules: &LimiterConfig, class: CostClass) -> &Budget {
    let fallback = if class.is_send() { &rules.account } else { &NO_RULE };
    rules.classes.get(&class).unwrap_or(fallback)
}

fn chat_rule(rules: &LimiterConfig, chat: ChatId) -> &Budget {
    if chat.is_user() { &rules.chat } else { &rules.group }
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
            && self.floods.iter().all(|(_, until)| *until <= now)
            && self.meter.is_rested(rule, slowdown, now)
    }
}

impl Account {
    /// How much slower than its rules a class goes.
    pub(super) fn slowdown(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> f64 {
        let learned = self.classes[class.index()].pace.slowdown(&rules.after_flood, now);
        if now < self.new_until {
            learned.max(rules.warm_up.slowdown)
        } else {
            learned
        }
    }

    /// How many calls of a class wait.
    pub(super) fn waiting(&self, class: CostClass) -> usize {
        let queued = self.lanes.values().flatten();
        queued.filter(|waiter| waiter.class == class).count()
    }

    /// When one unit of a class could go, as far as the account alone is concerned.
    pub(super) fn next(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> (Tick, Cause) {
        let (mark, cause) = self.mark(class);
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
                self.take(rules, key, &head, now);
                replies.push((ticket, Answer::Granted));
                self.drop_head(key, ticket);
            } else if earliest > head.deadline {
                replies.push((ticket, Answer::Refused(earliest, cause)));
                self.drop_head(key, ticket);
            } else {
                let ends = self.expire_behind(key, now, (earliest, cause), replies);
                let next = ends.map_or(earliest, |ends| ends.min(earliest));
                wake = Some(wake.map_or(next, |wake| wake.min(next)));
            }
        }
        wake
    }

    /// The latest of the marks on the account for a class.
    fn mark(&self, class: CostClass) -> (Tick, Cause) {
        let flood = self.classes[class.index()].not_before;
        if class.is_send() && self.peer_flood > flood {
            (self.peer_flood, Cause::PeerFlood)
        } else {
            (flood, Cause::FloodWait)
        }
    }

    /// When the account's own budgets allow so many units of a class.
    fn budget(&self, rules: &LimiterConfig, class: CostClass, units: u32, now: Tick) -> Tick {
        let slowdown = self.slowdown(rules, class, now);
        let meter = &self.classes[class.index()].meter;
        let own = meter.earliest(class_rule(rules, class), units, slowdown);
        if class.is_send() {
            own.max(self.meter.earliest(&rules.account, units, slowdown))
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
        hear(self.mark(head.class));
        if let Some(id) = key.chat()
            && let Some(chat) = self.chats.get(&id)
        {
            hear(chat.mark(head.class));
            if head.class.is_send() {
                let slowdown = self.slowdown(rules, head.class, now);
                let rule = chat_rule(rules, id);
                hear((chat.meter.earliest(rule, head.units, slowdown), Cause::Budget));
            }
        }
        latest
    }

    fn take(&mut self, rules: &LimiterConfig, key: LaneKey, waiter: &Waiter, now: Tick) {
        let slowdown = self.slowdown(rules, waiter.class, now);
        let own = class_rule(rules, waiter.class);
        let class = &mut self.classes[waiter.class.index()];
        class.meter.take(own, waiter.units, slowdown, now);
        if waiter.class.is_send() {
            self.meter.take(&rules.account, waiter.units, slowdown, now);
            if let Some(id) = key.chat() {
                let chat = self.chats.entry(id).or_default();
                chat.meter.take(chat_rule(rules, id), waiter.units, slowdown, now);
            }
        }
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
                let slowdown = self.slowdown(rules, waiter.class, now);
                let rule = chat_rule(rules, chat);
                let after = meter.earliest(rule, waiter.units, slowdown);
                if after > latest.0 {
                    latest = (after, Cause::Budget);
                }
                meter.take(rule, waiter.units, slowdown, latest.0);
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
        let slowdown = rules.warm_up.slowdown.max(rules.after_flood.slowest);
        self.chats
            .retain(|id, chat| !chat.rests(chat_rule(rules, *id), slowdown, now));
        self.prune_at = self.chats.len() * 2;
    }
}
