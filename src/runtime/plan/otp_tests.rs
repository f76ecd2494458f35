//! The same traces as plain models of OTP's supervisor, where every start and stop answers at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::model_tests::{restarts, rules_of, strategy};
use super::*;
use crate::runtime::spec::{Backoff, Intensity, Strategy};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_backoff_the_trace_is_that_of_otp(
        strategy in strategy(),
        children in restarts(),
        happenings in prop::collection::vec((0..8_usize, any::<bool>(), 0..3000_u64, 0..4_u8), 0..40),
    ) {
        let mut world = Prompt::new(strategy, &children);
        let mut otp = Otp::new(strategy, &children);
        for (child, crash, pass, failing) in happenings {
            let child = child % children.len();
            prop_assert_eq!(world.running.contains_key(&child), otp.is_running(child));
            world.now += Duration::from_millis(pass);
            otp.now += pass;
            world.failing = failing.saturating_sub(1);
            otp.failing = failing.saturating_sub(1);
            world.exits(child, crash);
            otp.exits(child, crash);
            prop_assert_eq!(&world.trace, &otp.trace);
        }
    }

    #[test]
    fn each_keyed_child_bears_its_intensity_and_not_one_crash_more(
        crashes in prop::collection::vec((0..3_usize, 0..2500_u64), 0..60),
    ) {
        let intensity = Intensity { restarts: BOUND.0, period: Duration::from_millis(BOUND.1) };
        let mut plan = Plan::new(Strategy::OneForOne, true, intensity, Backoff::NONE, 1, []);
        plan.input(Moment::ZERO, Input::Begin);
        let mut serials = BTreeMap::new();
        for child in 0..3 {
            let id = format!("k{child}").into();
            let start = Input::Start(id, rules_of(Restart::Permanent), Ticket(child));
            serials.extend(spawned(&plan.input(Moment::ZERO, start)));
            plan.input(Moment::ZERO, Input::Started(Key(child), serials[&Key(child)]));
        }
        let (mut now, mut past) = (0, vec![Vec::new(); 3]);
        for (child, pass) in crashes {
            now += pass;
            let key = Key(child as u64);
            let Some(serial) = serials.remove(&key) else { continue };
            past[child].push(now);
            past[child].retain(|at| now <= at + BOUND.1);
            let at = Duration::from_millis(now);
            let actions = plan.input(at, Input::Exited(key, serial, Exit::Crash(Reason::new("boom"))));
            let borne = past[child].len() <= BOUND.0 as usize;
            let quarantined = actions.iter().any(|action| matches!(action, Action::Quarantined(of, ..) if *of == key));
            prop_assert_eq!(spawned(&actions).len(), usize::from(borne));
            prop_assert_eq!(quarantined, !borne);
            for (key, serial) in spawned(&actions) {
                plan.input(at, Input::Started(key, serial));
                serials.insert(key, serial);
            }
        }
    }
}

fn spawned(actions: &[Action]) -> Vec<(Key, Serial)> {
    let spawned = actions.iter().filter_map(|action| match action {
        Action::Spawn(key, serial) => Some((*key, *serial)),
        _ => None,
    });
    spawned.collect()
}

/// A world where every start and stop answers at once, as OTP's supervisor sees it.
struct Prompt {
    plan: Plan,
    now: Moment,
    running: BTreeMap<usize, Serial>,
    /// So many of the next starts fail.
    failing: u8,
    trace: Vec<String>,
}

const BOUND: (u32, u64) = (3, 5000);

impl Prompt {
    fn new(strategy: Strategy, children: &[Restart]) -> Self {
        let intensity = Intensity {
            restarts: BOUND.0,
            period: Duration::from_millis(BOUND.1),
        };
        let named = children
            .iter()
            .enumerate()
            .map(|(n, restart)| (Arc::from(format!("c{n}")), rules_of(*restart)));
        let plan = Plan::new(
            strategy,
            false,
            intensity,
            Backoff::NONE,
            1,
            named.collect::<Vec<_>>(),
        );
        let mut world = Self {
            plan,
            now: Moment::ZERO,
            running: BTreeMap::new(),
            failing: 0,
            trace: Vec::new(),
        };
        world.input(Input::Begin);
        world
    }

