//! All accounts: who asks, what Telegram asked for, and when to look again.
//!
//! Pure: time is handed in as a [`Tick`], answers are collected as [`Replies`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(super) use super::account::{Account, Answer, Replies, Ticket};
use super::budget::Tick;
use super::config::LimiterConfig;
use super::pace::Pace;
use super::{Ask, CostClass};
use crate::base::SessionId;
use crate::model::ChatId;

/// Waits shorter than this are never taken for the whole account's.
const SHARED_WAIT: Duration = Duration::from_secs(10);
/// Two waits that end this close to each other are one and the same.
const SAME_END: Duration = Duration::from_secs(2);

/// A wait that Telegram asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Calls of a class, of the whole account.
    Account(CostClass),
    /// Calls of a class into one chat.
    Chat(CostClass, ChatId),
    /// New messages into one chat.
    SlowMode(ChatId),
    /// New messages of the account.
    PeerFlood,
}

/// The limiter without a clock.
pub(super) struct Core {
    pub(super) rules: Arc<LimiterConfig>,
    accounts: HashMap<SessionId, Entry>,
    wakes: BTreeSet<(Tick, SessionId)>,
    next: Ticket,
}

#[derive(Default)]
struct Entry {
    account: Account,
    wake: Option<Tick>,
}

impl Core {
    pub(super) fn new(rules: Arc<LimiterConfig>) -> Self {
        Self {
            rules,
            accounts: HashMap::new(),
            wakes: BTreeSet::new(),
            next: 1,
        }
    }

    /// Whether nothing is known of this account yet.
    pub(super) fn is_unknown(&self, session: SessionId) -> bool {
        !self.accounts.contains_key(&session)
    }

    /// Makes an account known, with how long ago it was added here.
    pub(super) fn introduce(&mut self, session: SessionId, age: Duration, now: Tick) {
        let fresh = self.rules.warm_up.span.saturating_sub(age);
        self.accounts.entry(session).or_default().account.new_until = now.plus(fresh);
    }

    /// The account, to look at.
    pub(super) fn account(&self, session: SessionId) -> Option<&Account> {
        self.accounts.get(&session).map(|entry| &entry.account)
    }

    /// Takes up an ask; its answer is among the replies of this call or of a later one.
    pub(super) fn ask(&mut self, ask: &Ask, now: Tick, replies: &mut Replies) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let entry = self.accounts.entry(ask.session).or_default();
        let wake = entry.account.ask(&self.rules, ticket, ask, now, replies);
        self.look_again(ask.session, wake);
        ticket
    }

    /// When the next answer may be due.
    pub(super) fn next_wake(&self) -> Option<Tick> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Answers whatever is due by now.
    pub(super) fn wake(&mut self, now: Tick, replies: &mut Replies) {
        while let Some(&(at, session)) = self.wakes.first()
            && at <= now
        {
            self.advance(session, now, replies);
        }
    }

    /// Notes a wait that Telegram asked for; says what it really concerns: a flood wait of one
    /// chat that ends together with another chat's is the whole account's.
    pub(super) fn mark(
        &mut self,
        session: SessionId,
        mark: Mark,
        wait: Duration,
        now: Tick,
        replies: &mut Replies,
    ) -> Mark {
        let until = now.plus(wait);
        let account = &mut self.accounts.entry(session).or_default().account;
        let mark = match mark {
            Mark::Chat(class, chat) if wait >= SHARED_WAIT && is_shared(account, class, chat, until) => {
                Mark::Account(class)
            }
            mark => mark,
        };
        place(account, mark, until);
        if let Mark::Account(class) | Mark::Chat(class, _) = mark {
            let pace = &mut account.classes[class.index()].pace;
            pace.learn(&self.rules.after_flood, now, wait);
        }
        self.advance(session, now, replies);
        mark
    }

    /// Puts back a mark that was stored before a restart.
    pub(super) fn restore(&mut self, session: SessionId, mark: Mark, until: Tick) {
        place(
            &mut self.accounts.entry(session).or_default().account,
            mark,
            until,
        );
    }

    /// Puts back what a class had learned.
    pub(super) fn restore_pace(&mut self, session: SessionId, class: CostClass, pace: Pace) {
        let account = &mut self.accounts.entry(session).or_default().account;
        account.classes[class.index()].pace = pace;
    }

    /// Forgets the account's peer flood and what its flood waits taught; running flood waits stay.
    pub(super) fn clear(&mut self, session: SessionId, now: Tick, replies: &mut Replies) {
        if let Some(entry) = self.accounts.get_mut(&session) {
            entry.account.peer_flood = Tick::default();
            for class in &mut entry.account.classes {
                class.pace = Pace::default();
            }
            self.advance(session, now, replies);
        }
    }

    fn advance(&mut self, session: SessionId, now: Tick, replies: &mut Replies) {
        let wake = match self.accounts.get_mut(&session) {
            Some(entry) => entry.account.advance(&self.rules, now, replies),
            None => None,
        };
        self.look_again(session, wake);
    }

    fn look_again(&mut self, session: SessionId, wake: Option<Tick>) {
        let Some(entry) = self.accounts.get_mut(&session) else {
            return;
        };
        if entry.wake == wake {
            return;
        }
        if let Some(old) = entry.wake {
            self.wakes.remove(&(old, session));
        }
        if let Some(new) = wake {
            self.wakes.insert((new, session));
        }
        entry.wake = wake;
    }
}

fn place(account: &mut Account, mark: Mark, until: Tick) {
    match mark {
        Mark::Account(class) => {
            let state = &mut account.classes[class.index()];
            state.not_before = state.not_before.max(until);
        }
        Mark::Chat(class, chat) => {
            let floods = &mut account.chats.entry(chat).or_default().floods;
            match floods.iter_mut().find(|(marked, _)| *marked == class) {
                Some((_, known)) => *known = (*known).max(until),
                None => floods.push((class, until)),
            }
        }
        Mark::SlowMode(chat) => {
            let state = account.chats.entry(chat).or_default();
            state.slow_mode = state.slow_mode.max(until);
        }
        Mark::PeerFlood => account.peer_flood = account.peer_flood.max(until),
    }
}

fn is_shared(account: &Account, class: CostClass, chat: ChatId, until: Tick) -> bool {
    account.chats.iter().any(|(other, state)| {
        let ends = |end: Tick| end.since(until) <= SAME_END && until.since(end) <= SAME_END;
        *other != chat
            && state
                .floods
                .iter()
                .any(|(marked, end)| *marked == class && ends(*end))
    })
}
