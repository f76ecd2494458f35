//! The model from outside: a family under OTP's supervisors, what happens to it, and what became of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use super::process::{Fate, Machine, Manner, Pid, Signal};
use super::{Act, Family, Seen, Trace};

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A family under OTP's supervisors.
pub(in crate::runtime) struct Model {
    machine: Machine,
    supervisors: BTreeMap<Pid, Running>,
    /// Whoever notices that one shows no life.
    watchers: Vec<Running>,
}

impl Model {
    /// Starts the family.
    pub(in crate::runtime) fn new(family: &Family, manner: Manner, now: u64) -> Self {
        let machine = Machine::new(family, manner, now);
        let started = machine.start(0, None);
        assert!(started.is_some(), "nothing refuses before the first act");
        Self {
            machine,
            supervisors: BTreeMap::new(),
            watchers: Vec::new(),
        }
    }

    /// Lets an act happen at its time.
    pub(in crate::runtime) fn act(&mut self, at: u64, act: &Act) {
        self.pass_to(at);
        match act {
            Act::Crash(many) => many.iter().for_each(|node| self.dies(*node, false)),
            Act::End(node) => self.dies(*node, true),
            Act::Deafen(node) => self.deafen(*node),
            Act::Hang(node) => self.hang(*node),
            Act::Refuse(node, starts) => self.machine.0.borrow_mut().refusals[*node] = *starts,
            Act::Stop => self.tell_top(Signal::Shutdown),
        }
        self.run();
    }

    /// Stops a child of the top and starts it again, because somebody asked.
    pub(in crate::runtime) fn restart(&mut self, at: u64, node: usize) {
        self.pass_to(at);
        self.tell_top(Signal::Again(node));
        self.run();
    }

    /// Lets time pass; for ever, that is until nothing more is under way, if it is the last instant.
    pub(in crate::runtime) fn pass_to(&mut self, end: u64) {
        loop {
            self.run();
            let due = self.machine.0.borrow_mut().timers.pop_first();
            match due {
                Some(at) if at <= end => {
                    let now = self.machine.now();
                    self.machine.0.borrow_mut().now = now.max(at);
                    self.wake_all();
                }
                Some(at) => {
                    self.machine.0.borrow_mut().timers.insert(at);
                    break;
                }
                None => break,
            }
        }
        if end < u64::MAX {
            self.machine.0.borrow_mut().now = end;
        }
    }

    /// What each supervisor did.
    pub(in crate::runtime) fn trace(&self) -> Trace {
        self.machine.0.borrow().trace.clone()
    }

    /// Whether it did anything that OTP's would not have done.
    pub(in crate::runtime) fn departed(&self) -> bool {
        self.machine.0.borrow().departed
    }

    /// What became of each worker, by its number.
    pub(in crate::runtime) fn fates(&self) -> Vec<(usize, Fate)> {
        let state = self.machine.0.borrow();
        let fate = |node: usize| Fate {
            starts: state
                .processes
                .iter()
                .map(|process| u32::from(process.node == node))
                .sum(),
            alive: state.current[node].is_some_and(|pid| state.processes[pid].alive),
        };
        let workers = state.family.workers();
        workers.into_iter().map(|node| (node, fate(node))).collect()
    }

    /// Whether the whole tree has ended.
    pub(in crate::runtime) fn is_over(&self) -> bool {
        !self.is_alive(0)
    }

    /// Whether a node's process is there.
    pub(in crate::runtime) fn is_alive(&self, node: usize) -> bool {
        self.machine.living(node).is_some()
    }

    /// Whether a node's process is there and is being stopped.
    pub(in crate::runtime) fn is_stopping(&self, node: usize) -> bool {
        self.machine.look(node, |process| process.alive && process.asked)
    }

    /// When a node's process ended.
    pub(in crate::runtime) fn ended(&self, node: usize) -> u64 {
        self.machine.look(node, |process| process.ended)
    }

    /// How many of a node's next starts fail.
    pub(in crate::runtime) fn refusals(&self, node: usize) -> u32 {
        self.machine.0.borrow().refusals[node]
    }

    fn tell_top(&self, signal: Signal) {
        if let Some(top) = self.machine.living(0) {
            self.machine.send(top, signal);
        }
    }

    fn dies(&self, node: usize, normal: bool) {
        if let Some(pid) = self.machine.living(node) {
            self.machine.exit(pid, normal);
        }
    }

    /// One that was asked to end has heard it already.
    fn deafen(&self, node: usize) {
        if let Some(pid) = self.machine.living(node) {
            let process = &mut self.machine.0.borrow_mut().processes[pid];
            process.deaf |= !process.asked;
        }
    }

    /// It hears nothing any more; whoever watches over its life notices later, and ends it if nobody else is about to.
    fn hang(&mut self, node: usize) {
        self.deafen(node);
        let Some(pid) = self.machine.living(node) else {
            return;
        };
        let machine = self.machine.clone();
        let at = machine.now() + machine.0.borrow().family.notice;
        self.watchers.push(Box::pin(async move {
            machine.until(at, |_| false).await;
            let parent = {
                let process = &machine.0.borrow().processes[pid];
                process.parent.filter(|_| process.alive && !process.asked)
            };
            if let Some(parent) = parent {
                machine.see(parent, Seen::Kill(node));
                machine.exit(pid, false);
            }
        }));
        self.wake_all();
    }

    /// Delivers signals, and lets who got one run until it waits again, until there are none.
    fn run(&mut self) {
        loop {
            let born = std::mem::take(&mut self.machine.0.borrow_mut().born);
            for (pid, supervisor) in born {
                self.supervisors.insert(pid, Box::pin(supervisor.serve()));
            }
            let sent = self.machine.0.borrow_mut().sent.pop_front();
            let Some((to, signal)) = sent else { return };
            self.machine.0.borrow_mut().processes[to]
                .mailbox
                .push_back(signal);
            if let Some(supervisor) = self.supervisors.get_mut(&to)
                && is_done(supervisor)
            {
                self.supervisors.remove(&to);
            }
        }
    }

    /// A time has come: whoever waited for it goes on.
    fn wake_all(&mut self) {
        self.supervisors.retain(|_, supervisor| !is_done(supervisor));
        self.watchers.retain_mut(|watcher| !is_done(watcher));
    }
}

fn is_done(process: &mut Running) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    process.as_mut().poll(&mut context).is_ready()
}
