//! What an account may spend: its speed, its ledgers, and what its flood waits taught.
//!
//! Pure. A flood wait names neither the limit it is about nor whose that is. While the account sends at its full pace
//! a wait is obeyed by all of it, whichever chat met it. A long wait is about what went in the last hour. Any other
//! teaches the chat; if another one comes, there or elsewhere, while that chat still goes at half its speed, it was the
//! account's, and the chat's lesson is taken back. If the chat went at all of its own speed, a wait is the chat's.

use std::time::Duration;

use super::CostClass;
use super::account::{Account, Chat};
use super::budget::{Meter, Speed, Tick};
use super::config::{Budget, LimiterConfig};
use super::ledger::{DAY, Ledger, Window};
use super::pace::Pace;
use crate::model::ChatId;

/// A flood wait that is longer is about what went in the last hour, not about the pace.
const LONG_WAIT: Duration = Duration::from_secs(120);
/// The part of what an hour held before such a wait that an hour holds after it.
const HOURLY: f64 = 0.95;

/// A message that comes within this many of its chat's distances comes as soon as it can.
const HURRY: f64 = 1.5;

/// A budget of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// New messages into all chats.
    Account,
    /// First messages to strangers.
    Strangers,
    /// Calls of a class.
    Class(CostClass),
    /// New messages into one chat.
    Chat(ChatId),
}

impl Place {
    /// The name, as config, API and metrics show it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Strangers => "strangers",
            Self::Class(class) => class.as_str(),
            Self::Chat(_) => "chat",
        }
    }
}

/// The chat that met a flood wait, and its pace before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Suspect {
    pub(super) chat: ChatId,
    pub(super) before: Pace,
    pub(super) at: Tick,
}

/// How many new messages an hour takes, as a long flood wait taught.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LearnedCap {
    pub(super) units: u32,
    pub(super) until: Tick,
}

static NO_RULE: Budget = Budget {
    every: Duration::ZERO,
    burst: 1,
    grows_to: Duration::ZERO,
    quotas: Vec::new(),
    per_hour: 0,
    per_day: 0,
};

/// Whether an account that is new here is held back in this class: what others notice, not what it reads.
fn warms(class: CostClass) -> bool {
    class.is_send() || matches!(class, CostClass::Resolve | CostClass::Join)
}

/// The rule of a budget.
pub(super) fn rule_of(rules: &LimiterConfig, place: Place) -> &Budget {
    match place {
        Place::Account => &rules.account,
        Place::Strangers => &rules.strangers,
        Place::Class(class) => class_rule(rules, class),
        Place::Chat(chat) => chat_rule(rules, chat),
    }
}

pub(super) fn class_rule(rules: &LimiterConfig, class: CostClass) -> &Budget {
    rules.classes.get(&class).unwrap_or(&NO_RULE)
}

pub(super) fn chat_rule(rules: &LimiterConfig, chat: ChatId) -> &Budget {
    if chat.is_user() { &rules.chat } else { &rules.group }
}

impl Account {
    /// The day of its warm-up, counted from 1, and the share of the budgets on it.
    pub(super) fn warm_up(&self, rules: &LimiterConfig, now: Tick) -> Option<(usize, f64)> {
        let passed = now.since(self.new_since?).as_secs() / DAY.as_secs();
        let day = usize::try_from(passed).unwrap_or(usize::MAX);
        rules
            .warm_up
            .days
            .get(day)
            .map(|share| (day.saturating_add(1), *share))
    }

