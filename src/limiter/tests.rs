//! The limiter's core in virtual time: days pass in milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::budget::Tick;
use super::core::{Answer, Core, Mark, Replies};
use super::{Ask, Cause, CostClass, LimiterConfig};
use crate::base::SessionId;
use crate::model::ChatId;

const DAY: Duration = Duration::from_secs(86_400);
const START: Tick = Tick(1_000_000_000_000);

/// A core, its clock, and what it granted.
struct Bench {
    core: Core,
    now: Tick,
    session: SessionId,
    asked: BTreeMap<u64, Ask>,
    granted: Vec<(Tick, u64)>,
    refused: Vec<(u64, Tick, Cause)>,
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Bench {
    fn new(rules: LimiterConfig) -> Self {
        let mut core = Core::new(Arc::new(rules));
        let session = SessionId::generate();
        core.introduce(session, 365 * DAY, START);
        Self {
            core,
            now: START,
            session,
            asked: BTreeMap::new(),
            granted: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn ask(&mut self, chat: i64, class: CostClass, patience: Duration) -> u64 {
        let ask = Ask {
            session: self.session,
            chat: (chat != 0).then_some(ChatId(chat)),
            class,
            units: 1,
            patience,
        };
        let mut replies = Replies::new();
        let ticket = self.core.ask(&ask, self.now, &mut replies);
        self.asked.insert(ticket, ask);
        self.hear(replies);
        ticket
    }

    fn mark(&mut self, mark: Mark, wait: Duration) -> Mark {
        let mut replies = Replies::new();
        let placed = self.core.mark(self.session, mark, wait, self.now, &mut replies);
        self.hear(replies);
        placed
    }

    fn hear(&mut self, replies: Replies) {
        for (ticket, answer) in replies {
            match answer {
                Answer::Granted => self.granted.push((self.now, ticket)),
                Answer::Refused(until, cause) => self.refused.push((ticket, until, cause)),
            }
        }
    }

    /// Lets the clock run to the next answer; false if none is to come.
    fn step(&mut self) -> bool {
        let Some(at) = self.core.next_wake() else {
            return false;
        };
        assert!(at > self.now, "a look that is due must have been taken");
        self.now = at;
        let mut replies = Replies::new();
        self.core.wake(at, &mut replies);
        self.hear(replies);
        true
    }

    fn rest(&mut self, span: Duration) {
        let until = self.now.plus(span);
        while self.core.next_wake().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Every chat that was granted a call since the last look asks for its next one.
    fn ask_on(&mut self, heard: &mut usize) {
        while *heard < self.granted.len() {
            let chat = self.asked[&self.granted[*heard].1].chat.map_or(0, |chat| chat.0);
            self.ask(chat, CostClass::Send, 2 * DAY);
            *heard += 1;
        }
    }

    fn time_of(&self, ticket: u64) -> Option<u128> {
        let found = self.granted.iter().find(|(_, granted)| *granted == ticket);
        found.map(|(at, _)| at.since(START).as_millis())
    }

    fn refusal_of(&self, ticket: u64) -> Option<(u128, Cause)> {
        let found = self.refused.iter().find(|(refused, _, _)| *refused == ticket);
        found.map(|(_, until, cause)| (until.since(START).as_millis(), *cause))
    }
}

#[test]
fn a_day_at_the_default_numbers() {
    const CHATS: [i64; 5] = [101, -202, -303, -404, -1_000_000_000_505];
    let mut bench = Bench::new(LimiterConfig::default());
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
    assert!((43_000..=86_410).contains(&total), "{total} sends in a day");
}

#[test]
fn an_undisturbed_day_uses_the_whole_budget() {
    let mut bench = Bench::new(LimiterConfig::default());
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
fn a_peer_flood_stops_new_messages_until_it_is_cleared() {
    let mut bench = Bench::new(LimiterConfig::default());
    bench.mark(Mark::PeerFlood, DAY);
    let refused = bench.ask(7, CostClass::SendMedia, secs(60));
    assert_eq!(bench.refusal_of(refused), Some((86_400_000, Cause::PeerFlood)));
    let edit = bench.ask(7, CostClass::Edit, secs(60));
    assert_eq!(bench.time_of(edit), Some(0));
    bench.core.clear(bench.session, bench.now, &mut Replies::new());
    let sent = bench.ask(7, CostClass::Send, secs(60));
    assert_eq!(bench.time_of(sent), Some(0));
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
    bench.core.introduce(bench.session, secs(3600), START);
    let tickets: Vec<u64> = (0..2).map(|_| bench.ask(7, CostClass::Send, secs(60))).collect();
    while bench.step() {}
    assert_eq!(bench.time_of(tickets[1]), Some(2200));
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
    assert!(started.elapsed() < secs(5), "{:?}", started.elapsed());
}
