//! A tree and what happens to it, drawn from a seed, printed, and made smaller while it still shows a difference.
//!
//! Acts fall on whole steps of ticks, and each stop takes some odd number of them, another one for each node: things
//! that could be heard in either order do not fall on one instant, but where a schedule wants them to.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::runtime::spec::{Restart, Strategy};

/// A supervisor and all that stands under it; node 0 is the top.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Family {
    pub(in crate::runtime) nodes: Vec<Node>,
    /// Ticks after which one that shows no life is noticed.
    pub(in crate::runtime) notice: u64,
}

/// One supervisor or worker.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Node {
    pub(in crate::runtime) restart: Restart,
    pub(in crate::runtime) kind: Kind,
}

#[derive(Clone, Debug)]
pub(in crate::runtime) enum Kind {
    Worker {
        /// Ticks it takes to end when asked.
        obeys: u64,
        /// Ticks it is given; none: it is killed at once.
        limit: Option<u64>,
    },
    Supervisor {
        strategy: Strategy,
        restarts: u32,
        period: u64,
        children: Vec<usize>,
    },
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Act {
    /// These workers crash at one instant, in this order.
    Crash(Vec<usize>),
    /// It ends by itself, as it should.
    End(usize),
    /// It will not hear that it is asked to end.
    Deafen(usize),
    /// It does nothing any more, and is ended for that when it is noticed.
    Hang(usize),
    /// Its next starts fail, so many.
    Refuse(usize, u32),
    /// The whole tree is stopped.
    Stop,
}

/// A family, and what happens to it when.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Schedule {
    pub(in crate::runtime) family: Family,
    pub(in crate::runtime) acts: Vec<(u64, Act)>,
}

/// A tick is a millisecond to the supervisor; its longest timers are some years.
const STEP: u64 = 100_000_000;

impl Family {
    fn random(rng: &mut StdRng) -> Self {
        let mut family = Self {
            nodes: Vec::new(),
            notice: STEP / 4,
        };
        family.grow(rng, 0);
        family
    }

    fn grow(&mut self, rng: &mut StdRng, depth: u32) -> usize {
        let number = self.nodes.len();
        let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary][rng.random_range(0..3)];
        let mut odd = || rng.random_range(1..60_000_u64) * 64 + number as u64;
        let (obeys, limit) = (odd(), odd());
        let worker = Kind::Worker {
            obeys: STEP * rng.random_range(0..5) + obeys,
            limit: rng
                .random_ratio(4, 5)
                .then(|| STEP * rng.random_range(1..4) + limit),
        };
        self.nodes.push(Node {
            restart,
            kind: worker,
        });
        if depth == 0 || (depth < 3 && rng.random_ratio(1, 4)) {
            let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
            let many = if depth == 0 { 5 } else { 3 };
            let count = rng.random_range(1..=many);
            let children = (0..count).map(|_| self.grow(rng, depth + 1)).collect();
            self.nodes[number].kind = Kind::Supervisor {
                strategy: strategies[rng.random_range(0..3)],
                restarts: rng.random_range(0..4),
                period: STEP * rng.random_range(2..15),
                children,
            };
        }
        number
    }

    /// The workers, by number.
    pub(in crate::runtime) fn workers(&self) -> Vec<usize> {
        let is_worker = |number: &usize| matches!(self.nodes[*number].kind, Kind::Worker { .. });
        (0..self.nodes.len()).filter(is_worker).collect()
    }

    /// The children of a supervisor; none of a worker.
    pub(in crate::runtime) fn children(&self, number: usize) -> &[usize] {
        match &self.nodes[number].kind {
            Kind::Supervisor { children, .. } => children,
            Kind::Worker { .. } => &[],
        }
    }

    /// Workers whose failing start leaves nothing behind that would have to be stopped: a start takes no time here.
    fn refusers(&self) -> Vec<usize> {
        fn collect(family: &Family, of: usize, into: &mut Vec<usize>) {
            let children = family.children(of);
            // The top itself has started when something fails for the first time.
            let count = if of == 0 { children.len() } else { 1 };
            for child in children.iter().take(count) {
                match family.nodes[*child].kind {
                    Kind::Worker { .. } => into.push(*child),
                    Kind::Supervisor { .. } => collect(family, *child, into),
                }
            }
        }
        let mut refusers = Vec::new();
        collect(self, 0, &mut refusers);
        refusers
    }
}

impl Schedule {
    /// The schedule of a seed.
    pub(in crate::runtime) fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut family = Family::random(&mut rng);
        while family.workers().is_empty() {
            family = Family::random(&mut rng);
        }
        let (workers, refusers) = (family.workers(), family.refusers());
        let mut now = 0;
        let mut acts = Vec::new();
        for _ in 0..rng.random_range(1..30) {
            now += STEP * rng.random_range(1..5);
            let who = workers[rng.random_range(0..workers.len())];
            let act = match rng.random_range(0..20) {
                0..8 => Act::Crash(vec![who]),
                8..11 => {
                    let order = rng.random::<u64>() as usize;
                    let turned = (0..workers.len()).map(|n| workers[(n + order) % workers.len()]);
                    let mut many: Vec<usize> = turned.filter(|_| rng.random_ratio(1, 2)).collect();
                    if rng.random() {
                        many.reverse();
                    }
                    Act::Crash(many)
                }
                11..14 => Act::End(who),
                14..16 => Act::Deafen(who),
                16 | 17 => Act::Hang(who),
                18 if !refusers.is_empty() => {
                    let who = refusers[rng.random_range(0..refusers.len())];
                    Act::Refuse(who, rng.random_range(1..4))
                }
                19 if rng.random_ratio(1, 4) => Act::Stop,
                _ => Act::Crash(vec![who]),
            };
            acts.push((now, act));
        }
        Self { family, acts }
    }

    /// The same at leisure: no act before all is done that the last one set off, and no restart ever forgotten. Those who
    /// would crash at one instant do so one after the other.
    pub(in crate::runtime) fn at_leisure(mut self) -> Self {
        let alone = |act| match act {
            Act::Crash(many) => many.into_iter().map(|node| Act::Crash(vec![node])).collect(),
            other => vec![other],
        };
        let acts = self.acts.into_iter().flat_map(|(_, act)| alone(act));
        self.acts = (1..).map(|n| n * STEP * 100).zip(acts).collect();
        for node in &mut self.family.nodes {
            if let Kind::Supervisor { restarts, period, .. } = &mut node.kind {
                *restarts = *restarts * 2 + 1;
                *period = u64::MAX / 4;
            }
        }
        self
    }

    /// The smallest schedule found by leaving acts out for which `fails` still holds.
    pub(in crate::runtime) fn shrunk(mut self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut at = 0;
        while at < self.acts.len() {
            let mut fewer = self.clone();
            fewer.acts.remove(at);
            if fails(&fewer) {
                self = fewer;
                at = 0;
            } else {
                at += 1;
            }
        }
        self
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Node { restart, kind }) in self.family.nodes.iter().enumerate() {
            writeln!(out, "{number}: {restart:?} {kind:?}")?;
        }
        for (at, act) in &self.acts {
            writeln!(out, "at {at}: {act:?}")?;
        }
        Ok(())
    }
}