    /// How much slower than its rules a class goes.
    pub(super) fn slowdown(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> f64 {
        self.speed(rules, class, now).slowdown
    }

    pub(super) fn speed(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> Speed {
        self.paced(rules, class, &self.classes[class.index()].pace, now)
    }

    /// The speed in one chat, which may have taught more than the class as a whole.
    pub(super) fn chat_speed(
        &self,
        rules: &LimiterConfig,
        class: CostClass,
        chat: Option<&Chat>,
        now: Tick,
    ) -> Speed {
        let even = Pace::default();
        self.paced(rules, class, chat.map_or(&even, |chat| &chat.pace), now)
    }

    fn paced(&self, rules: &LimiterConfig, class: CostClass, pace: &Pace, now: Tick) -> Speed {
        let learned = pace.slowdown(&rules.after_flood, now);
        let share = self.warm_up(rules, now).filter(|_| warms(class));
        let part = share.map_or(1.0, |(_, share)| share);
        Speed {
            slowdown: learned.max(1.0 / part),
            part,
        }
    }

    /// The part of a budget's caps that may be used now.
    pub(super) fn part(&self, rules: &LimiterConfig, place: Place, now: Tick) -> f64 {
        let class = match place {
            Place::Class(class) => class,
            Place::Account | Place::Strangers | Place::Chat(_) => CostClass::Send,
        };
        self.speed(rules, class, now).part
    }

    pub(super) fn meter(&self, place: Place) -> Option<&Meter> {
        match place {
            Place::Account => Some(&self.meter),
            Place::Strangers => Some(&self.strangers),
            Place::Class(class) => Some(&self.classes[class.index()].meter),
            Place::Chat(chat) => self.chats.get(&chat).map(|chat| &chat.meter),
        }
    }

    pub(super) fn meter_mut(&mut self, place: Place) -> Option<&mut Meter> {
        match place {
            Place::Account => Some(&mut self.meter),
            Place::Strangers => Some(&mut self.strangers),
            Place::Class(class) => Some(&mut self.classes[class.index()].meter),
            Place::Chat(chat) => self.chats.get_mut(&chat).map(|chat| &mut chat.meter),
        }
    }

    /// The ledger of a budget, if there is anything in it.
    pub(super) fn ledger_mut(&mut self, place: Place) -> Option<&mut Ledger> {
        self.meter_mut(place)?.ledger.as_deref_mut()
    }

    /// Puts back a ledger that was stored.
    pub(super) fn restore_ledger(&mut self, place: Place, ledger: Ledger) {
        if let Place::Chat(chat) = place {
            self.chats.entry(chat).or_default();
        }
        if let Some(meter) = self.meter_mut(place) {
            meter.ledger = Some(Box::new(ledger));
        }
    }

    /// Every ledger whose rule has a cap.
    pub(super) fn ledgers(&self, rules: &LimiterConfig) -> Vec<(Place, &Ledger)> {
        let classes = CostClass::ALL.into_iter().zip(&self.classes);
        let classes = classes.map(|(class, state)| (Place::Class(class), &state.meter));
        let chats = self
            .chats
            .iter()
            .map(|(chat, state)| (Place::Chat(*chat), &state.meter));
        [(Place::Account, &self.meter), (Place::Strangers, &self.strangers)]
            .into_iter()
            .chain(classes)
            .chain(chats)
            .filter(|(place, _)| rule_of(rules, *place).is_capped())
            .filter_map(|(place, meter)| Some((place, meter.ledger.as_deref()?)))
            .collect()
    }

    /// Whether new messages went so recently that a flood wait may well be the whole account's.
    pub(super) fn is_busy(&self, rules: &LimiterConfig, class: CostClass, now: Tick) -> bool {
        let slowdown = self.slowdown(rules, class, now);
        class.is_send() && self.meter.is_busy(&rules.account, slowdown, now)
    }

    /// Learns from a flood wait of the account: its pace, and from a long one how much an hour takes.
    pub(super) fn learn(&mut self, rules: &LimiterConfig, class: CostClass, now: Tick, wait: Duration) {
        let lesson = &rules.after_flood;
        let pace = &mut self.classes[class.index()].pace;
        let fresh = now >= pace.ends;
        if wait < LONG_WAIT || !class.is_send() || lesson.remember.is_zero() {
            pace.learn(lesson, now, wait);
            return;
        }
        pace.slow(lesson, now, wait);
        if !fresh {
            return;
        }
        let held = self.ledger_mut(Place::Account);
        let held = held.map_or(0, |ledger| ledger.hour.used(Window::Hour, now));
        let units = (f64::from(held) * HOURLY).floor() as u32;
        // Little that went in an hour tells nothing of how much may.
        if units >= rules.account.burst.max(60) {
            self.learned = Some(LearnedCap {
                units,
                until: now.plus(wait).plus(lesson.remember),
            });
        }
    }

    /// When the hour has room under what a long flood wait taught.
    pub(super) fn learned_room(&self, units: u32, now: Tick) -> Tick {
        match (&self.learned, &self.meter.ledger) {
            (Some(learned), Some(ledger)) if learned.until > now => {
                ledger.hour.earliest(Window::Hour, learned.units, units)
            }
            _ => Tick::default(),
        }
    }

    /// Learns from a flood wait that one chat's message met and that all of the account obeys.
    pub(super) fn blame(
        &mut self,
        rules: &LimiterConfig,
        class: CostClass,
        chat: ChatId,
        now: Tick,
        wait: Duration,
    ) {
        let hurried = self.hurries(rules, chat);
        let state = &mut self.classes[class.index()];
        let same = now < state.pace.ends;
        let earlier = state
            .suspect
            .filter(|suspect| now.since(suspect.at) < rules.after_flood.hold);
        if wait >= LONG_WAIT || same {
            self.learn(rules, class, now, wait);
        } else if hurried {
            self.learn_of_chat(rules, chat, now, wait);
        } else if let Some(suspect) = earlier {
            (state.suspect, state.cleared) = (None, Some(suspect.chat));
            self.chats.entry(suspect.chat).or_default().pace = suspect.before;
            self.learn(rules, class, now, wait);
        } else {
            let before = self.chats.entry(chat).or_default().pace;
            state.suspect = Some(Suspect {
                chat,
                before,
                at: now,
            });
            self.learn_of_chat(rules, chat, now, wait);
        }
    }

    /// Whether the chat's last message followed the one before as soon as its own rate allowed: then it is the chat
    /// whose limit was met, as the account's others went slower.
    fn hurries(&self, rules: &LimiterConfig, id: ChatId) -> bool {
        let longest = chat_rule(rules, id).every.mul_f64(HURRY);
        self.chats.get(&id).is_some_and(|chat| chat.gap <= longest)
    }

    /// Learns from a flood wait of one chat.
    pub(super) fn learn_of_chat(&mut self, rules: &LimiterConfig, chat: ChatId, now: Tick, wait: Duration) {
        let pace = &mut self.chats.entry(chat).or_default().pace;
        pace.learn(&rules.after_flood, now, wait);
    }
}
