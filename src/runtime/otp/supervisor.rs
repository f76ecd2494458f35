//! The supervisor process: it does one thing after the other and waits where OTP's waits.

use std::collections::{BTreeSet, VecDeque};

use super::process::{Machine, Manner, Pid, Signal, State};
use super::{Kind, Seen};
use crate::runtime::spec::{Restart, Strategy};

/// The intensity is used up, or it was told to end.
struct Over {
    gave_up: bool,
}

pub(super) struct Supervisor {
    machine: Machine,
    me: Pid,
    /// Child specifications in the order of their start, each with its process if it has one.
    children: Vec<(usize, Option<Pid>)>,
    restarts: Vec<u64>,
    /// Children whose last start failed, to be tried again.
    trying: BTreeSet<usize>,
}

impl Supervisor {
    pub(super) fn new(machine: Machine, me: Pid, children: &[usize]) -> Self {
        Self {
            machine,
            me,
            children: children.iter().map(|child| (*child, None)).collect(),
            restarts: Vec::new(),
            trying: BTreeSet::new(),
        }
    }

    pub(super) async fn serve(mut self) {
        let over = loop {
            self.until_mail(|mail| !mail.is_empty()).await;
            if let Err(over) = self.hear().await {
                break over;
            }
        };
        self.terminate(0).await;
        self.machine.see(self.me, Seen::End(over.gave_up));
        let node = self.machine.0.borrow().processes[self.me].node;
        let excused = over.gave_up && self.restart_of(node) == Restart::Transient;
        let ours = self.machine.0.borrow().manner == Manner::Ours;
        self.machine.0.borrow_mut().departed |= excused;
        self.machine.exit(self.me, !over.gave_up || (excused && !ours));
    }

    async fn hear(&mut self) -> Result<(), Over> {
        let order = self.machine.0.borrow_mut().processes[self.me]
            .mailbox
            .pop_front_if(|signal| matches!(signal, Signal::Again(_)));
        if let Some(Signal::Again(node)) = order {
            if let Some(pid) = self.process(node) {
                self.shutdown(node, pid).await;
            }
            if self.start(node) || self.restart_of(node) == Restart::Temporary {
                return Ok(());
            }
            return self.restart(node, self.machine.now()).await;
        }
        match self.failed()? {
            Some((node, at)) => self.restart(node, at).await,
            None => Ok(()),
        }
    }

    /// Takes the next signal; names the child that has to be started again because of it, and since when.
    fn failed(&mut self) -> Result<Option<(usize, u64)>, Over> {
        let signal = self.machine.0.borrow_mut().processes[self.me].mailbox.pop_front();
        let (pid, normal, at) = match signal {
            None => return Ok(None),
            Some(Signal::Again(_)) => unreachable!("orders are given at rest"),
            Some(Signal::TryAgain(node)) => {
                let due = self.trying.remove(&node);
                return Ok(due.then_some((node, self.machine.now())));
            }
            Some(Signal::Shutdown) => return Err(Over { gave_up: false }),
            Some(Signal::Exit { pid, normal, at }) => (pid, normal, at),
        };
        let Some(index) = self.children.iter().position(|(_, child)| *child == Some(pid)) else {
            return Ok(None);
        };
        self.children[index].1 = None;
        let node = self.children[index].0;
        let again = match self.restart_of(node) {
            Restart::Permanent => true,
            Restart::Transient => !normal,
            Restart::Temporary => {
                self.children.remove(index);
                false
            }
        };
        Ok(again.then_some((node, at)))
    }

    /// A child has to be started again, and others with it as the strategy says.
    async fn restart(&mut self, mut node: usize, mut at: u64) -> Result<(), Over> {
        loop {
            let strategy = self.count(at)?;
            if strategy == Strategy::OneForOne {
                self.start_or_try_again(node);
                return Ok(());
            }
            let of = |node| self.children.iter().position(|(child, _)| *child == node);
            let index = of(node).expect("a child that is started again is listed");
            let first = if strategy == Strategy::OneForAll { 0 } else { index };
            // By number, as they come in order: temporary ones may be gone by then.
            let from = self.children[first].0;
            self.terminate(first).await;
            let Some(failed) = self.meanwhile()? else {
                let group = self.children.iter().map(|(child, _)| *child);
                let group: Vec<_> = group.filter(|child| *child >= from).collect();
                // OTP stops at the first that fails.
                group.into_iter().all(|child| self.start_or_try_again(child));
                return Ok(());
            };
            (node, at) = failed;
        }
    }

    /// What came while it waited for ends; OTP's supervisor does not look yet.
    fn meanwhile(&mut self) -> Result<Option<(usize, u64)>, Over> {
        if self.machine.0.borrow().manner == Manner::Otp {
            return Ok(None);
        }
        while !self.machine.0.borrow().processes[self.me].mailbox.is_empty() {
            let failed = self.failed();
            if !matches!(failed, Ok(None)) {
                self.machine.0.borrow_mut().departed = true;
                return failed;
            }
        }
        Ok(None)
    }

