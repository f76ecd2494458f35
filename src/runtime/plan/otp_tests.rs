//! Plans against the model of OTP: the same random schedules, the same traces to the tick.
//!
//! `TRUNKLINE_SCHEDULES` says how many of each kind (some thousands if not said; `make schedules` runs 100,000),
//! `TRUNKLINE_SEED` where they begin; both are printed. The first that differs is shrunk and shown with both traces.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::otp_world::World;
use super::*;
use crate::runtime::otp::{
    Act, Answer, Family, KeyedModel, Kind, Manner, Model, Node, Order, Schedule, Seen, Trace, campaign,
};
use crate::runtime::spec::Strategy;

/// Schedules in an everyday run.
const EVERYDAY: u64 = 2000;

#[test]
fn random_schedules_of_trees_run_as_under_otp() {
    let (count, first) = campaign(EVERYDAY);
    let began = Instant::now();
    let (mut starts, mut given_up, mut departed) = (0, 0, 0);
    for seed in (0..count).map(|n| first.wrapping_add(n)) {
        let schedule = Schedule::random(seed);
        let ours = ours(&schedule);
        departed += u64::from(differs(&schedule, &ours, seed));
        let seen = || ours.iter().flatten().map(|(_, seen)| seen);
        starts += seen().filter(|seen| matches!(seen, Seen::Start(_))).count();
        given_up += seen().filter(|seen| **seen == Seen::End(true)).count();
    }
    let took = began.elapsed();
    println!(
        "{count} trees from seed {first}: {starts} starts, {given_up} gave up, 0 differences; \
         {departed} show a departure from OTP that is meant, the others none; {took:.1?}"
    );
    assert!(starts > count as usize * 5 && given_up > count as usize / 10);
    assert!(departed < count / 2, "{departed}");
}

/// Fails if the trace is not the model's, or not that of OTP without any departure where no departure shows;
/// whether one does.
fn differs(schedule: &Schedule, ours: &Trace, seed: u64) -> bool {
    let (expected, departed) = otps(schedule, Manner::Ours);
    if *ours != expected {
        let unlike = |schedule: &Schedule| self::ours(schedule) != otps(schedule, Manner::Ours).0;
        let least = schedule.clone().shrunk(unlike);
        let shown = difference(&self::ours(&least), &otps(&least, Manner::Ours).0);
        panic!("seed {seed} differs\n{least}{shown}");
    }
    if !departed {
        let (strict, _) = otps(schedule, Manner::Otp);
        let shown = || difference(ours, &strict);
        assert!(
            *ours == strict,
            "seed {seed} differs from OTP\n{schedule}{}",
            shown()
        );
    }
    departed
}

#[test]
fn random_orders_to_keyed_children_end_as_under_otp() {
    let (count, first) = campaign(EVERYDAY);
    let began = Instant::now();
    let (mut starts, mut quarantined) = (0, 0);
    for seed in (0..count).map(|n| first.wrapping_add(n)) {
        let (ours, otps) = keyed(seed, usize::MAX);
        if ours != otps {
            let differs = |steps: &usize| {
                let (ours, otps) = keyed(seed, *steps);
                ours != otps
            };
            let steps = (0..).find(differs).unwrap_or_default();
            let (ours, otps) = keyed(seed, steps);
            panic!("seed {seed} differs after {steps} steps\nours {ours:#?}\nOTP's {otps:#?}");
        }
        let seen = || ours.0.iter().flatten().map(|(_, seen)| seen);
        starts += seen().filter(|seen| matches!(seen, Seen::Start(_))).count();
        quarantined += seen().filter(|seen| **seen == Seen::End(true)).count();
    }
    let took = began.elapsed();
    println!(
        "{count} lots of keys from seed {first}: {starts} starts, {quarantined} quarantined, 0 differences, {took:.1?}"
    );
    assert!(starts > count as usize * 3 && quarantined > count as usize / 20);
}

/// The supervisors whose traces differ, both side by side.
fn difference(ours: &Trace, otps: &Trace) -> String {
    let both = ours.iter().zip(otps).enumerate();
    let differing = both.filter(|(_, (ours, otps))| ours != otps);
    let shown =
        differing.map(|(node, (ours, otps))| format!("{node} ours  {ours:?}\n{node} OTP's {otps:?}\n"));
    shown.collect()
}

