//! When a call of an account could go, and which budgets hold it back or are kept for it.
//!
//! Pure. What a call waits for is of two kinds: its own (what Telegram asked for, its chat's pace), and budgets that it
//! shares with calls of other chats. Only for the second may it make others wait.

use std::time::Duration;

use super::account::Account;
use super::budget::{Meter, Tick};
use super::config::LimiterConfig;
use super::means::{Place, chat_rule, class_rule, rule_of};
use super::queue::{LaneKey, Pool, Ticket, Waiter};
use super::{Cause, CostClass};

/// How soon to look again for a reserve that has to be stored first; its arrival wakes the waiting anyway.
const KEEPING: Duration = Duration::from_millis(100);
/// The shortest time there is.
pub(super) const TICK: Duration = Duration::from_micros(1);

/// When a call could go.
pub(super) struct Due {
    /// As far as it, its chat and what Telegram asked for are concerned.
    pub(super) own: (Tick, Cause),
    /// As far as the budgets are concerned that it shares with others.
    pub(super) shared: Tick,
    /// Those that it waits for.
    pub(super) blocked: Shared,
    /// Until when it waits for each of them.
    pub(super) times: [Tick; Shared::COUNT],
    /// Those that it draws on.
    pub(super) uses: Shared,
}

impl Due {
    pub(super) fn earliest(&self) -> (Tick, Cause) {
        if self.shared > self.own.0 {
            (self.shared, Cause::Budget)
        } else {
            self.own
        }
    }
}

/// Budgets that calls of several chats share: of each class, of the account, and of strangers.
#[derive(Clone, Copy, Default)]
pub(super) struct Shared(u16);

impl Shared {
    pub(super) const COUNT: usize = CostClass::ALL.len() + 2;
    const ACCOUNT: Self = Self(1 << CostClass::ALL.len());
    const STRANGERS: Self = Self(2 << CostClass::ALL.len());

    fn class(class: CostClass) -> Self {
        Self(1 << class.index())
    }

    fn of(place: Place) -> Self {
        match place {
            Place::Account => Self::ACCOUNT,
            Place::Strangers => Self::STRANGERS,
            Place::Class(class) => Self::class(class),
            Place::Chat(_) => Self(0),
        }
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The place of a single one among all.
    fn place(self) -> usize {
        (self.0.trailing_zeros() as usize).min(Self::COUNT - 1)
    }
}

/// Shared budgets that somebody further ahead waits for, and until when.
#[derive(Default)]
pub(super) struct Reserved {
    what: Shared,
    until: [Tick; Shared::COUNT],
}

impl Reserved {
    /// What this call waits for, each as long as it is waited for: a cap that is spent for the day holds up nobody who
    /// does not draw on it.
    pub(super) fn hold(&mut self, due: &Due) {
        self.what.0 |= due.blocked.0;
        for at in (0..Shared::COUNT).filter(|at| due.blocked.0 & (1 << at) != 0) {
            self.until[at] = self.until[at].max(due.times[at]);
        }
    }

    pub(super) fn put(&mut self, what: Shared, until: Tick) {
        self.what.0 |= what.0;
        for at in (0..Shared::COUNT).filter(|at| what.0 & (1 << at) != 0) {
            self.until[at] = self.until[at].max(until);
        }
    }

