//! Nobody starves: bounds on how long a call waits, whatever the others ask, in virtual time.

use std::time::Duration;

use proptest::prelude::*;

use super::budget::Tick;
use super::core::Mark;
use super::share::{Patience, Turn, Urgency};
use super::tests::{Bench, DAY, START, secs, uncapped};
use super::{Ask, Cause, CostClass};
use crate::model::ChatId;

/// What one of the others asks for, again and again, each time in its own chat.
#[derive(Clone, Debug)]
struct Other {
    class: CostClass,
    urgency: Urgency,
    units: u32,
    /// How long after it was granted one call it asks for the next.
    pause: Duration,
}

fn other(urgencies: &'static [Urgency]) -> impl Strategy<Value = Other> {
    let class = proptest::sample::select(&[CostClass::Send, CostClass::SendMedia, CostClass::Forward][..]);
    let units = prop_oneof![3 => Just(1u32), 1 => 1..=10u32];
    (class, proptest::sample::select(urgencies), units, 0..3_000u64).prop_map(
        |(class, urgency, units, pause)| Other {
            class,
            urgency,
            units,
            pause: Duration::from_millis(pause),
        },
    )
}

/// A crowd that never stops asking, and one call among them.
struct Crowd {
    bench: Bench,
    others: Vec<Other>,
    heard: usize,
    /// Who asks when.
    due: Vec<(Tick, usize)>,
}

/// The chat of the one call; the others' are below.
const OWN: i64 = 1_000;

impl Crowd {
    fn new(others: Vec<Other>) -> Self {
        Self {
            due: (0..others.len()).map(|at| (START, at)).collect(),
            bench: Bench::new(uncapped()),
            others,
            heard: 0,
        }
    }

    fn ask(&self, chat: i64, class: CostClass, units: u32, patience: Patience) -> Ask {
        Ask {
            session: self.bench.session,
            chat: Some(ChatId(chat)),
            class,
            units,
            stranger: false,
            patience,
        }
    }

    /// Lets the others go on until a time.
    fn run(&mut self, until: Tick) {
        loop {
            while self.heard < self.bench.granted.len() {
                let (at, ticket) = self.bench.granted[self.heard];
                let chat = self.bench.asked[&ticket].chat.map_or(0, |chat| chat.0);
                if chat != OWN {
                    let number = usize::try_from(chat - 1).expect("one of the others");
                    self.due.push((at.plus(self.others[number].pause), number));
                }
                self.heard += 1;
            }
            let asks = self.due.iter().map(|(at, _)| *at).min();
            let wake = self.bench.core.next_wake();
            let next = asks.into_iter().chain(wake).min().expect("the crowd never rests");
            if next > until {
                break;
            }
            if wake == Some(next) && next > self.bench.now {
                self.bench.step();
            }
            self.bench.now = self.bench.now.max(next);
            let (now, mut later) = (self.bench.now, Vec::new());
            for (at, number) in std::mem::take(&mut self.due) {
                if at > now {
                    later.push((at, number));
                    continue;
                }
                let other = self.others[number].clone();
                let patience = Patience::from(2 * DAY).with(other.urgency);
                let chat = i64::try_from(number).expect("few") + 1;
                let ask = self.ask(chat, other.class, other.units, patience);
                self.bench.ask_for(ask);
            }
            later.append(&mut self.due);
            self.due = later;
        }
        self.bench.now = self.bench.now.max(until);
    }

    /// Units that wait at the moment, and those of an album that may just have gone.
    fn waiting(&self) -> u32 {
        let answered: std::collections::HashSet<u64> =
            self.bench.granted.iter().map(|(_, ticket)| *ticket).collect();
        let open = self
            .bench
            .asked
            .iter()
            .filter(|(ticket, _)| !answered.contains(ticket));
        let went = self.others.iter().map(|other| other.units).max().unwrap_or(0);
        open.map(|(_, ask)| ask.units).sum::<u32>() + went
    }

    /// Runs on until the call is granted or refused, or this long; tells when it was granted.
    fn wait_for(&mut self, ticket: u64, most: Duration) -> Result<Tick, Option<Tick>> {
        let until = self.bench.now.plus(most);
        loop {
            if let Some((at, _)) = self.bench.granted.iter().find(|(_, granted)| *granted == ticket) {
                return Ok(*at);
            }
            if let Some(at) = self
                .bench
                .refused
                .iter()
                .position(|(refused, _, _)| *refused == ticket)
            {
                return Err(Some(self.bench.refused.swap_remove(at).1));
            }
            if self.bench.now >= until {
                return Err(None);
            }
            let next = self.bench.now.plus(Duration::from_millis(50)).min(until);
            self.run(next);
        }
    }
}

