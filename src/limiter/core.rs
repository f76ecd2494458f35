//! All accounts: who asks, what Telegram asked for, and when to look again.
//!
//! Pure: time is handed in as a [`Tick`], answers are collected as [`Replies`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(super) use super::account::{Account, Answer, Replies, Ticket};
use super::budget::Tick;
use super::config::LimiterConfig;
use super::ledger::{Crossing, Ledger};
use super::means::{LearnedCap, Place, rule_of};
use super::pace::Pace;
use super::restriction::Restriction;
use super::table::Learner;
use super::{Ask, Cause, CostClass};
use crate::base::SessionId;
use crate::model::ChatId;

/// Waits shorter than this are never taken for the whole account's.
const SHARED_WAIT: Duration = Duration::from_secs(10);
/// When those may ask again who waited for an account that is no more.
const GONE: Duration = Duration::from_secs(1);
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
}

/// A cap that was passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) session: SessionId,
    pub(super) place: Place,
    pub(super) crossing: Crossing,
}

/// A budget's row as it is to be stored: its ledger and how many units more than that it counts; none if it goes.
pub(super) type Row = (SessionId, Place, Option<(Ledger, u32)>);

/// What is to be stored now.
#[derive(Default)]
pub(super) struct Keep {
    /// What was spent.
    pub(super) rows: Vec<Row>,
    /// Chats whose waits and lessons are over.
    pub(super) forgotten: Vec<(SessionId, ChatId)>,
    /// Caps that were passed.
    pub(super) notices: Vec<Notice>,
}

/// A row on its way: how many units more than its ledger it counts.
type Reserved = (SessionId, Place, Option<u32>);

/// How many rows are stored by one commit at most.
const ROWS: usize = 100;

