//! Random schedules: rules that hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::runtime::spec::{Backoff, Intensity, Strategy};

/// What may happen next; the number picks among those it could happen to.
#[derive(Clone, Debug)]
enum Step {
    Answer(u8),
    Crash(u8),
    End(u8),
    /// One that was asked to stop obeys.
    Obey(u8),
    Hang(u8),
    Pass(u16),
    /// News and alarms of the past, told again.
    Echo(u8),
    Start(u8),
    Terminate(u8),
    Restart(u8),
    Release(u8),
    Stop,
}

fn step() -> impl Strategy_<Value = Step> {
    prop_oneof![
        8 => any::<u8>().prop_map(Step::Answer),
        6 => any::<u8>().prop_map(Step::Crash),
        2 => any::<u8>().prop_map(Step::End),
        6 => any::<u8>().prop_map(Step::Obey),
        1 => any::<u8>().prop_map(Step::Hang),
        6 => (0..4000_u16).prop_map(Step::Pass),
        2 => any::<u8>().prop_map(Step::Echo),
        3 => any::<u8>().prop_map(Step::Start),
        2 => any::<u8>().prop_map(Step::Terminate),
        1 => any::<u8>().prop_map(Step::Restart),
        2 => any::<u8>().prop_map(Step::Release),
        1 => Just(Step::Stop),
    ]
}

use proptest::strategy::Strategy as Strategy_;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// The world around a plan, as unkind as the shell may be.
struct World {
    plan: Plan,
    now: Moment,
    keyed: bool,
    strategy: Strategy,
    /// Incarnations that are there, and whether they were asked or killed.
    live: BTreeMap<(Key, Serial), bool>,
    started: BTreeSet<(Key, Serial)>,
    forgotten: BTreeSet<Key>,
    alarms: Vec<(Moment, Alarm)>,
    past: Vec<Input>,
    open: BTreeSet<Ticket>,
    tickets: u64,
    ready: bool,
    ended: bool,
}

pub(super) fn rules_of(restart: Restart) -> Rules {
    Rules {
        restart,
        shutdown: Shutdown::Drain(Duration::from_millis(500)),
        start_within: Some(Duration::from_secs(3)),
    }
}

pub(super) fn restart_of(pick: u8) -> Restart {
    [Restart::Permanent, Restart::Transient, Restart::Temporary][usize::from(pick) % 3]
}

impl World {
    fn new(strategy: Strategy, keyed: bool, backoff: Backoff, seed: u64, children: &[Restart]) -> Self {
        let intensity = Intensity {
            restarts: 3,
            period: Duration::from_secs(5),
        };
        let named = children
            .iter()
            .enumerate()
            .map(|(n, restart)| (Arc::from(format!("c{n}")), rules_of(*restart)));
        let plan = Plan::new(
            strategy,
            keyed,
            intensity,
            backoff,
            seed,
            named.collect::<Vec<_>>(),
        );
        let mut world = Self {
            plan,
            now: Moment::ZERO,
            keyed,
            strategy,
            live: BTreeMap::new(),
            started: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            alarms: Vec::new(),
            past: Vec::new(),
            open: BTreeSet::new(),
            tickets: 0,
            ready: false,
            ended: false,
        };
        world.input(Input::Begin);
        world
    }

    fn input(&mut self, input: Input) {
        if let Input::Exited(key, serial, _) = &input {
            self.live.remove(&(*key, *serial));
        }
        if matches!(
            input,
            Input::Exited(..) | Input::Timer(_) | Input::Started(..) | Input::Hung(..)
        ) {
            self.past.push(input.clone());
        }
        for action in self.plan.input(self.now, input) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        assert!(!self.ended, "{action:?} after the end");
        match action {
            Action::Spawn(key, serial) => {
                assert!(!self.forgotten.contains(&key), "a forgotten child is started");
                assert!(
                    self.live.keys().all(|(other, _)| *other != key),
                    "two incarnations of one child"
                );
                if !self.keyed && self.strategy != Strategy::OneForOne {
                    assert!(
                        self.live.keys().all(|(other, _)| *other < key),
                        "started before a later one was gone"
                    );
                }
                if !self.keyed && !self.ready {
                    let starting = self
                        .live
                        .keys()
                        .filter(|incarnation| !self.started.contains(incarnation));
                    let starting = starting.filter(|(other, _)| *other < key);
                    assert_eq!(
                        starting.count() * usize::from(self.strategy != Strategy::OneForOne),
                        0
                    );
                }
                self.live.insert((key, serial), false);
            }
            Action::Stop(key, serial) | Action::Kill(key, serial) => {
                *self
                    .live
                    .get_mut(&(key, serial))
                    .expect("only one that is there is stopped") = true;
            }
            Action::Abandon(key, serial) => {
                self.live
                    .remove(&(key, serial))
                    .expect("only one that is there is abandoned");
            }
            Action::Arm(alarm, after) => self.alarms.push((self.now + after, alarm)),
            Action::Answer(ticket, _) => assert!(self.open.remove(&ticket), "answered twice"),
            Action::Forget(key) => {
                assert!(
                    self.live.keys().all(|(other, _)| *other != key),
                    "forgotten while it is there"
                );
                self.forgotten.insert(key);
            }
            Action::Ready => {
                assert!(!self.ready, "ready twice");
                self.ready = true;
            }
            Action::End(_) => {
                assert!(self.live.is_empty(), "ended before its children");
                self.ended = true;
            }
            Action::Added(..) | Action::Crashed(..) | Action::Restarting(..) | Action::Quarantined(..) => {}
        }
    }