/// The pace and the burst of an account at the default numbers.
const PACE: Duration = Duration::from_secs(1);
const BURST: u32 = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every ask is granted in the time that the units before it and its own take, whatever the others ask.
    #[test]
    fn every_ask_is_granted_in_the_time_of_what_was_there_before_it(
        others in proptest::collection::vec(other(&[Urgency::Work]), 2..12),
        start in 0..60_000u64,
        units in 1..=10u32,
        media: bool,
    ) {
        let mut crowd = Crowd::new(others);
        crowd.run(START.plus(Duration::from_millis(start)));
        let bound = PACE * (crowd.waiting() + units + BURST);
        let class = if media { CostClass::SendMedia } else { CostClass::Forward };
        let ask = crowd.ask(OWN, class, units, Patience::from(2 * DAY).with(Urgency::Work));
        let asked = crowd.bench.now;
        let ticket = crowd.bench.ask_for(ask);
        let granted = crowd.wait_for(ticket, bound * 3);
        prop_assert!(granted.is_ok_and(|at| at.since(asked) <= bound), "not within {bound:?}: {granted:?}");
    }

    /// Nor is one starved that gives up again and again, and asks anew when it was told to.
    #[test]
    fn one_that_asks_again_keeps_its_place(
        others in proptest::collection::vec(other(&[Urgency::Work]), 2..12),
        start in 0..60_000u64,
        units in 2..=10u32,
        slow: bool,
    ) {
        let mut crowd = Crowd::new(others);
        crowd.run(START.plus(Duration::from_millis(start)));
        let mut pace = PACE;
        if slow {
            let mark = Mark::Account(CostClass::SendMedia);
            for _ in 0..3 {
                crowd.bench.mark(mark, secs(1));
                crowd.run(crowd.bench.now.plus(secs(2)));
            }
            pace *= 8;
        }
        let bound = pace * (crowd.waiting() + units + BURST) + secs(5);
        let patience = Patience {
            span: secs(10),
            urgency: Urgency::Work,
            turn: Some(Turn([7; 16])),
        };
        let asked = crowd.bench.now;
        let mut granted = None;
        while granted.is_none() && crowd.bench.now.since(asked) <= bound {
            let ask = crowd.ask(OWN, CostClass::SendMedia, units, patience);
            let ticket = crowd.bench.ask_for(ask);
            match crowd.wait_for(ticket, secs(15)) {
                Ok(at) => granted = Some(at),
                Err(Some(until)) => crowd.run(until),
                Err(None) => prop_assert!(false, "no answer within its patience"),
            }
        }
        prop_assert!(granted.is_some_and(|at| at.since(asked) <= bound), "not within {bound:?}");
    }

    /// Somebody who waits for an answer is not stuck behind a backlog, nor the backlog behind him.
    #[test]
    fn a_part_is_everybodys(
        others in proptest::collection::vec(other(&[Urgency::Work]), 10..40),
        callers in proptest::collection::vec(other(&[Urgency::Interactive]), 10..40),
        start in 0..60_000u64,
        turned: bool,
    ) {
        let (own, crowd) = if turned { (Urgency::Interactive, others) } else { (Urgency::Work, callers) };
        let rival = crowd.iter().map(|other| other.units).max().unwrap_or(1);
        let mut crowd = Crowd::new(crowd);
        crowd.run(START.plus(Duration::from_millis(start)));
        let ask = crowd.ask(OWN, CostClass::Send, 1, Patience::from(2 * DAY).with(own));
        let asked = crowd.bench.now;
        let ticket = crowd.bench.ask_for(ask);
        // Its rivals' turn may have come before, with an album at most.
        let bound = PACE * (2 * rival + BURST + 3);
        let granted = crowd.wait_for(ticket, secs(600));
        prop_assert!(granted.is_ok_and(|at| at.since(asked) <= bound), "not within {bound:?}: {granted:?}");
    }
}

#[test]
fn a_look_does_not_wait_for_a_crawl_of_histories() {
    let mut bench = Bench::new(uncapped());
    let session = bench.session;
    let ask = |urgency, chat: i64| Ask {
        session,
        chat: Some(ChatId(chat)),
        class: CostClass::History,
        units: 1,
        stranger: false,
        patience: Patience::from(DAY).with(urgency),
    };
    // A crawl has made the distances grow to 15 seconds, and goes on in many chats.
    for chat in 1..=40 {
        bench.ask_for(ask(Urgency::Background, chat));
    }
    bench.rest(secs(150));
    let asked = bench.now;
    let mut looks = Vec::new();
    for chat in 101..=103 {
        looks.push(bench.ask_for(ask(Urgency::Look, chat)));
    }
    bench.rest(secs(60));
    let waits: Vec<Duration> = looks
        .iter()
        .map(|look| {
            let granted = bench.granted.iter().find(|(_, ticket)| ticket == look);
            granted.map_or(Duration::MAX, |(at, _)| at.since(asked))
        })
        .collect();
    assert!(waits[0] <= secs(2) && waits[2] <= secs(6), "{waits:?}");
    assert!(
        bench.granted.len() >= 16,
        "the crawl goes on: {}",
        bench.granted.len()
    );
}