    fn exits(&mut self, child: usize, crash: bool) {
        if let Some(serial) = self.running.remove(&child) {
            let exit = if crash {
                Exit::Crash(Reason::new("boom"))
            } else {
                Exit::Normal
            };
            self.input(Input::Exited(Key(child as u64), serial, exit));
        }
    }

    fn input(&mut self, input: Input) {
        for action in self.plan.input(self.now, input) {
            match action {
                Action::Spawn(key, serial) if self.failing > 0 => {
                    self.failing -= 1;
                    self.trace.push(format!("start {} fails", key.0));
                    self.input(Input::Exited(key, serial, Exit::Crash(Reason::new("no"))));
                }
                Action::Spawn(key, serial) => {
                    self.trace.push(format!("start {}", key.0));
                    self.running.insert(key.0 as usize, serial);
                    self.input(Input::Started(key, serial));
                }
                Action::Stop(key, serial) => {
                    self.trace.push(format!("stop {}", key.0));
                    self.running.remove(&(key.0 as usize));
                    self.input(Input::Exited(key, serial, Exit::Normal));
                }
                Action::End(_) => self.trace.push("end".to_owned()),
                _ => {}
            }
        }
    }
}

/// OTP's supervisor, written down from its documentation: a list of children, each with or without a process.
struct Otp {
    strategy: Strategy,
    /// Number, restart type, whether it has a process.
    children: Vec<(usize, Restart, bool)>,
    restarts: Vec<u64>,
    now: u64,
    failing: u8,
    trace: Vec<String>,
}

impl Otp {
    fn new(strategy: Strategy, children: &[Restart]) -> Self {
        let listed = children
            .iter()
            .enumerate()
            .map(|(n, restart)| (n, *restart, true))
            .collect();
        let trace = (0..children.len()).map(|n| format!("start {n}")).collect();
        Self {
            strategy,
            children: listed,
            restarts: Vec::new(),
            now: 0,
            failing: 0,
            trace,
        }
    }

    fn is_running(&self, child: usize) -> bool {
        self.children
            .iter()
            .any(|(n, _, process)| *n == child && *process)
    }

    fn exits(&mut self, child: usize, crash: bool) {
        let Some(at) = self
            .children
            .iter()
            .position(|(n, _, process)| *n == child && *process)
        else {
            return;
        };
        self.children[at].2 = false;
        match self.children[at].1 {
            Restart::Permanent => self.restart(child),
            Restart::Transient if crash => self.restart(child),
            Restart::Transient => {}
            Restart::Temporary => drop(self.children.remove(at)),
        }
    }

    fn restart(&mut self, child: usize) {
        let (bound, period) = BOUND;
        self.restarts.push(self.now);
        let now = self.now;
        self.restarts.retain(|at| now <= at + period);
        if self.restarts.len() > bound as usize {
            self.terminate_from(0);
            self.children.clear();
            return self.trace.push("end".to_owned());
        }
        let at = self
            .children
            .iter()
            .position(|(n, ..)| *n == child)
            .expect("a restarted child is listed");
        let (first, last) = match self.strategy {
            Strategy::OneForOne => (at, at + 1),
            Strategy::OneForAll => (0, self.children.len()),
            Strategy::RestForOne => (at, self.children.len()),
        };
        let number = self.children[first].0;
        if last - first > 1 {
            self.terminate_from(first);
        }
        let first = self.children.iter().position(|(n, ..)| *n >= number).unwrap_or(0);
        let last = if self.strategy == Strategy::OneForOne {
            first + 1
        } else {
            self.children.len()
        };
        for at in first..last {
            let number = self.children[at].0;
            if self.failing > 0 {
                self.failing -= 1;
                self.trace.push(format!("start {number} fails"));
                return self.restart(number);
            }
            self.trace.push(format!("start {number}"));
            self.children[at].2 = true;
        }
    }

    /// Stops those from `first` on, last first; temporary ones are taken off the list.
    fn terminate_from(&mut self, first: usize) {
        for at in (first..self.children.len()).rev() {
            if self.children[at].2 {
                self.trace.push(format!("stop {}", self.children[at].0));
                self.children[at].2 = false;
            }
            if self.children[at].1 == Restart::Temporary {
                self.children.remove(at);
            }
        }
    }
}
