//! One account: its budgets, the marks on it and on its chats, and who of those that wait goes when.
//!
//! What has to be stored or told of it is put into its outbox, for whoever has a disk and a voice.
//! Pure: time is handed in as a [`Tick`]. Calls wait in lanes (see `queue`). Heads of lanes whose time has come go in the
//! order in which they asked, each urgency with its part (see `share`). Nobody starves: the first that waits for nothing
//! but a budget it shares with others *reserves* that budget, and those behind it do not draw on it before. So a call
//! goes within the time that the units before it and its own take at the budget's pace, whatever comes after it.

use std::collections::HashMap;
use std::time::Duration;

use super::budget::{Meter, Tick};
use super::config::LimiterConfig;
use super::due::{Reserved, TICK};
use super::ledger::Crossing;
use super::means::{LearnedCap, Place, Suspect, chat_rule, class_rule, rule_of};
use super::pace::Pace;
pub(super) use super::queue::Ticket;
use super::queue::{LaneKey, Pool, Pools, Queue, Stand, Standing, Waiter};
use super::restriction::Restriction;
use super::share::{Shares, Urgency};
use super::{Ask, Cause, CostClass};
use crate::model::ChatId;

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
/// How many chats may have taught an account something; the oldest lessons go.
const CHATS_MOST: usize = 4096;
/// No time.
const NEVER: Tick = Tick(u64::MAX);

/// What is to be stored and told.
#[derive(Default)]
pub(super) struct Outbox {
    /// Budgets whose rows should be written.
    pub(super) unkept: Vec<Place>,
    /// Caps that were passed.
    pub(super) crossings: Vec<(Place, Crossing)>,
    /// Chats of which nothing is to be remembered any more.
    pub(super) forgotten: Vec<ChatId>,
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
    pub(super) queue: Queue,
    /// What each urgency has had, by pool.
    shares: [Shares; Pool::COUNT],
    /// When to look at a pool again.
    wakes: [Tick; Pool::COUNT],
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
            queue: Queue::default(),
            shares: Default::default(),
            wakes: [NEVER; Pool::COUNT],
            prune_at: 0,
        }
    }
}

impl Chat {
    /// The later of its own marks for a class.
    pub(super) fn mark(&self, class: CostClass) -> (Tick, Cause) {
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

    fn rests(&self, rules: &LimiterConfig, id: ChatId, slowdown: f64, now: Tick) -> bool {
        self.waits_no_more(now)
            && self.pace.is_over(&rules.after_flood, now)
            && self.meter.is_rested(chat_rule(rules, id), slowdown, now)
    }

    /// Whether Telegram asks for no wait any more.
    fn waits_no_more(&self, now: Tick) -> bool {
        self.slow_mode <= now && self.floods.iter().all(|(_, until)| *until <= now)
    }

    /// Whether there may be rows of what Telegram asked for or taught.
    fn is_stored(&self) -> bool {
        self.slow_mode != Tick::default() || !self.floods.is_empty() || self.pace != Pace::default()
    }
}

impl Account {
    /// How many calls of a class wait.
    pub(super) fn waiting(&self, class: CostClass) -> usize {
        self.queue.waiting(class)
    }

    /// Every ticket that waits for an answer.
    pub(super) fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.queue.tickets()
    }

    /// When one unit of a class could go, as far as the account alone is concerned.
    pub(super) fn next(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> (Tick, Cause) {
        let (mark, cause) = self.mark(class, now);
        let budget = self.budget(rules, class, 1, now, Urgency::Interactive);
        if mark > budget {
            (mark, cause)
        } else {
            (budget, Cause::Budget)
        }
    }

    /// The ticket of an ask that was refused before and asks again.
    pub(super) fn take_up(&mut self, ask: &Ask) -> Option<Ticket> {
        self.queue.take_up(ask.patience.turn?, ask.class)
    }

    /// Puts an ask into its lane and answers whatever is due now.
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
        let waiter = Waiter {
            ticket,
            class: ask.class,
            units: ask.units.max(1),
            stranger: ask.stranger && ask.class.is_send(),
            urgency: ask.patience.urgency,
            turn: ask.patience.turn,
            deadline: now.plus(ask.patience.span),
        };
        let moved = self.queue.put(key, waiter);
        let pools = moved.map_or(Pools::NONE, |(pool, ..)| Pools::only(pool));
        let before = replies.len();
        let mut wake = self.advance_in(pools, rules, now, replies);
        if replies[before..].iter().any(|(answered, _)| *answered == ticket) {
            return wake;
        }
        match self.forecast(rules, key, ticket, now) {
            Some((earliest, cause)) if earliest > waiter.deadline => {
                let mut pools = Pools::only(Pool::of(waiter.class));
                if let Some((pool, ..)) = self.queue.remove(key, ticket) {
                    pools.add(pool);
                }
                self.queue.keep_place(key, &waiter, earliest);
                replies.push((ticket, Answer::Refused(earliest, cause)));
                wake = self.advance_in(pools, rules, now, replies);
            }
            // Those behind a head are looked at with it.
            _ if moved.is_none() => {
                if let Some(head) = self.queue.head(key) {
                    let at = &mut self.wakes[Pool::of(head.class).index()];
                    *at = waiter.deadline.min(*at);
                }
                wake = self.next_wake();
            }
            _ => {}
        }
        wake
    }