/// The limiter without a clock.
pub(super) struct Core {
    pub(super) rules: Arc<LimiterConfig>,
    accounts: HashMap<SessionId, Entry>,
    wakes: BTreeSet<(Tick, SessionId)>,
    next: Ticket,
    /// Budgets whose rows should be written.
    unkept: BTreeSet<(SessionId, Place)>,
    notices: Vec<Notice>,
    forgotten: Vec<(SessionId, ChatId)>,
    /// What was handed out to be stored and is neither stored nor refused yet.
    flying: (Vec<Reserved>, Vec<(SessionId, ChatId)>, Vec<Notice>),
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
            unkept: BTreeSet::new(),
            notices: Vec::new(),
            forgotten: Vec::new(),
            flying: Default::default(),
        }
    }

    /// Whether nothing is known of this account yet.
    pub(super) fn is_unknown(&self, session: SessionId) -> bool {
        !self.accounts.contains_key(&session)
    }

    /// Makes an account known, with when its warm-up began; none if it needs none.
    pub(super) fn introduce(
        &mut self,
        session: SessionId,
        new_since: Option<Tick>,
        now: Tick,
        replies: &mut Replies,
    ) {
        self.accounts.entry(session).or_default().account.new_since = new_since;
        self.advance(session, now, replies);
    }

    /// The account, to look at.
    pub(super) fn account(&self, session: SessionId) -> Option<&Account> {
        self.accounts.get(&session).map(|entry| &entry.account)
    }

    /// Takes up an ask; its answer is among the replies of this call or of a later one.
    pub(super) fn ask(&mut self, ask: &Ask, now: Tick, replies: &mut Replies) -> Ticket {
        let entry = self.accounts.entry(ask.session).or_default();
        let ticket = entry.account.take_up(ask).unwrap_or(self.next);
        self.next = self.next.max(ticket + 1);
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
        let rules = self.rules.clone();
        let account = &mut self.accounts.entry(session).or_default().account;
        let told = mark;
        // The updates pace themselves, each channel by itself: there is nobody to learn from their waits.
        let teaches =
            !matches!(mark, Mark::Chat(class, _) | Mark::Account(class) if class == CostClass::Updates);
        let mark = match mark {
            Mark::Chat(class, chat)
                if teaches
                    && (account.is_busy(&rules, class, now)
                        || wait >= SHARED_WAIT && is_shared(account, class, chat, until)) =>
            {
                Mark::Account(class)
            }
            mark => mark,
        };
        place(account, mark, until);
        match (told, mark) {
            _ if !teaches => {}
            (Mark::Chat(_, chat), Mark::Account(class)) => account.blame(&rules, class, chat, now, wait),
            (_, Mark::Account(class)) => account.learn(&rules, class, now, wait),
            (_, Mark::Chat(_, chat)) => account.learn_of_chat(&rules, chat, now, wait),
            _ => {}
        }
        self.advance(session, now, replies);
        mark
    }

    /// The account sent to too many strangers; says how long it rests, and the how manieth time this is.
    pub(super) fn peer_flood(
        &mut self,
        session: SessionId,
        now: Tick,
        replies: &mut Replies,
    ) -> (Duration, u32) {
        let rules = self.rules.clone();
        let restriction = &mut self.accounts.entry(session).or_default().account.restriction;
        let (rest, strikes) = restriction.rest(&rules, now);
        let until = restriction.until.max(now.plus(rest));
        *restriction = Restriction::restored(until, strikes);
        self.advance(session, now, replies);
        (until.since(now), strikes)
    }

    /// A message after a peer flood's rest arrived: the restriction is over.
    pub(super) fn proven(&mut self, session: SessionId, now: Tick, replies: &mut Replies) {
        if let Some(entry) = self.accounts.get_mut(&session) {
            entry.account.restriction = Restriction::default();
            self.advance(session, now, replies);
        }
    }

    /// Whether rows should be written or somebody be told.
    pub(super) fn has_unkept(&self) -> bool {
        !self.unkept.is_empty() || !self.notices.is_empty() || !self.forgotten.is_empty()
    }

    /// Begins to store: the rows, and what is told in the same commit. [`Self::kept`] tells what became of it.
    pub(super) fn keep(&mut self) -> Keep {
        // Who asks again without having said what became of it has begun anew.
        let (lost, remembered, untold) = std::mem::take(&mut self.flying);
        self.not_kept(&lost, remembered, untold);
        let mut rows = Vec::new();
        while rows.len() < ROWS
            && let Some((session, place)) = self.unkept.pop_first()
        {
            let rule = rule_of(&self.rules, place);
            let entry = self.accounts.get_mut(&session);
            let ledger = entry.and_then(|entry| entry.account.ledger_mut(place));
            let row = ledger.map(|ledger| {
                let reserved = ledger.reserve(rule);
                (ledger.clone(), reserved)
            });
            rows.push((session, place, row));
        }
        let notices = std::mem::take(&mut self.notices);
        let reserved =
            |(session, place, row): &Row| (*session, *place, row.as_ref().map(|(_, reserved)| *reserved));
        let at = self.forgotten.len().saturating_sub(ROWS);
        let forgotten = self.forgotten.split_off(at);
        self.flying = (
            rows.iter().map(reserved).collect(),
            forgotten.clone(),
            notices.clone(),
        );
        Keep {
            rows,
            forgotten,
            notices,
        }
    }

    fn not_kept(&mut self, rows: &[Reserved], forgotten: Vec<(SessionId, ChatId)>, notices: Vec<Notice>) {
        self.forgotten.extend(forgotten);
        for (session, place, _) in rows {
            let entry = self.accounts.get_mut(session);
            if let Some(ledger) = entry.and_then(|entry| entry.account.ledger_mut(*place)) {
                ledger.kept(None);
            }
            self.unkept.insert((*session, *place));
        }
        self.notices.extend(notices);
    }

    /// What was handed out last is durable; or, with `stored` false, it is to be handed out again.
    pub(super) fn kept(&mut self, stored: bool, now: Tick, replies: &mut Replies) {
        let (rows, forgotten, notices) = std::mem::take(&mut self.flying);
        if !stored {
            self.not_kept(&rows, forgotten, notices);
            return;
        }
        for (session, place, reserved) in rows {
            if reserved.is_some() && self.is_unknown(session) {
                // It was forgotten meanwhile: its row goes, too.
                self.unkept.insert((session, place));
            }
            let entry = self.accounts.get_mut(&session);
            let ledger = entry.and_then(|entry| entry.account.ledger_mut(place));
            if let (Some(ledger), Some(reserved)) = (ledger, reserved) {
                ledger.kept(Some(reserved));
            }
            self.advance(session, now, replies);
        }
    }

    /// Takes every reserve back, before an orderly end: these rows then say what was spent and no more.
    pub(super) fn give_back(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (session, entry) in &mut self.accounts {
            let places: Vec<Place> = entry
                .account
                .ledgers(&self.rules)
                .iter()
                .map(|(place, _)| *place)
                .collect();
            for place in places {
                if let Some(ledger) = entry.account.ledger_mut(place)
                    && ledger.give_back()
                {
                    rows.push((*session, place, Some((ledger.clone(), 0))));
                }
            }
        }
        rows
    }

    /// Puts back what a budget had spent.
    pub(super) fn restore_ledger(&mut self, session: SessionId, place: Place, ledger: Ledger) {
        self.accounts
            .entry(session)
            .or_default()
            .account
            .restore_ledger(place, ledger);
    }

    /// Puts back what a long flood wait taught of the hour.
    pub(super) fn restore_learned(&mut self, session: SessionId, learned: LearnedCap) {
        self.accounts.entry(session).or_default().account.learned = Some(learned);
    }

    /// Puts back a peer flood.
    pub(super) fn restore_restriction(&mut self, session: SessionId, restriction: Restriction) {
        self.accounts.entry(session).or_default().account.restriction = restriction;
    }

    /// Puts back a mark that was stored before a restart.
    pub(super) fn restore(&mut self, session: SessionId, mark: Mark, until: Tick) {
        place(
            &mut self.accounts.entry(session).or_default().account,
            mark,
            until,
        );
    }

    /// Puts back what a class or a chat had learned.
    pub(super) fn restore_pace(&mut self, session: SessionId, learner: Learner, pace: Pace) {
        let account = &mut self.accounts.entry(session).or_default().account;
        match learner {
            Learner::Class(class) => account.classes[class.index()].pace = pace,
            Learner::Chat(chat) => account.chats.entry(chat).or_default().pace = pace,
        }
    }

    /// Forgets an account that is no more; whoever waits for it is told so.
    pub(super) fn forget(&mut self, session: SessionId, now: Tick, replies: &mut Replies) {
        let Some(entry) = self.accounts.remove(&session) else {
            return;
        };
        if let Some(wake) = entry.wake {
            self.wakes.remove(&(wake, session));
        }
        self.unkept.retain(|(of, _)| *of != session);
        self.forgotten.retain(|(of, _)| *of != session);
        self.notices.retain(|notice| notice.session != session);
        let gone = |ticket| (ticket, Answer::Refused(now.plus(GONE), Cause::Budget));
        replies.extend(entry.account.tickets().map(gone));
    }

    /// Forgets the account's peer flood and what its flood waits taught; running flood waits stay.
    pub(super) fn clear(&mut self, session: SessionId, now: Tick, replies: &mut Replies) {
        if let Some(entry) = self.accounts.get_mut(&session) {
            let account = &mut entry.account;
            (account.restriction, account.learned) = (Restriction::default(), None);
            for class in &mut account.classes {
                (class.pace, class.suspect) = (Pace::default(), None);
            }
            for chat in account.chats.values_mut() {
                chat.pace = Pace::default();
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
        let outbox = &mut entry.account.outbox;
        self.forgotten
            .extend(outbox.forgotten.drain(..).map(|chat| (session, chat)));
        self.unkept
            .extend(outbox.unkept.drain(..).map(|place| (session, place)));
        self.notices
            .extend(outbox.crossings.drain(..).map(|(place, crossing)| Notice {
                session,
                place,
                crossing,
            }));
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
