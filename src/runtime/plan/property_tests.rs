//! What OTP leaves to the supervisor's settings, as properties: windows of intensity, pauses, the order and the deadlines
//! of a stop, and what becomes of a child that hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::Strategy as Strategy_;

use super::model_tests::{restarts, rules_of, strategy};
use super::*;
use crate::runtime::spec::{Backoff, Intensity, Strategy};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn boom() -> Exit {
    Exit::Crash(Reason::new("boom"))
}

/// Children that do as they are told, and a clock.
struct Bench {
    plan: Plan,
    now: Moment,
    serials: BTreeMap<Key, Serial>,
    alarms: Vec<(Moment, Alarm)>,
    /// Each start, stop and kill, and the end: when, and whom it concerns.
    log: Vec<(u64, String)>,
}

impl Bench {
    /// A fixed family, or so many keyed children; all are up.
    fn up(strategy: Strategy, keyed: bool, intensity: Intensity, backoff: Backoff, rules: &[Rules]) -> Self {
        let named = rules.iter().enumerate();
        let named: Vec<(Arc<str>, _)> = named.map(|(n, rules)| (format!("c{n}").into(), *rules)).collect();
        let fixed = if keyed { Vec::new() } else { named.clone() };
        let mut bench = Self {
            plan: Plan::new(strategy, keyed, intensity, backoff, 77, fixed),
            now: Moment::ZERO,
            serials: BTreeMap::new(),
            alarms: Vec::new(),
            log: Vec::new(),
        };
        bench.input(Input::Begin);
        for (n, (id, rules)) in named.into_iter().enumerate().filter(|_| keyed) {
            bench.input(Input::Start(id, rules, Ticket(n as u64)));
        }
        bench.log.clear();
        bench
    }

    /// Starts are answered at once.
    fn input(&mut self, input: Input) -> Vec<Action> {
        let mut actions = self.plan.input(self.now, input);
        let at = self.now.as_millis() as u64;
        let mut spawned = Vec::new();
        for action in &actions {
            match action {
                Action::Spawn(key, serial) => {
                    self.serials.insert(*key, *serial);
                    self.log.push((at, format!("+{}", key.0)));
                    spawned.push(Input::Started(*key, *serial));
                }
                Action::Stop(key, _) => self.log.push((at, format!("-{}", key.0))),
                Action::Kill(key, _) => self.log.push((at, format!("!{}", key.0))),
                Action::End(_) => self.log.push((at, "end".to_owned())),
                Action::Arm(alarm, after) => self.alarms.push((self.now + *after, *alarm)),
                _ => {}
            }
        }
        for started in spawned {
            actions.extend(self.input(started));
        }
        actions
    }

    fn exits(&mut self, key: u64, exit: Exit) -> Vec<Action> {
        match self.serials.remove(&Key(key)) {
            Some(serial) => self.input(Input::Exited(Key(key), serial, exit)),
            None => Vec::new(),
        }
    }

    /// The next alarm rings, if there is one before `end`.
    fn ring_before(&mut self, end: Moment) -> bool {
        let next = (0..self.alarms.len()).min_by_key(|n| self.alarms[*n].0);
        let Some(next) = next.filter(|next| self.alarms[*next].0 < end) else {
            return false;
        };
        let (at, alarm) = self.alarms.remove(next);
        self.now = self.now.max(at);
        self.input(Input::Timer(alarm));
        true
    }
}

fn gave_up(actions: &[Action]) -> bool {
    let is = |action: &Action| matches!(action, Action::End(Err(_)) | Action::Quarantined(..));
    actions.iter().any(is)
}

fn pause_in(actions: &[Action]) -> Option<Duration> {
    actions.iter().find_map(|action| match action {
        Action::Restarting(_, pause) => Some(*pause),
        _ => None,
    })
}