    /// Grants and refuses whatever is due, and says when to look again.
    pub(super) fn advance(
        &mut self,
        rules: &LimiterConfig,
        now: Tick,
        replies: &mut Replies,
    ) -> Option<Tick> {
        self.advance_in(Pools::ALL, rules, now, replies)
    }

    fn advance_in(
        &mut self,
        mut pools: Pools,
        rules: &LimiterConfig,
        now: Tick,
        replies: &mut Replies,
    ) -> Option<Tick> {
        while let Some(pool) = pools.next() {
            self.wakes[pool.index()] = NEVER;
            if self.queue.is_in_use(pool) {
                let changed = self.advance_pool(pool, rules, now, replies);
                pools.join(changed);
            }
        }
        self.next_wake()
    }

    fn next_wake(&self) -> Option<Tick> {
        self.wakes.iter().copied().min().filter(|wake| *wake != NEVER)
    }

    /// Looks at everybody in a pool, whoever's turn it is first. Tells the other pools in which somebody stands since.
    fn advance_pool(&mut self, pool: Pool, rules: &LimiterConfig, now: Tick, replies: &mut Replies) -> Pools {
        let (mut wake, mut reserved, mut others) = (NEVER, Reserved::default(), Pools::NONE);
        let mut firsts = Urgency::ALL.map(|urgency| self.queue.first(pool, urgency, 0));
        loop {
            let shares = &self.shares[pool.index()];
            let waiting = Urgency::ALL.into_iter().zip(firsts);
            let waiting = waiting.filter_map(|(urgency, first)| Some((urgency, first?)));
            let next = waiting.min_by_key(|(urgency, _)| (shares.begins(*urgency), *urgency));
            let Some((urgency, (ticket, who))) = next else {
                break;
            };
            let (next, moved) = match who {
                Standing::Head(key) => self.look_at(key, urgency, rules, now, &mut reserved, replies),
                Standing::Absent => (self.wait_for(ticket, rules, now, &mut reserved), None),
            };
            wake = wake.min(next);
            firsts[urgency as usize] = self.queue.first(pool, urgency, ticket + 1);
            match moved {
                Some((here, urgency, ticket)) if here == pool => {
                    let first = &mut firsts[urgency as usize];
                    if first.is_none_or(|(other, _)| ticket < other) {
                        *first = self.queue.first(pool, urgency, ticket);
                    }
                }
                Some((other, ..)) => others.add(other),
                None => {}
            }
        }
        self.wakes[pool.index()] = wake;
        others
    }

    /// Answers the head of a lane if that is due; says when to look again, and where the lane's head stands if it
    /// stands there since now.
    fn look_at(
        &mut self,
        key: LaneKey,
        urgency: Urgency,
        rules: &LimiterConfig,
        now: Tick,
        reserved: &mut Reserved,
        replies: &mut Replies,
    ) -> (Tick, Option<Stand>) {
        let Some(head) = self.queue.head(key).copied() else {
            return (NEVER, None);
        };
        let due = self.due(rules, key, &head, now);
        let mut earliest = due.earliest();
        let held = reserved.until(due.uses).map(|until| until.max(now.plus(TICK)));
        if let Some(held) = held.filter(|held| *held > earliest.0) {
            earliest = (held, Cause::Budget);
        }
        if earliest.0 <= now {
            let probe = self.take(rules, key, &head, now);
            self.shares[Pool::of(head.class).index()].took(urgency, head.units);
            replies.push((head.ticket, Answer::Granted(probe)));
            return (NEVER, self.queue.remove(key, head.ticket));
        }
        // Whoever waits for no more than a shared budget goes before those behind it.
        let waits = due.own.0 <= now && !due.blocked.is_none();
        if earliest.0 > head.deadline {
            replies.push((head.ticket, Answer::Refused(earliest.0, earliest.1)));
            let moved = self.queue.remove(key, head.ticket);
            if !self.queue.keep_place(key, &head, earliest.0) {
                return (NEVER, moved);
            }
            let again = self.wait_for(head.ticket, rules, now, reserved);
            return (again, moved);
        }
        if waits {
            reserved.hold(&due);
        }
        self.want(rules, key, &head);
        let (lost, ends, moved) = self.queue.expire_behind(key, now, earliest.0);
        for waiter in lost {
            self.queue.keep_place(key, &waiter, earliest.0);
            replies.push((waiter.ticket, Answer::Refused(earliest.0, earliest.1)));
        }
        (ends.map_or(earliest.0, |ends| ends.min(earliest.0)), moved)
    }