    /// Adds a restart; more than the intensity within the period are too many.
    fn count(&mut self, at: u64) -> Result<Strategy, Over> {
        let state = self.machine.0.borrow();
        let Kind::Supervisor {
            strategy,
            restarts,
            period,
            ..
        } = state.family.nodes[state.processes[self.me].node].kind
        else {
            unreachable!("workers have no children");
        };
        let at = if state.manner == Manner::Otp {
            state.now
        } else {
            at
        };
        self.restarts.push(at);
        self.restarts.retain(|past| past + period >= at);
        if self.restarts.len() > restarts as usize {
            return Err(Over { gave_up: true });
        }
        Ok(strategy)
    }

    /// Starts a child; whether it did start.
    pub(super) fn start(&mut self, node: usize) -> bool {
        // Seen before it starts its own.
        let refuses = self.machine.0.borrow().refusals[node] > 0;
        let seen = if refuses {
            Seen::Refuse(node)
        } else {
            Seen::Start(node)
        };
        self.machine.see(self.me, seen);
        self.trying.remove(&node);
        let started = self.machine.start(node, Some(self.me));
        if let Some(child) = self.children.iter_mut().find(|(child, _)| *child == node) {
            child.1 = started;
        }
        started.is_some()
    }

    fn start_or_try_again(&mut self, node: usize) -> bool {
        let started = self.start(node);
        if !started {
            self.trying.insert(node);
            self.machine.send(self.me, Signal::TryAgain(node));
        }
        started
    }

    /// Ends the children from the one at `first` on, last first; temporary ones are taken off the list.
    async fn terminate(&mut self, first: usize) {
        for index in (first..self.children.len()).rev() {
            let (node, process) = self.children[index];
            if let Some(pid) = process {
                self.shutdown(node, pid).await;
                self.children[index].1 = None;
            }
            if self.trying.contains(&node) {
                // That its start failed has been said already, if not heard.
                let is_word = |signal: &Signal| matches!(signal, Signal::TryAgain(of) if *of == node);
                self.until_mail(|mail| mail.iter().any(is_word)).await;
                self.trying.remove(&node);
            }
            if self.restart_of(node) == Restart::Temporary {
                self.children.remove(index);
            }
        }
    }

    /// Asks a child to end, kills it when its time is over, and waits for its end; from now on that is no crash.
    async fn shutdown(&mut self, node: usize, pid: Pid) {
        let kind = {
            let mut state = self.machine.0.borrow_mut();
            let process = &mut state.processes[pid];
            process.asked = true;
            let asked = process.alive.then_some(process.deaf);
            asked.map(|deaf| (deaf, state.family.nodes[node].kind.clone()))
        };
        let now = self.machine.now();
        match kind {
            None => {}
            Some((_, Kind::Supervisor { .. })) => {
                self.machine.see(self.me, Seen::Stop(node));
                self.machine.send(pid, Signal::Shutdown);
            }
            Some((_, Kind::Worker { limit: None, .. })) => {
                self.machine.see(self.me, Seen::Kill(node));
                self.machine.exit(pid, false);
            }
            Some((
                deaf,
                Kind::Worker {
                    obeys,
                    limit: Some(limit),
                },
            )) => {
                self.machine.see(self.me, Seen::Stop(node));
                let obeys_in_time = !deaf && obeys < limit;
                let until = now + if obeys_in_time { obeys } else { limit };
                let me = self.me;
                self.machine.until(until, |state| has_ended(state, me, pid)).await;
                if !obeys_in_time && self.machine.0.borrow().processes[pid].alive {
                    self.machine.see(self.me, Seen::Kill(node));
                }
                self.machine.exit(pid, true);
            }
        }
        self.until_mail(|mail| mail.iter().any(|signal| is_exit_of(signal, pid)))
            .await;
    }

    /// Waits until something holds of the mailbox.
    async fn until_mail(&self, holds: impl Fn(&VecDeque<Signal>) -> bool) {
        let me = self.me;
        let holds = |state: &State| holds(&state.processes[me].mailbox);
        self.machine.until(u64::MAX, holds).await;
    }

    fn process(&self, node: usize) -> Option<Pid> {
        self.children.iter().find(|(child, _)| *child == node)?.1
    }

    fn restart_of(&self, node: usize) -> Restart {
        self.machine.0.borrow().family.nodes[node].restart
    }
}

fn is_exit_of(signal: &Signal, of: Pid) -> bool {
    matches!(signal, Signal::Exit { pid, .. } if *pid == of)
}

fn has_ended(state: &State, me: Pid, of: Pid) -> bool {
    let mut mail = state.processes[me].mailbox.iter();
    mail.any(|signal| is_exit_of(signal, of))
}
