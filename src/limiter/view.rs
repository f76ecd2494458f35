//! What an account may still do, as the API shows it.

use serde::Serialize;

use super::account::Account;
use super::budget::Tick;
use super::config::LimiterConfig;
use super::ledger::Window;
use super::means::{Place, rule_of};
use super::{Cause, CostClass};
use crate::base::Timestamp;
use crate::model::ChatId;

/// What is left of an account's budgets, and what holds it back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Budgets {
    /// By class of call.
    pub classes: Vec<ClassBudget>,
    /// Caps per hour and day, and how much of them is spent.
    pub caps: Vec<CapView>,
    /// Chats that Telegram asked to leave alone.
    pub waits: Vec<Wait>,
    /// The account's warm-up, while it is new here.
    pub warm_up: Option<WarmUpView>,
    /// Its rest after a peer flood, until a message got through again.
    pub peer_flood: Option<PeerFloodView>,
    /// New messages within any hour, as a long flood wait taught.
    pub learned_per_hour: Option<u32>,
}

/// One class of call of one account.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ClassBudget {
    /// The class.
    pub class: CostClass,
    /// When the next call may go; none if now.
    pub next: Option<Timestamp>,
    /// What it waits for.
    pub cause: Option<Cause>,
    /// By how much the account goes slower than configured.
    pub slowdown: f64,
    /// Calls that wait.
    pub waiting: usize,
}

/// A cap.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CapView {
    /// `account`, `strangers`, `chat`, or a class of call.
    pub budget: &'static str,
    /// The chat of a `chat` budget.
    pub chat: Option<ChatId>,
    /// `hour` or `day`; both slide.
    pub window: &'static str,
    /// Units spent within it.
    pub used: u32,
    /// Units that may be spent within it, warm-up considered.
    pub cap: u32,
    /// When it was told that 80 % are spent.
    pub warned_at: Option<Timestamp>,
    /// When the next unit has room; none if it has.
    pub next: Option<Timestamp>,
}

/// A day of a warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct WarmUpView {
    /// Counted from 1.
    pub day: usize,
    /// Days it lasts.
    pub days: usize,
    /// The share of the budgets on this day.
    pub share: f64,
}

/// A rest after a peer flood.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PeerFloodView {
    /// When one message is tried; that time may be over.
    pub until: Timestamp,
    /// Peer floods in a row.
    pub strikes: u32,
}

/// A chat that Telegram asked to leave alone.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Wait {
    /// The chat.
    pub chat: ChatId,
    /// The class of call; none if it is slow mode, for new messages of any class.
    pub class: Option<CostClass>,
    /// Until when.
    pub until: Timestamp,
}

impl Budgets {
    /// An account as it is now; `at` gives the limiter's times to the machine's clock.
    pub(super) fn of(
        account: &Account,
        rules: &LimiterConfig,
        now: Tick,
        at: impl Fn(Tick) -> Timestamp,
    ) -> Self {
        let later = |tick: Tick| (tick > now).then(|| at(tick));
        let classes = CostClass::ALL.into_iter().map(|class| {
            let (next, cause) = account.next(rules, class, now);
            ClassBudget {
                class,
                next: later(next),
                cause: (next > now).then_some(cause),
                slowdown: account.slowdown(rules, class, now),
                waiting: account.waiting(class),
            }
        });
        let waits = account.chats.iter().flat_map(|(chat, state)| {
            let floods = state.floods.iter().map(|(class, until)| (Some(*class), *until));
            let slow_mode = std::iter::once((None, state.slow_mode));
            let running = floods.chain(slow_mode).filter(|(_, until)| *until > now);
            running.map(|(class, until)| Wait {
                chat: *chat,
                class,
                until: at(until),
            })
        });
        let warm_up = account.warm_up(rules, now).map(|(day, share)| WarmUpView {
            day,
            days: rules.warm_up.days.len(),
            share,
        });
        let restriction = &account.restriction;
        let peer_flood = (restriction.strikes > 0).then(|| PeerFloodView {
            until: at(restriction.until),
            strikes: restriction.strikes,
        });
        let learned = account.learned.filter(|learned| learned.until > now);
        Self {
            classes: classes.collect(),
            caps: caps(account, rules, now, &at),
            waits: waits.collect(),
            warm_up,
            peer_flood,
            learned_per_hour: learned.map(|learned| learned.units),
        }
    }
}

/// Every cap of an account; of a chat only where something was spent.
fn caps(
    account: &Account,
    rules: &LimiterConfig,
    now: Tick,
    at: &impl Fn(Tick) -> Timestamp,
) -> Vec<CapView> {
    let classes = CostClass::ALL.into_iter().map(Place::Class);
    let mut chats: Vec<_> = account.chats.keys().copied().map(Place::Chat).collect();
    chats.sort();
    let places = [Place::Account, Place::Strangers].into_iter();
    let mut views = Vec::new();
    for place in places.chain(classes).chain(chats) {
        let rule = rule_of(rules, place);
        let ledger = account.meter(place).and_then(|meter| meter.ledger.as_deref());
        for window in Window::ALL {
            let cap = window.effective(rule, account.part(rules, place, now));
            let used = ledger.map_or(0, |ledger| ledger.sliding(window).used(window, now));
            let chat = match place {
                Place::Chat(chat) => Some(chat),
                Place::Account | Place::Strangers | Place::Class(_) => None,
            };
            if cap == 0 || chat.is_some() && used == 0 {
                continue;
            }
            let next = ledger.map(|ledger| ledger.sliding(window).earliest(window, cap, 1));
            let warned = ledger.and_then(|ledger| ledger.sliding(window).warned);
            views.push(CapView {
                budget: place.as_str(),
                chat,
                window: window.as_str(),
                used,
                cap,
                warned_at: warned.filter(|told| told.plus(window.span()) > now).map(at),
                next: next.filter(|next| *next > now).map(at),
            });
        }
    }
    views
}