    /// Keeps what an absent one waits for; says when to look at it again.
    fn wait_for(
        &mut self,
        ticket: Ticket,
        rules: &LimiterConfig,
        now: Tick,
        reserved: &mut Reserved,
    ) -> Tick {
        let Some(absent) = self.queue.absent(ticket) else {
            return NEVER;
        };
        if absent.expires() <= now {
            self.queue.forget_absent(ticket);
            return NEVER;
        }
        let due = self.due(rules, absent.key, &absent.waiter, now);
        if due.own.0 > now {
            return absent.expires();
        }
        if !due.blocked.is_none() {
            reserved.hold(&due);
            return due.shared.min(absent.expires());
        }
        if absent.until <= now {
            // It may be here any moment.
            reserved.put(due.uses, absent.expires());
            return absent.expires();
        }
        absent.until
    }

    /// The latest of the marks on the account for a class.
    pub(super) fn mark(&self, class: CostClass, now: Tick) -> (Tick, Cause) {
        let flood = self.classes[class.index()].not_before;
        match self.restriction.rests(now).filter(|_| class.is_send()) {
            Some(until) if until > flood => (until, Cause::PeerFlood),
            _ => (flood, Cause::FloodWait),
        }
    }

    /// When the account's own budgets allow so many units of a class.
    pub(super) fn budget(
        &self,
        rules: &LimiterConfig,
        class: CostClass,
        units: u32,
        now: Tick,
        urgency: Urgency,
    ) -> Tick {
        let speed = self.speed(rules, class, now);
        let meter = &self.classes[class.index()].meter;
        let own = meter.earliest_of(class_rule(rules, class), units, speed, urgency);
        if class.is_send() {
            own.max(self.meter.earliest(&rules.account, units, speed))
                .max(self.learned_room(units, now))
        } else {
            own
        }
    }

    /// The budgets that a call draws on.
    pub(super) fn places(key: LaneKey, waiter: &Waiter) -> impl Iterator<Item = Place> + use<> {
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

    /// Forgets chats that rest; and of those that do not, because they taught something, the oldest if there are too many.
    fn prune(&mut self, rules: &LimiterConfig, now: Tick) {
        if self.chats.len() < self.prune_at.max(CHATS_KEPT) {
            return;
        }
        let shares = rules.warm_up.days.iter().map(|share| 1.0 / share);
        let slowdown = shares.fold(rules.after_flood.slowest, f64::max);
        let (outbox, queue) = (&mut self.outbox, &self.queue);
        let mut lessons: Vec<(Tick, ChatId)> = Vec::new();
        let mut forget = |id: ChatId, chat: &Chat| {
            if chat.meter.ledger.is_some() {
                outbox.unkept.push(Place::Chat(id));
            }
            if chat.is_stored() {
                outbox.forgotten.push(id);
            }
        };
        self.chats.retain(|id, chat| {
            let rests = chat.rests(rules, *id, slowdown, now) && !queue.waits_for(*id);
            if rests {
                forget(*id, chat);
            } else if chat.waits_no_more(now) && !queue.waits_for(*id) {
                lessons.push((chat.pace.at, *id));
            }
            !rests
        });
        let surplus = self.chats.len().saturating_sub(CHATS_MOST).min(lessons.len());
        lessons.sort_unstable();
        for (_, id) in lessons.drain(..surplus) {
            if let Some(chat) = self.chats.remove(&id) {
                forget(id, &chat);
            }
        }
        self.prune_at = (self.chats.len() * 2).min(CHATS_MOST + CHATS_MOST / 4);
    }
}