    /// Until when, of those that somebody draws on; none if none of them is reserved.
    pub(super) fn until(&self, uses: Shared) -> Option<Tick> {
        let common = self.what.0 & uses.0;
        let held = (0..Shared::COUNT).filter(|at| common & (1 << at) != 0);
        held.map(|at| self.until[at]).max()
    }
}

impl Account {
    /// When a call could go if nobody were before it, and what it waits for until then.
    pub(super) fn due(&self, rules: &LimiterConfig, key: LaneKey, waiter: &Waiter, now: Tick) -> Due {
        let class = waiter.class;
        let mut own = self.mark(class, now);
        let mut hear = |candidate: (Tick, Cause)| {
            if candidate.0 > own.0 {
                own = candidate;
            }
        };
        let speed = self.speed(rules, class, now);
        let chat = key.chat().and_then(|id| self.chats.get(&id));
        if let Some(chat) = chat {
            hear(chat.mark(class));
        }
        if class.is_send() {
            hear((self.restriction.probed_until(), Cause::Budget));
            if let (Some(id), Some(chat)) = (key.chat(), chat) {
                let speed = self.chat_speed(rules, class, Some(chat), now);
                let rule = chat_rule(rules, id);
                hear((chat.meter.earliest(rule, waiter.units, speed), Cause::Budget));
            }
        }
        let (mut shared, mut blocked, mut uses) = (Tick::default(), Shared::default(), Shared::default());
        let mut times = [Tick::default(); Shared::COUNT];
        let mut share = |what: Shared, at: Tick| {
            uses.0 |= what.0;
            shared = shared.max(at);
            if at > now {
                blocked.0 |= what.0;
                times[what.place()] = at;
            }
        };
        let meter = &self.classes[class.index()].meter;
        let paced = meter.earliest_of(class_rule(rules, class), waiter.units, speed, waiter.urgency);
        share(Shared::class(class), paced);
        if class.is_send() {
            let all = self.meter.earliest(&rules.account, waiter.units, speed);
            share(Shared::ACCOUNT, all.max(self.learned_room(waiter.units, now)));
        }
        if waiter.stranger {
            let strangers = self.strangers.earliest(&rules.strangers, waiter.units, speed);
            share(Shared::STRANGERS, strangers);
        }
        let mut due = Due {
            own,
            shared,
            blocked,
            times,
            uses,
        };
        if due.own.0.max(due.shared) <= now {
            // What a cap has spent is stored first.
            let soon = now.plus(KEEPING).min(waiter.deadline).max(now.plus(TICK));
            for place in self.uncovered(rules, key, waiter) {
                match place {
                    Place::Chat(_) => due.own = (soon, Cause::Budget),
                    _ => {
                        due.shared = soon;
                        due.times[Shared::of(place).place()] = soon;
                    }
                }
                due.blocked.0 |= Shared::of(place).0;
            }
        }
        due
    }

    /// The budgets of whose caps what is stored does not cover the call.
    fn uncovered<'a>(
        &'a self,
        rules: &'a LimiterConfig,
        key: LaneKey,
        waiter: &'a Waiter,
    ) -> impl Iterator<Item = Place> + 'a {
        Self::places(key, waiter).filter(move |place| {
            let rule = rule_of(rules, *place);
            let covered = |meter: &Meter| meter.is_covered(rule, waiter.units);
            rule.is_capped() && !self.meter(*place).is_some_and(covered)
        })
    }

    /// When a call of a lane may go at the soonest, after those before it.
    pub(super) fn forecast(
        &self,
        rules: &LimiterConfig,
        key: LaneKey,
        ticket: Ticket,
        now: Tick,
    ) -> Option<(Tick, Cause)> {
        let chat = key.chat();
        let mut meter = chat
            .and_then(|chat| self.chats.get(&chat))
            .map(|chat| chat.meter.clone())
            .unwrap_or_default();
        let (mut latest, mut last) = ((now, Cause::Budget), None);
        for waiter in self.queue.line(key).take_while(|waiter| waiter.ticket <= ticket) {
            let due = self.due(rules, key, waiter, now).earliest();
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
            last = Some(waiter);
        }
        let last = last?;
        let units = last.units.saturating_add(self.ahead(key, last, now));
        let budget = self.budget(rules, last.class, units, now, last.urgency);
        Some(if budget > latest.0 {
            (budget, Cause::Budget)
        } else {
            latest
        })
    }

    /// Units that asked before, as urgently, and share the account's budgets: those before it in its lane, and the heads of
    /// other lanes that no wait of their own holds back.
    fn ahead(&self, key: LaneKey, waiter: &Waiter, now: Tick) -> u32 {
        let held = |key: LaneKey, class: CostClass| {
            let chat = key.chat().and_then(|chat| self.chats.get(&chat));
            chat.is_some_and(|chat| chat.mark(class).0 > now)
        };
        let pool = Pool::of(waiter.class);
        let others = self
            .queue
            .before(pool, self.queue.urgency(key), waiter.ticket)
            .filter(|(other, head)| *other != key && !held(*other, head.class))
            .map(|(_, head)| head.units);
        let before = self
            .queue
            .line(key)
            .filter(|queued| queued.ticket < waiter.ticket && Pool::of(queued.class) == pool);
        others
            .chain(before.map(|queued| queued.units))
            .fold(0, u32::saturating_add)
    }
}