fn backoff() -> impl Strategy_<Value = Backoff> {
    (1..5000_u64, 1..60_000_u64).prop_map(|(first, max)| Backoff {
        first: millis(first),
        max: millis(max),
    })
}

const ENDLESS: Intensity = Intensity {
    restarts: u32::MAX,
    period: Duration::from_secs(600),
};

/// How a child is stopped: the time it is given (none: killed at once), the time it takes (none: it does not hear).
fn stop() -> impl Strategy_<Value = (Option<u64>, Option<u64>)> {
    let given = prop::option::weighted(0.8, (1..50_u64).prop_map(|n| n * 2));
    let takes = prop::option::weighted(0.7, (0..50_u64).prop_map(|n| n * 2 + 1));
    (given, takes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_child_bears_its_intensity_within_any_period_and_not_one_crash_more(
        keyed in any::<bool>(),
        bound in 0..5_u32,
        period in 1..6000_u64,
        crashes in prop::collection::vec((0..3_u64, 0..2500_u64), 0..60),
    ) {
        let intensity = Intensity { restarts: bound, period: millis(period) };
        let rules = [rules_of(Restart::Permanent); 3];
        let mut bench = Bench::up(Strategy::OneForOne, keyed, intensity, Backoff::NONE, &rules);
        // A fixed family has one window, keyed children have each their own.
        let mut past: [Vec<u64>; 3] = Default::default();
        let mut now = 0;
        for (child, pass) in crashes {
            now += pass;
            bench.now = millis(now);
            if !bench.serials.contains_key(&Key(child)) {
                continue;
            }
            let window = &mut past[if keyed { child as usize } else { 0 }];
            window.push(now);
            window.retain(|at| now - at <= period);
            let borne = window.len() <= bound as usize;
            let actions = bench.exits(child, boom());
            prop_assert_eq!(bench.serials.contains_key(&Key(child)), borne);
            if !borne && !keyed {
                break;
            }
            prop_assert_eq!(gave_up(&actions), !borne);
        }
    }

    #[test]
    fn pauses_do_not_stretch_the_intensity(
        keyed in any::<bool>(),
        strategy in strategy(),
        backoff in backoff(),
        bound in 0..8_u32,
        period in 1..2000_u64,
    ) {
        let strategy = if keyed { Strategy::OneForOne } else { strategy };
        let intensity = Intensity { restarts: bound, period: millis(period) };
        let rules = [rules_of(Restart::Permanent)];
        let mut bench = Bench::up(strategy, keyed, intensity, backoff, &rules);
        let mut restarts = 0;
        // A child that always crashes at once is given up after just so many restarts, however long the pauses are.
        while !gave_up(&bench.exits(0, boom())) {
            restarts += 1;
            prop_assert!(restarts <= bound);
            while !bench.serials.contains_key(&Key(0)) {
                prop_assert!(bench.ring_before(Moment::MAX));
            }
        }
        prop_assert_eq!(restarts, bound);
    }

    #[test]
    fn pauses_double_from_the_first_to_the_longest_until_a_period_of_running(
        keyed in any::<bool>(),
        backoff in backoff(),
        crashes in prop::collection::vec(prop::bool::weighted(0.15), 1..40),
    ) {
        let rules = [rules_of(Restart::Permanent)];
        let mut bench = Bench::up(Strategy::OneForOne, keyed, ENDLESS, backoff, &rules);
        let mut streak = 0;
        for long in crashes {
            if long {
                bench.now += ENDLESS.period;
                streak = 0;
            }
            let full = (backoff.first * 2_u32.pow(streak.min(20))).min(backoff.max.max(backoff.first));
            streak += 1;
            let crashed = bench.now;
            let pause = pause_in(&bench.exits(0, boom())).expect("it is started again");
            prop_assert!(pause <= full && pause >= full / 2, "{:?} of {:?}", pause, full);
            while !bench.serials.contains_key(&Key(0)) {
                prop_assert!(bench.ring_before(Moment::MAX));
            }
            prop_assert_eq!(bench.now, crashed + pause);
        }
    }

    #[test]
    fn a_stop_goes_from_the_last_to_the_first_and_kills_each_at_its_own_deadline(
        keyed in any::<bool>(),
        strategy in strategy(),
        children in prop::collection::vec(stop(), 1..6),
    ) {
        let rules: Vec<_> = children.iter().map(|(given, _)| Rules {
            restart: Restart::Permanent,
            shutdown: given.map_or(Shutdown::Kill, |given| Shutdown::Drain(millis(given))),
            start_within: None,
        }).collect();
        let mut bench = Bench::up(strategy, keyed, ENDLESS, Backoff::NONE, &rules);
        let (mut expected, mut at, mut last) = (Vec::new(), 0, 0);
        for (n, (given, takes)) in children.iter().enumerate().rev() {
            let begun = if keyed { 0 } else { at };
            match given {
                None => expected.push((begun, format!("!{n}"))),
                Some(_) => expected.push((begun, format!("-{n}"))),
            }
            let took = match (given, takes) {
                (None, _) => 0,
                (Some(given), Some(takes)) if takes < given => *takes,
                (Some(given), _) => {
                    expected.push((begun + given, format!("!{n}")));
                    *given
                }
            };
            at = begun + took;
            last = last.max(at);
        }
        expected.push((last, "end".to_owned()));
        // Each obeys after its time, or is gone when it is killed.
        bench.input(Input::Stop);
        let mut heard = 0;
        let mut ends: Vec<(u64, u64)> = Vec::new();
        loop {
            while let Some((at, what)) = bench.log.get(heard).cloned() {
                heard += 1;
                let Some(key) = what.get(1..).and_then(|n| n.parse::<u64>().ok()) else { continue };
                if what.starts_with('!') {
                    bench.exits(key, boom());
                } else if let Some(takes) = children[key as usize].1 {
                    ends.push((at + takes, key));
                }
            }
            ends.sort_unstable();
            let next = ends.first().copied();
            if !bench.ring_before(next.map_or(Moment::MAX, |(at, _)| millis(at))) {
                let Some((at, key)) = next else { break };
                ends.remove(0);
                bench.now = bench.now.max(millis(at));
                bench.exits(key, Exit::Normal);
            }
        }
        let mut log = bench.log;
        if keyed {
            // They are stopped side by side.
            log.sort();
            expected.sort();
        }
        prop_assert_eq!(log, expected);
    }

    #[test]
    fn one_that_hangs_is_killed_at_once_and_that_is_a_crash_like_any_other(
        keyed in any::<bool>(),
        strategy in strategy(),
        children in restarts(),
        who in 0..4_u64,
        ran in 0..5000_u64,
    ) {
        let rules: Vec<_> = children.iter().map(|restart| rules_of(*restart)).collect();
        let who = who % children.len() as u64;
        let up = || {
            let mut bench = Bench::up(strategy, keyed, ENDLESS, Backoff::NONE, &rules);
            bench.now = millis(ran);
            bench
        };
        let (mut hung, mut crashed) = (up(), up());
        hung.input(Input::Hung(Key(who), hung.serials[&Key(who)]));
        prop_assert_eq!(&hung.log, &[(ran, format!("!{who}"))]);
        // It is gone when it is; nothing happens before that.
        hung.now += millis(9999);
        crashed.now = hung.now;
        hung.log.clear();
        hung.exits(who, Exit::Normal);
        crashed.exits(who, Exit::Crash(Reason::new("showed no life in time")));
        prop_assert_eq!(&hung.log, &crashed.log);
        let last = |bench: &Bench| {
            let mut seen = bench.plan.seen();
            seen.find(|seen| seen.key == Key(who)).map(|seen| (seen.restarts, seen.last.cloned()))
        };
        prop_assert_eq!(last(&hung), last(&crashed));
    }
}