    fn pick(&self, pick: u8, of: impl Fn(&(Key, Serial), bool) -> bool) -> Option<(Key, Serial)> {
        let fitting: Vec<_> = self
            .live
            .iter()
            .filter(|(who, asked)| of(who, **asked))
            .map(|(who, _)| *who)
            .collect();
        (!fitting.is_empty()).then(|| fitting[usize::from(pick) % fitting.len()])
    }

    fn ring(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.alarms.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, alarm) in due {
            self.input(Input::Timer(alarm));
        }
    }

    fn answer(&mut self, who: (Key, Serial)) {
        self.started.insert(who);
        self.input(Input::Started(who.0, who.1));
    }

    fn step(&mut self, step: Step) {
        let order = |order: fn(Arc<str>, Ticket) -> Input, id: u8, ticket| {
            order(IDS[usize::from(id) % IDS.len()].into(), ticket)
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let input = match step {
            Step::Answer(pick) => {
                if let Some(who) = self.pick(pick, |who, _| !self.started.contains(who)) {
                    self.answer(who);
                }
                return;
            }
            Step::Crash(pick) => self
                .pick(pick, |_, _| true)
                .map(|(key, serial)| Input::Exited(key, serial, Exit::Crash(Reason::new("boom")))),
            Step::End(pick) => self
                .pick(pick, |_, _| true)
                .map(|(key, serial)| Input::Exited(key, serial, Exit::Normal)),
            Step::Obey(pick) => self
                .pick(pick, |_, asked| asked)
                .map(|(key, serial)| Input::Exited(key, serial, Exit::Normal)),
            Step::Hang(pick) => self
                .pick(pick, |_, _| true)
                .map(|(key, serial)| Input::Hung(key, serial)),
            Step::Pass(millis) => {
                self.now += Duration::from_millis(u64::from(millis));
                return self.ring();
            }
            Step::Echo(pick) if !self.past.is_empty() => {
                Some(self.past[usize::from(pick) % self.past.len()].clone())
                    .filter(|input| self.is_past(input))
            }
            Step::Echo(_) => None,
            Step::Start(id) => {
                self.open.insert(ticket);
                let id_text = IDS[usize::from(id) % IDS.len()].into();
                Some(Input::Start(id_text, rules_of(restart_of(id / 7)), ticket))
            }
            Step::Terminate(id) => Some(order(Input::Terminate, id, ticket)),
            Step::Restart(id) => Some(order(Input::Restart, id, ticket)),
            Step::Release(id) => Some(order(Input::Release, id, ticket)),
            Step::Stop => Some(Input::Stop),
        };
        let Some(input) = input else { return };
        if matches!(
            input,
            Input::Terminate(..) | Input::Restart(..) | Input::Release(..)
        ) {
            self.open.insert(ticket);
        }
        self.input(input);
    }

    /// Hung is not an echo of what is over while its incarnation still lives.
    fn is_past(&self, input: &Input) -> bool {
        match input {
            Input::Hung(key, serial) | Input::Started(key, serial) | Input::Exited(key, serial, _) => {
                !self.live.contains_key(&(*key, *serial))
            }
            _ => true,
        }
    }

    /// Everybody does as they should from now on. It must come to rest, with everything in its place.
    fn settle(&mut self) {
        for _ in 0..300 {
            if let Some((key, serial)) = self.pick(0, |_, asked| asked) {
                self.input(Input::Exited(key, serial, Exit::Normal));
            } else if let Some(who) = self.pick(0, |who, _| !self.started.contains(who)) {
                self.answer(who);
            } else if let Some(at) = self.alarms.iter().map(|(at, _)| *at).min() {
                self.now = self.now.max(at);
                self.ring();
            } else {
                break;
            }
        }
        assert!(
            self.alarms.is_empty() && self.open.is_empty(),
            "unanswered: {:?}",
            self.open
        );
        if self.ended {
            return;
        }
        assert!(self.ready, "the start never answers");
        for seen in self.plan.seen() {
            let there = self.live.keys().filter(|(key, _)| *key == seen.key).count();
            match seen.doing {
                Doing::Running => assert_eq!(there, 1),
                Doing::Down => assert!(!self.keyed && there == 0),
                Doing::Quarantined => assert!(self.keyed && there == 0),
                other => panic!("{} is for ever {other:?}", seen.id),
            }
        }
    }
}

pub(super) fn strategy() -> impl Strategy_<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ]
}

pub(super) fn restarts() -> impl Strategy_<Value = Vec<Restart>> {
    prop::collection::vec((0..3_u8).prop_map(restart_of), 1..5)
}

fn backoff() -> impl Strategy_<Value = Backoff> {
    let pausing = Backoff {
        first: Duration::from_millis(300),
        max: Duration::from_secs(2),
    };
    prop_oneof![Just(Backoff::NONE), Just(pausing)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_fixed_family_the_rules_hold(
        strategy in strategy(),
        backoff in backoff(),
        children in restarts(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(strategy, false, backoff, seed, &children);
        for step in steps {
            if !world.ended {
                world.step(step);
            }
        }
        world.settle();
    }

    #[test]
    fn whatever_happens_to_keyed_children_the_rules_hold(
        backoff in backoff(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(Strategy::OneForOne, true, backoff, seed, &[]);
        for step in steps {
            if !world.ended {
                world.step(step);
            }
        }
        world.settle();
    }
}