/// What OTP's supervisors do, and whether that is a departure of ours.
fn otps(schedule: &Schedule, manner: Manner) -> (Trace, bool) {
    let mut model = Model::new(&schedule.family, manner, 0);
    for (at, act) in &schedule.acts {
        model.act(*at, act);
    }
    model.pass_to(u64::MAX);
    (model.trace(), model.departed())
}

fn ours(schedule: &Schedule) -> Trace {
    let mut world = World::new(&schedule.family, false);
    for (at, act) in &schedule.acts {
        world.act(*at, act);
    }
    world.pass_to(u64::MAX);
    world.into_trace()
}

const KEYS: usize = 3;
const BOUND: (u32, u64) = (2, 6000);

/// What became of the keys, and what each order was answered.
type Outcome = (Trace, Vec<Option<Answer>>);

/// Gives a seed's orders, at most so many, to a dynamic supervisor and to the model.
fn keyed(seed: u64, steps: usize) -> (Outcome, Outcome) {
    let mut rng = StdRng::seed_from_u64(seed);
    let family = family_of_keys();
    let mut world = World::new(&family, true);
    let mut models: Vec<_> = (1..=KEYS)
        .map(|key| KeyedModel::new(&family, BOUND, key))
        .collect();
    let mut expected = Vec::new();
    let mut now = 0;
    for step in 0..rng.random_range(1..40_usize).min(steps) {
        now += 1000 * rng.random_range(1..4);
        let node = rng.random_range(1..=KEYS);
        let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary][rng.random_range(0..3)];
        let refusals = rng.random_range(1..4);
        let act = match rng.random_range(0..16) {
            0..4 => Err(Order::Start(restart)),
            4 => Err(Order::Terminate),
            5 => Err(Order::Restart),
            6 => Err(Order::Release),
            7 => Ok(Act::Refuse(node, refusals)),
            8 => Ok(Act::End(node)),
            9 => Ok(Act::Deafen(node)),
            10 => Ok(Act::Hang(node)),
            _ => Ok(Act::Crash(vec![node])),
        };
        world.pass_to(now);
        let model = &mut models[node - 1];
        let stopping = model.is_stopping(now);
        assert_eq!(stopping, world.is_stopping(node), "seed {seed}");
        match act {
            Ok(Act::Refuse(..)) | Err(_) if stopping => {}
            Ok(act) => {
                world.act(now, &act);
                model.act(now, &act);
            }
            Err(order) => {
                if order == Order::Release {
                    // A released child starts with a clean record, and that start is OTP's first: it may not fail.
                    world.let_start(node);
                    model.act(now, &Act::Refuse(node, 0));
                }
                world.order(node, order, Ticket(step as u64));
                world.pass_to(now);
                expected.push((step, model.order(now, order)));
            }
        }
    }
    world.pass_to(u64::MAX);
    let otps = models.iter_mut().map(|model| model.settle().to_vec()).collect();
    let answered = |step: usize| world.answer(Ticket(step as u64)).map(answer);
    let answers: Vec<_> = expected.iter().map(|(step, _)| answered(*step)).collect();
    let ours: Outcome = (world.into_trace().split_off(1), answers);
    (
        ours,
        (
            otps,
            expected.into_iter().map(|(_, answer)| Some(answer)).collect(),
        ),
    )
}

fn family_of_keys() -> Family {
    let top = Kind::Supervisor {
        strategy: Strategy::OneForOne,
        restarts: BOUND.0,
        period: BOUND.1,
        children: (1..=KEYS).collect(),
    };
    let limits = [Some(2010), Some(1020), None];
    let workers = (1..).zip(limits).map(|(residue, limit)| Kind::Worker {
        obeys: 1000 + residue,
        limit,
    });
    let node = |kind| Node {
        restart: Restart::Permanent,
        kind,
    };
    Family {
        nodes: std::iter::once(top).chain(workers).map(node).collect(),
        notice: 250,
    }
}

fn answer(answer: &Result<(), StartError>) -> Answer {
    match answer {
        Ok(()) => Answer::Done,
        Err(StartError::Duplicate) => Answer::Duplicate,
        Err(StartError::Unknown) => Answer::Unknown,
        Err(StartError::Quarantined) => Answer::Quarantined,
        Err(StartError::NotQuarantined) => Answer::NotQuarantined,
        Err(StartError::Failed { .. }) => Answer::Failed,
        Err(other) => panic!("{other} is no answer here"),
    }
}
