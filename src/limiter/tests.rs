//! The limiter's core in virtual time: days pass in milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::budget::Tick;
use super::core::{Answer, Core, Mark, Notice, Replies};
use super::{Ask, Cause, CostClass, LimiterConfig};
use crate::base::SessionId;
use crate::model::ChatId;

pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const START: Tick = Tick(1_000_000_000_000);

/// A core, its clock, and what it granted.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Tick,
    pub(super) session: SessionId,
    pub(super) asked: BTreeMap<u64, Ask>,
    pub(super) granted: Vec<(Tick, u64)>,
    pub(super) refused: Vec<(u64, Tick, Cause)>,
    pub(super) told: Vec<Notice>,
    pub(super) forgotten: usize,
}

/// The default numbers without caps, for days at the full pace.
pub(super) fn uncapped() -> LimiterConfig {
    let mut rules = LimiterConfig::default();
    (rules.account.per_hour, rules.account.per_day) = (0, 0);
    rules
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Bench {
    pub(super) fn new(rules: LimiterConfig) -> Self {
        let mut core = Core::new(Arc::new(rules));
        let session = SessionId::generate();
        core.introduce(session, None, START, &mut Replies::new());
        Self {
            core,
            now: START,
            session,
            asked: BTreeMap::new(),
            granted: Vec::new(),
            refused: Vec::new(),
            told: Vec::new(),
            forgotten: 0,
        }
    }

    pub(super) fn ask(&mut self, chat: i64, class: CostClass, patience: Duration) -> u64 {
        let ask = Ask {
            session: self.session,
            chat: (chat != 0).then_some(ChatId(chat)),
            class,
            units: 1,
            stranger: false,
            patience: patience.into(),
        };
        self.ask_for(ask)
    }

    pub(super) fn ask_for(&mut self, ask: Ask) -> u64 {
        let mut replies = Replies::new();
        let ticket = self.core.ask(&ask, self.now, &mut replies);
        self.asked.insert(ticket, ask);
        self.hear(replies);
        self.keep();
        ticket
    }

    /// A disk that is never late.
    pub(super) fn keep(&mut self) {
        while self.core.has_unkept() {
            let keep = self.core.keep();
            self.forgotten += keep.forgotten.len();
            let mut replies = Replies::new();
            self.core.kept(true, self.now, &mut replies);
            self.told.extend(keep.notices);
            self.hear(replies);
        }
    }

    pub(super) fn mark(&mut self, mark: Mark, wait: Duration) -> Mark {
        let mut replies = Replies::new();
        let placed = self.core.mark(self.session, mark, wait, self.now, &mut replies);
        self.hear(replies);
        placed
    }

    pub(super) fn hear(&mut self, replies: Replies) {
        for (ticket, answer) in replies {
            match answer {
                Answer::Granted(_) => self.granted.push((self.now, ticket)),
                Answer::Refused(until, cause) => self.refused.push((ticket, until, cause)),
            }
        }
    }

    /// Lets the clock run to the next answer; false if none is to come.
    pub(super) fn step(&mut self) -> bool {
        let Some(at) = self.core.next_wake() else {
            return false;
        };
        assert!(at > self.now, "a look that is due must have been taken");
        self.now = at;
        let mut replies = Replies::new();
        self.core.wake(at, &mut replies);
        self.hear(replies);
        self.keep();
        true
    }

    pub(super) fn rest(&mut self, span: Duration) {
        let until = self.now.plus(span);
        while self.core.next_wake().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Every chat that was granted a call since the last look asks for its next one.
    pub(super) fn ask_on(&mut self, heard: &mut usize) {
        while *heard < self.granted.len() {
            let chat = self.asked[&self.granted[*heard].1].chat.map_or(0, |chat| chat.0);
            self.ask(chat, CostClass::Send, 2 * DAY);
            *heard += 1;
        }
    }

    pub(super) fn time_of(&self, ticket: u64) -> Option<u128> {
        let found = self.granted.iter().find(|(_, granted)| *granted == ticket);
        found.map(|(at, _)| at.since(START).as_millis())
    }

    pub(super) fn refusal_of(&self, ticket: u64) -> Option<(u128, Cause)> {
        let found = self.refused.iter().find(|(refused, _, _)| *refused == ticket);
        found.map(|(_, until, cause)| (until.since(START).as_millis(), *cause))
    }
}

#[test]
fn a_day_at_the_default_numbers() {
    const CHATS: [i64; 5] = [101, -202, -303, -404, -1_000_000_000_505];
    let mut bench = Bench::new(uncapped());
    let mut rng = StdRng::seed_from_u64(20);
    let mut waits: Vec<(i64, Tick, Tick)> = Vec::new();
    let mut next_flood = bench.now.plus(secs(3600));
    for chat in CHATS {
        bench.ask(chat, CostClass::Send, 2 * DAY);
    }
    let mut heard = 0;
    while bench.now.since(START) < DAY {
        bench.ask_on(&mut heard);
        assert!(bench.step(), "somebody always waits");
        if bench.now > next_flood {
            let chat = CHATS[rng.random_range(0..CHATS.len())];
            let wait = secs(rng.random_range(5..300));
            bench.mark(Mark::Chat(CostClass::Send, ChatId(chat)), wait);
            waits.push((chat, bench.now, bench.now.plus(wait)));
            next_flood = bench.now.plus(secs(rng.random_range(3600..20_000)));
        }
    }
    let times = |chat: Option<i64>| -> Vec<Tick> {
        let of = |ticket: &u64| chat.is_none_or(|chat| bench.asked[ticket].chat == Some(ChatId(chat)));
        bench
            .granted
            .iter()
            .filter(|(_, ticket)| of(ticket))
            .map(|(at, _)| *at)
            .collect()
    };
    let most = |times: &[Tick], span: Duration| {
        let mut first = 0;
        times
            .iter()
            .enumerate()
            .map(|(last, at)| {
                while at.since(times[first]) >= span {
                    first += 1;
                }
                last + 1 - first
            })
            .max()
            .unwrap_or(0)
    };
    assert!(waits.len() >= 5);
    assert!(
        most(&times(None), secs(60)) <= 63,
        "one a second and a burst of three"
    );
    for chat in CHATS {
        let times = times(Some(chat));
        assert!(
            times
                .windows(2)
                .all(|pair| pair[1].since(pair[0]) >= Duration::from_millis(1100))
        );
        if chat < 0 {
            assert!(most(&times, secs(60)) <= 20);
        }
        for (_, from, until) in waits.iter().filter(|(marked, _, _)| *marked == chat) {
            assert!(
                !times.iter().any(|at| from < at && at < until),
                "a send inside a wait"
            );
        }
    }
    let total = bench.granted.len();
    assert!((30_000..=86_410).contains(&total), "{total} sends in a day");
}

#[test]
fn an_undisturbed_day_uses_the_whole_budget() {
    let mut bench = Bench::new(uncapped());
    for chat in 1..=3 {
        bench.ask(chat, CostClass::Send, 2 * DAY);
    }
    let mut heard = 0;
    while bench.now.since(START) < DAY {
        bench.ask_on(&mut heard);
        assert!(bench.step(), "somebody always waits");
    }
    assert!(heard.abs_diff(86_400) < 10, "{heard}");
    let share = bench
        .granted
        .iter()
        .filter(|(_, ticket)| bench.asked[ticket].chat == Some(ChatId(2)));
    assert!(share.count().abs_diff(28_800) < 100);
}

#[test]
fn a_chat_keeps_its_order_whatever_the_class() {
    let mut bench = Bench::new(LimiterConfig::default());
    let classes = [
        CostClass::Send,
        CostClass::Edit,
        CostClass::SendMedia,
        CostClass::Delete,
        CostClass::Send,
    ];
    let tickets = classes.map(|class| bench.ask(7, class, secs(60)));
    while bench.step() {}
    let order: Vec<u64> = bench.granted.iter().map(|(_, ticket)| *ticket).collect();
    assert_eq!(order, tickets);
}

#[test]
fn no_chat_waits_for_anothers_flood_wait() {
    let mut bench = Bench::new(LimiterConfig::default());
    bench.mark(Mark::Chat(CostClass::Send, ChatId(7)), secs(1000));
    let held = bench.ask(7, CostClass::Send, secs(2000));
    let other_class = bench.ask(8, CostClass::Send, secs(10));
    assert_eq!(bench.time_of(other_class), Some(0));
    while bench.step() {}
    assert_eq!(bench.time_of(held), Some(1_000_000));
}

#[test]
fn a_wait_of_the_account_holds_that_class_in_every_chat() {
    let mut bench = Bench::new(LimiterConfig::default());
    bench.mark(Mark::Account(CostClass::Forward), secs(500));
    let refused = bench.ask(7, CostClass::Forward, secs(60));
    assert_eq!(bench.refusal_of(refused), Some((500_000, Cause::FloodWait)));
    let text = bench.ask(7, CostClass::Send, secs(60));
    assert_eq!(bench.time_of(text), Some(0));
    let patient = bench.ask(8, CostClass::Forward, secs(600));
    while bench.step() {}
    assert_eq!(bench.time_of(patient), Some(500_000));
}

#[test]
fn two_chats_waits_with_one_end_are_the_accounts() {
    let mut bench = Bench::new(LimiterConfig::default());
    let chat = |id| Mark::Chat(CostClass::Send, ChatId(id));
    assert_eq!(bench.mark(chat(7), secs(1380)), chat(7));
    assert_eq!(bench.mark(chat(8), secs(30)), chat(8));
    bench.rest(secs(100));
    assert_eq!(bench.mark(chat(9), secs(1280)), Mark::Account(CostClass::Send));
    let refused = bench.ask(10, CostClass::Send, secs(60));
    assert_eq!(bench.refusal_of(refused), Some((1_380_000, Cause::FloodWait)));
}

#[test]
fn a_wait_that_comes_while_calls_wait_refuses_those_it_outlasts() {
    let mut bench = Bench::new(LimiterConfig::default());
    bench.ask(7, CostClass::Send, secs(60));
    let short = bench.ask(7, CostClass::Send, secs(60));
    let behind = bench.ask(7, CostClass::Edit, secs(60));
    let other = bench.ask(8, CostClass::Send, secs(60));
    bench.mark(Mark::SlowMode(ChatId(7)), secs(300));
    assert_eq!(bench.refusal_of(short), Some((300_000, Cause::SlowMode)));
    while bench.step() {}
    assert_eq!(bench.time_of(other), Some(0));
    assert!(
        bench.time_of(behind).is_some(),
        "an edit is no new message: slow mode does not hold it"
    );
}

#[test]
fn a_call_that_would_wait_too_long_is_told_when_at_once() {
    let mut bench = Bench::new(LimiterConfig::default());
    let tickets: Vec<u64> = (0..6).map(|_| bench.ask(7, CostClass::Send, secs(4))).collect();
    assert_eq!(bench.refusal_of(tickets[4]), Some((4400, Cause::Budget)));
    assert_eq!(bench.refusal_of(tickets[5]), Some((4400, Cause::Budget)));
    while bench.step() {}
    let times: Vec<_> = tickets.iter().map(|ticket| bench.time_of(*ticket)).collect();
    assert_eq!(times, [Some(0), Some(1100), Some(2200), Some(3300), None, None]);
}

#[test]
fn nobody_waits_longer_than_promised() {
    let mut bench = Bench::new(LimiterConfig::default());
    let mut rng = StdRng::seed_from_u64(4);
    for _ in 0..5_000 {
        let chat = rng.random_range(-9..9);
        let class = CostClass::ALL[rng.random_range(0..CostClass::ALL.len())];
        bench.ask(chat, class, Duration::from_millis(rng.random_range(0..90_000)));
        if rng.random_ratio(1, 200) {
            bench.mark(Mark::Chat(class, ChatId(chat)), secs(rng.random_range(1..100)));
        }
        let pause = Duration::from_millis(rng.random_range(0..1000));
        bench.rest(pause);
    }
    while bench.step() {}
    assert_eq!(bench.granted.len() + bench.refused.len(), bench.asked.len());
    assert!(bench.granted.len() > 500, "{}", bench.granted.len());
}

#[test]
fn a_peer_flood_stops_new_messages_until_one_gets_through() {
    let mut bench = Bench::new(LimiterConfig::default());
    let (session, mut replies) = (bench.session, Replies::new());
    let (rest, strikes) = bench.core.peer_flood(session, bench.now, &mut replies);
    assert_eq!((rest, strikes), (DAY, 1));
    let refused = bench.ask(7, CostClass::SendMedia, secs(60));
    assert_eq!(bench.refusal_of(refused), Some((86_400_000, Cause::PeerFlood)));
    let edit = bench.ask(7, CostClass::Edit, secs(60));
    assert_eq!(bench.time_of(edit), Some(0));
    bench.rest(DAY);
    let probe = bench.ask(7, CostClass::Send, secs(60));
    let other = bench.ask(8, CostClass::Send, secs(60));
    assert_eq!(bench.time_of(probe), Some(86_400_000));
    assert_eq!(bench.time_of(other), None, "one message tries");
    bench.rest(secs(1));
    bench.core.proven(session, bench.now, &mut replies);
    bench.hear(replies);
    assert_eq!(bench.time_of(other), Some(86_401_000));
}

#[test]
fn a_second_peer_flood_doubles_the_rest_and_an_admin_ends_it() {
    let mut bench = Bench::new(LimiterConfig::default());
    let (session, mut replies) = (bench.session, Replies::new());
    bench.core.peer_flood(session, bench.now, &mut replies);
    bench.rest(DAY);
    bench.ask(7, CostClass::Send, secs(60));
    assert_eq!(
        bench.core.peer_flood(session, bench.now, &mut replies),
        (2 * DAY, 2)
    );
    bench.core.clear(session, bench.now, &mut replies);
    let sent = bench.ask(8, CostClass::Send, secs(60));
    assert_eq!(bench.time_of(sent), Some(86_400_000));
}

#[test]
fn an_hours_cap_makes_work_wait_and_is_told_once() {
    let mut rules = LimiterConfig::default();
    (rules.account.per_hour, rules.account.per_day) = (100, 0);
    let mut bench = Bench::new(rules);
    let tickets: Vec<u64> = (0..150).map(|_| bench.ask(7, CostClass::Send, DAY)).collect();
    bench.rest(secs(200));
    let impatient = bench.ask(8, CostClass::Send, secs(60));
    while bench.step() {}
    let late = bench.time_of(tickets[100]).expect("waits, is not lost");
    assert!((3_600_000..3_670_000).contains(&late), "{late}");
    assert_eq!(bench.granted.len(), 150);
    let told: Vec<_> = bench
        .told
        .iter()
        .map(|notice| (notice.crossing.used, notice.crossing.reached))
        .collect();
    assert_eq!(told[..2], [(80, false), (100, true)]);
    assert!(told.len() <= 4, "{told:?}");
    let (until, cause) = bench.refusal_of(impatient).expect("told when");
    assert!(until >= 3_600_000 && cause == Cause::Budget, "{until}");
}

#[test]
fn nothing_goes_under_a_cap_before_its_row_is_stored() {
    let mut bench = Bench::new(LimiterConfig::default());
    let mut replies = Replies::new();
    let ask = Ask {
        session: bench.session,
        chat: Some(ChatId(7)),
        class: CostClass::Send,
        units: 1,
        stranger: false,
        patience: secs(60).into(),
    };
    bench.core.ask(&ask, bench.now, &mut replies);
    assert!(replies.is_empty() && bench.core.has_unkept());
    bench.core.keep();
    bench.core.kept(false, bench.now, &mut replies);
    assert!(replies.is_empty(), "the store refused");
    // Whoever stored it went away without a word: it is handed out again.
    bench.core.keep();
    assert_eq!(bench.core.keep().rows.len(), 1);
    bench.core.kept(true, bench.now, &mut replies);
    assert_eq!(replies.len(), 1);
    replies.clear();
    // The reserve covers the next ones without another row.
    bench.now = bench.now.plus(secs(2));
    bench.core.ask(&ask, bench.now, &mut replies);
    assert_eq!(replies.len(), 1);
}

#[test]
fn strangers_have_a_budget_of_their_own() {
    let mut bench = Bench::new(LimiterConfig::default());
    let session = bench.session;
    let mut write_to = |chat: i64| {
        let ask = Ask {
            session,
            chat: Some(ChatId(chat)),
            class: CostClass::Send,
            units: 1,
            stranger: true,
            patience: DAY.into(),
        };
        bench.ask_for(ask)
    };
    let tickets: Vec<u64> = (1..=31).map(&mut write_to).collect();
    let known = bench.ask(99, CostClass::Send, secs(60));
    while bench.step() {}
    assert_eq!(bench.time_of(tickets[1]), Some(3000));
    assert!(
        bench.time_of(known).is_some_and(|at| at < 5000),
        "who is known does not wait for them"
    );
    let last = bench.time_of(tickets[30]).expect("goes later");
    assert!(last >= 3_600_000, "30 an hour: {last}");
}

#[test]
fn after_a_flood_wait_the_class_goes_at_half_speed() {
    let mut bench = Bench::new(LimiterConfig::default());
    bench.mark(Mark::Chat(CostClass::Send, ChatId(7)), secs(30));
    bench.rest(secs(30));
    let tickets: Vec<u64> = (0..3).map(|_| bench.ask(7, CostClass::Send, secs(60))).collect();
    while bench.step() {}
    let times: Vec<_> = tickets.iter().map(|ticket| bench.time_of(*ticket)).collect();
    assert_eq!(times, [Some(30_000), Some(32_200), Some(34_400)]);
}

#[test]
fn new_accounts_begin_slower() {
    let mut bench = Bench::new(LimiterConfig::default());
    let (session, mut replies) = (bench.session, Replies::new());
    bench.core.introduce(session, Some(START), START, &mut replies);
    let tickets: Vec<u64> = (0..2).map(|_| bench.ask(7, CostClass::Send, secs(60))).collect();
    let pages: Vec<u64> = (0..2)
        .map(|_| bench.ask(7, CostClass::History, secs(60)))
        .collect();
    while bench.step() {}
    assert_eq!(bench.time_of(tickets[1]), Some(4400), "a quarter of the speed");
    assert_eq!(bench.time_of(pages[1]), Some(2000), "reading is not held back");
    for (day, share) in [(0, Some(0.25)), (2, Some(0.5)), (6, Some(0.75)), (7, None)] {
        let account = bench.core.account(session).expect("known");
        let at = START.plus(day * DAY + secs(60));
        let share_then = account.warm_up(&LimiterConfig::default(), at);
        assert_eq!(share_then.map(|(_, share)| share), share, "day {day}");
    }
}

#[test]
fn a_busy_account_obeys_every_wait_and_learns_whose_it_was() {
    let mut bench = Bench::new(uncapped());
    let mut heard = 0;
    for chat in [1, 2, 3] {
        bench.ask(chat, CostClass::Send, 2 * DAY);
    }
    let flooded = Mark::Chat(CostClass::Send, ChatId(2));
    let run = |bench: &mut Bench, heard: &mut usize, seconds: u64| {
        let until = bench.now.plus(secs(seconds));
        while bench.now < until {
            bench.ask_on(heard);
            assert!(bench.step(), "somebody always waits");
        }
    };
    run(&mut bench, &mut heard, 60);
    assert_eq!(bench.mark(flooded, secs(30)), Mark::Account(CostClass::Send));
    let before = bench.granted.len();
    bench.rest(secs(29));
    assert_eq!(bench.granted.len(), before, "nobody sends inside the wait");
    let slowdown = |bench: &Bench| {
        let account = bench.core.account(bench.session).expect("known");
        account.slowdown(&uncapped(), CostClass::Send, bench.now)
    };
    let of_chat = |bench: &Bench| {
        let account = bench.core.account(bench.session).expect("known");
        account.chats[&ChatId(2)]
            .pace
            .slowdown(&uncapped().after_flood, bench.now)
    };
    assert_eq!(
        (slowdown(&bench), of_chat(&bench)),
        (1.0, 2.0),
        "it may be the chat's"
    );
    run(&mut bench, &mut heard, 120);
    bench.mark(Mark::Chat(CostClass::Send, ChatId(3)), secs(30));
    assert_eq!(
        (slowdown(&bench), of_chat(&bench)),
        (2.0, 1.0),
        "it is the account's"
    );
    run(&mut bench, &mut heard, 120);
    bench.mark(flooded, secs(30));
    assert_eq!(
        (slowdown(&bench), of_chat(&bench)),
        (2.0, 2.0),
        "at half the speed it is the chat's"
    );
}

#[test]
fn the_sandbox_profile_lets_a_storm_pass() {
    let mut bench = Bench::new(LimiterConfig::sandbox());
    let started = std::time::Instant::now();
    for round in 0..100_000u64 {
        bench.now = bench.now.plus(Duration::from_micros(20));
        bench.ask((round % 50) as i64 + 1, CostClass::Send, secs(5));
    }
    assert_eq!(bench.granted.len(), 100_000);
    assert!(started.elapsed() < secs(30), "{:?}", started.elapsed());
}
