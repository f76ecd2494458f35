//! What OTP's supervisor stands on: processes, links, exit signals and mailboxes in virtual time.
//!
//! Signals are delivered one at a time in the order they were sent, which is one of the orders that Erlang allows.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::supervisor::Supervisor;
use super::{Family, Seen, Trace};

pub(super) type Pid = usize;

/// Whether the model departs from OTP where ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Manner {
    Otp,
    Ours,
}

/// What a process finds in its mailbox.
pub(super) enum Signal {
    /// A linked process ended.
    Exit { pid: Pid, normal: bool, at: u64 },
    /// The parent wants it to end.
    Shutdown,
    /// Its own word to itself, behind all others: the last start of this child failed.
    TryAgain(usize),
    /// Somebody wants this child to be stopped and started again.
    Again(usize),
}

/// What became of a worker so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::runtime) struct Fate {
    pub(in crate::runtime) starts: u32,
    pub(in crate::runtime) alive: bool,
}

pub(super) struct Process {
    pub(super) node: usize,
    pub(super) parent: Option<Pid>,
    pub(super) alive: bool,
    /// It does not hear that it is asked to end.
    pub(super) deaf: bool,
    pub(super) asked: bool,
    pub(super) ended: u64,
    pub(super) mailbox: VecDeque<Signal>,
}

pub(super) struct State {
    pub(super) family: Family,
    pub(super) manner: Manner,
    pub(super) departed: bool,
    pub(super) now: u64,
    pub(super) timers: BTreeSet<u64>,
    pub(super) processes: Vec<Process>,
    /// The last process of each node.
    pub(super) current: Vec<Option<Pid>>,
    pub(super) refusals: Vec<u32>,
    pub(super) trace: Trace,
    pub(super) born: Vec<(Pid, Supervisor)>,
    pub(super) sent: VecDeque<(Pid, Signal)>,
}

/// The machine that all processes run on.
#[derive(Clone)]
pub(super) struct Machine(pub(super) Rc<RefCell<State>>);

impl Machine {
    pub(super) fn new(family: &Family, manner: Manner, now: u64) -> Self {
        let count = family.nodes.len();
        Self(Rc::new(RefCell::new(State {
            family: family.clone(),
            manner,
            departed: false,
            now,
            timers: BTreeSet::new(),
            processes: Vec::new(),
            current: vec![None; count],
            refusals: vec![0; count],
            trace: vec![Vec::new(); count],
            born: Vec::new(),
            sent: VecDeque::new(),
        })))
    }

    pub(super) fn now(&self) -> u64 {
        self.0.borrow().now
    }

    /// Looks at a node's last process; the default if it never had one.
    pub(super) fn look<T: Default>(&self, node: usize, look: impl FnOnce(&Process) -> T) -> T {
        let state = self.0.borrow();
        state.current[node].map_or_else(T::default, |pid| look(&state.processes[pid]))
    }

    /// A node's process, if it lives.
    pub(super) fn living(&self, node: usize) -> Option<Pid> {
        let state = self.0.borrow();
        state.current[node].filter(|pid| state.processes[*pid].alive)
    }

    pub(super) fn send(&self, to: Pid, signal: Signal) {
        self.0.borrow_mut().sent.push_back((to, signal));
    }

    pub(super) fn see(&self, supervisor: Pid, seen: Seen) {
        let mut state = self.0.borrow_mut();
        let (now, node) = (state.now, state.processes[supervisor].node);
        state.trace[node].push((now, seen));
    }

    /// The process ends; who is linked to it will hear so.
    pub(super) fn exit(&self, pid: Pid, normal: bool) {
        let mut state = self.0.borrow_mut();
        let at = state.now;
        let process = &mut state.processes[pid];
        if !std::mem::replace(&mut process.alive, false) {
            return;
        }
        process.ended = at;
        if let Some(parent) = process.parent {
            state.sent.push_back((parent, Signal::Exit { pid, normal, at }));
        }
    }

    /// Starts a node; a supervisor has started when its children have.
    pub(super) fn start(&self, node: usize, parent: Option<Pid>) -> Option<Pid> {
        let (pid, children) = {
            let mut state = self.0.borrow_mut();
            if state.refusals[node] > 0 {
                state.refusals[node] -= 1;
                return None;
            }
            let pid = state.processes.len();
            state.processes.push(Process {
                node,
                parent,
                alive: true,
                deaf: false,
                asked: false,
                ended: 0,
                mailbox: VecDeque::new(),
            });
            state.current[node] = Some(pid);
            (pid, state.family.children(node).to_vec())
        };
        let mut supervisor = Supervisor::new(self.clone(), pid, &children);
        for child in &children {
            if !supervisor.start(*child) {
                // Nothing was started before it, by the choice of those that refuse.
                self.see(pid, Seen::End(true));
                self.0.borrow_mut().processes[pid].alive = false;
                return None;
            }
        }
        if !children.is_empty() {
            self.0.borrow_mut().born.push((pid, supervisor));
        }
        Some(pid)
    }

    /// Waits until something holds or a time has come.
    pub(super) async fn until(&self, at: u64, holds: impl Fn(&State) -> bool) {
        if at < u64::MAX {
            self.0.borrow_mut().timers.insert(at);
        }
        poll_fn(|_| {
            let state = self.0.borrow();
            if state.now >= at || holds(&state) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
