//! Keyed children in the model: each stands under a supervisor for itself, which orders reach by key.

use super::schedule::{Kind, Node};
use super::{Act, Family, Manner, Model, Seen};
use crate::runtime::spec::{Restart, Strategy};

/// What somebody asks for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Order {
    Start(Restart),
    Terminate,
    Restart,
    Release,
}

/// What the order is answered, at once or in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Answer {
    Done,
    Duplicate,
    Unknown,
    Quarantined,
    NotQuarantined,
    Failed,
}

enum Key {
    Absent,
    Present(Model),
    Quarantined(Restart),
}

/// A child's key, and what is known under it.
pub(in crate::runtime) struct KeyedModel {
    key: Key,
    /// Its number.
    node: usize,
    restart: Restart,
    intensity: (u32, u64),
    worker: Kind,
    notice: u64,
    refusals: u32,
    /// How much of the model's trace is taken over.
    heard: usize,
    trace: Vec<(u64, Seen)>,
}

impl KeyedModel {
    /// The key of a node of this family.
    pub(in crate::runtime) fn new(family: &Family, intensity: (u32, u64), node: usize) -> Self {
        Self {
            node,
            key: Key::Absent,
            restart: Restart::Permanent,
            intensity,
            worker: family.nodes[node].kind.clone(),
            notice: family.notice,
            refusals: 0,
            heard: 0,
            trace: Vec::new(),
        }
    }

    /// Whether it is being stopped: orders are given at rest only.
    pub(in crate::runtime) fn is_stopping(&mut self, now: u64) -> bool {
        self.look(now);
        matches!(&self.key, Key::Present(model) if model.is_stopping(self.node))
    }

    pub(in crate::runtime) fn order(&mut self, now: u64, order: Order) -> Answer {
        self.look(now);
        match (&mut self.key, order) {
            (Key::Absent, Order::Start(restart)) => {
                self.restart = restart;
                self.begin(now)
            }
            (Key::Absent, _) => Answer::Unknown,
            (_, Order::Start(_)) => Answer::Duplicate,
            (Key::Present(model), Order::Terminate) => {
                model.act(now, &Act::Stop);
                self.look(now);
                Answer::Done
            }
            (Key::Present(model), Order::Restart) => {
                model.restart(now, self.node);
                let refused = self.refusals > 0;
                self.look(now);
                if refused { Answer::Failed } else { Answer::Done }
            }
            (Key::Present(_), Order::Release) => Answer::NotQuarantined,
            (Key::Quarantined(_), Order::Terminate) => {
                self.key = Key::Absent;
                self.trace.push((now, Seen::End(false)));
                Answer::Done
            }
            (Key::Quarantined(_), Order::Restart) => Answer::Quarantined,
            (Key::Quarantined(restart), Order::Release) => {
                self.restart = *restart;
                self.refusals = 0;
                self.begin(now)
            }
        }
    }

    /// Something happens to the child.
    pub(in crate::runtime) fn act(&mut self, now: u64, act: &Act) {
        self.look(now);
        if let Act::Refuse(_, starts) = act {
            self.refusals = *starts;
        }
        if let Key::Present(model) = &mut self.key {
            model.act(now, act);
        }
        self.look(now);
    }

    /// Its trace, once all that was under way is done.
    pub(in crate::runtime) fn settle(&mut self) -> &[(u64, Seen)] {
        self.look(u64::MAX);
        &self.trace
    }

    fn begin(&mut self, now: u64) -> Answer {
        if self.refusals > 0 {
            self.refusals -= 1;
            self.trace
                .extend([(now, Seen::Refuse(self.node)), (now, Seen::End(false))]);
            self.key = Key::Absent;
            return Answer::Failed;
        }
        let top = Kind::Supervisor {
            strategy: Strategy::OneForOne,
            restarts: self.intensity.0,
            period: self.intensity.1,
            children: vec![self.node],
        };
        let workers = (0..self.node).map(|_| self.worker.clone());
        let nodes = std::iter::once(top).chain(workers);
        let nodes = nodes
            .map(|kind| Node {
                restart: self.restart,
                kind,
            })
            .collect();
        self.heard = 0;
        let notice = self.notice;
        self.key = Key::Present(Model::new(&Family { nodes, notice }, Manner::Ours, now));
        self.look(now);
        Answer::Done
    }

    /// Takes over what happened up to now.
    fn look(&mut self, now: u64) {
        let Key::Present(model) = &mut self.key else {
            return;
        };
        model.pass_to(now);
        let seen = model.trace().swap_remove(0);
        self.trace.extend_from_slice(&seen[self.heard..]);
        self.heard = seen.len();
        self.refusals = model.refusals(self.node);
        match seen.last() {
            Some((_, Seen::End(true))) => self.key = Key::Quarantined(self.restart),
            Some((_, Seen::End(false))) => self.key = Key::Absent,
            _ if !model.is_alive(self.node) => {
                self.trace.push((model.ended(self.node), Seen::End(false)));
                self.key = Key::Absent;
            }
            _ => {}
        }
    }
}