#[test]
fn a_place_is_kept_for_a_moment_and_no_longer() {
    let mut bench = Bench::new(uncapped());
    let session = bench.session;
    let album = |turn: u8| Ask {
        session,
        chat: Some(ChatId(i64::from(turn))),
        class: CostClass::SendMedia,
        units: 10,
        stranger: false,
        patience: Patience {
            span: Duration::ZERO,
            urgency: Urgency::Work,
            turn: Some(Turn([turn; 16])),
        },
    };
    for chat in 1..=3 {
        bench.ask(chat, CostClass::Send, secs(60));
    }
    let first = bench.ask_for(album(50));
    assert!(
        bench
            .refusal_of(first)
            .is_some_and(|(until, cause)| until == 3_000 && cause == Cause::Budget)
    );
    // Nobody draws on what it waits for; but whoever does not come back is not waited for.
    let others: Vec<u64> = (10..=12)
        .map(|chat| bench.ask(chat, CostClass::Send, secs(60)))
        .collect();
    while bench.step() {}
    let times: Vec<_> = others.iter().map(|ticket| bench.time_of(*ticket)).collect();
    assert_eq!(times, [Some(5_000), Some(5_000), Some(5_000)]);
    // One that does come back goes first, with the ticket it had.
    bench.rest(secs(60));
    for chat in 1..=3 {
        bench.ask(chat, CostClass::Send, secs(60));
    }
    let second = bench.ask_for(album(51));
    let later = bench.ask(20, CostClass::Send, secs(60));
    bench.rest(secs(3));
    assert_eq!(bench.ask_for(album(51)), second);
    while bench.step() {}
    assert!(bench.time_of(second) < bench.time_of(later));
}

#[test]
fn a_spent_cap_holds_up_nobody_who_does_not_draw_on_it() {
    let mut bench = Bench::new(super::LimiterConfig::default());
    let session = bench.session;
    let stranger = |chat: i64, patience: Patience| Ask {
        session,
        chat: Some(ChatId(chat)),
        class: CostClass::Send,
        units: 1,
        stranger: true,
        patience,
    };
    for chat in 1..=30 {
        bench.ask_for(stranger(chat, DAY.into()));
    }
    while bench.granted.len() < 30 {
        assert!(bench.step(), "an hour's strangers go");
    }
    bench.rest(secs(10));
    // The pace is used up as well, for a moment.
    for chat in 101..=103 {
        bench.ask(chat, CostClass::Send, secs(60));
    }
    let waits = Patience {
        span: secs(10),
        urgency: Urgency::Work,
        turn: Some(Turn([7; 16])),
    };
    let refused = bench.ask_for(stranger(31, waits));
    assert!(
        bench.refusal_of(refused).is_some(),
        "the hour's strangers are spent"
    );
    let known = bench.ask(104, CostClass::Send, secs(10));
    bench.rest(secs(10));
    assert_eq!(bench.refusal_of(known), None);
    assert!(bench.time_of(known).is_some());
}

#[test]
fn chats_are_forgotten_once_nothing_is_left_of_them_and_never_become_too_many() {
    let mut bench = Bench::new(uncapped());
    let chats = |bench: &Bench| {
        bench
            .core
            .account(bench.session)
            .map_or(0, |account| account.chats.len())
    };
    for chat in 1..=20_000i64 {
        bench.mark(Mark::Chat(CostClass::Send, ChatId(chat)), secs(1));
        bench.rest(secs(2));
        // Asking is what looks for chats to forget.
        bench.ask(0, CostClass::Other, secs(60));
    }
    assert!(chats(&bench) <= 6_000, "{} chats", chats(&bench));
    assert!(bench.forgotten >= 14_000, "their rows go: {}", bench.forgotten);
    // All lessons are over in the end.
    bench.rest(4 * DAY);
    for chat in 1..=1_500i64 {
        bench.mark(Mark::Chat(CostClass::Send, ChatId(-chat)), secs(1));
        bench.ask(0, CostClass::Other, secs(60));
    }
    assert!(chats(&bench) <= 1_500, "{} chats", chats(&bench));
}
